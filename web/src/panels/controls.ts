/** Controls that more than one panel has. */
import type { App } from '../app.ts';
import { h } from '../dom.ts';
import { term } from '../help.ts';

let count = 0;

/** A range input with its name and value. */
export function slider(
  name: string | Node,
  { min, max, step, value }: { min: number; max: number; step: number; value: number },
  oninput: (value: number) => void,
  spoken?: string,
): { row: HTMLElement; set: (value: number) => void; input: HTMLInputElement } {
  const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  const output = h('output', {}, value.toFixed(digits));
  const id = `slider-${++count}`;
  const input = h('input', {
    type: 'range',
    id,
    min: String(min),
    max: String(max),
    step: String(step),
    value: String(value),
    'aria-label': spoken,
    oninput: () => {
      output.textContent = Number(input.value).toFixed(digits);
      oninput(Number(input.value));
    },
  });
  const label = spoken ? h('span', { class: 'label' }, name) : h('label', { for: id, class: 'label' }, name);
  return {
    row: h('div', { class: 'slider' }, label, input, output),
    set: (next) => {
      input.value = String(next);
      output.textContent = next.toFixed(digits);
    },
    input,
  };
}

export function temperatureControl(app: App): HTMLElement {
  const range = { min: 0, max: 1.5, step: 0.05, value: app.temperature.value };
  const control = slider(
    term('temperature'),
    range,
    (value) => (app.temperature.value = value),
    'Temperature',
  );
  app.temperature.changed((value) => control.set(value));
  return control.row;
}

/** Buttons for any digit and for each; nothing for a model without labels. */
export function digitChoice(app: App): HTMLElement | null {
  if (!app.facts.labels) return null;
  const options: (number | null)[] = [null, ...Array.from({ length: app.facts.labels }, (_, label) => label)];
  const buttons = options.map((label) =>
    h(
      'button',
      { type: 'button', onclick: () => (app.wanted.value = label) },
      label === null ? 'any' : String(label),
    ),
  );
  app.wanted.watch((wanted) =>
    buttons.forEach((one, i) => one.setAttribute('aria-pressed', String(options[i] === wanted))),
  );
  return h('div', { class: 'chips', role: 'group', 'aria-label': 'Which digit' }, ...buttons);
}

/** A button for each digit. */
export function digitsFrom(labels: number, choose: (label: number) => void): HTMLElement {
  const buttons = Array.from({ length: labels }, (_, label) =>
    h(
      'button',
      { type: 'button', onclick: () => choose(label), 'aria-label': `Turn it into a ${label}` },
      String(label),
    ),
  );
  return h('div', { class: 'chips', role: 'group', 'aria-label': 'Turn it into' }, ...buttons);
}
