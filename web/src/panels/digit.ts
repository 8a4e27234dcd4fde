/** The digit that is shown: decoded live, with what Bayes' rule says about it. */
import { argmax, probabilities, type App } from '../app.ts';
import { button, h } from '../dom.ts';
import { Latest } from '../engine/client.ts';
import { term } from '../help.ts';
import { imageCanvas, savePng, show } from '../images.ts';
import { colourOf } from '../palette.ts';

const LONGEST_WAIT = 25; // ms; at the first call, which is slower than later ones

export function digitPanel(app: App, parent: HTMLElement): void {
  const { engine, model, facts, code, joint } = app;
  const canvas = imageCanvas(facts.image_shape, 'The digit that is decoded now');
  canvas.id = 'digit';
  const verdict = h('p', { class: 'verdict', 'aria-live': 'polite' });
  const density = h('p', { class: 'quiet' });
  const bars = Array.from({ length: facts.labels }, (_, label) => bar(label));
  const side = h(
    'div',
    { class: 'digit-facts' },
    verdict,
    facts.labels
      ? h('ol', { class: 'bars', 'aria-label': 'Probability of each digit' }, ...bars.map(({ row }) => row))
      : null,
    density,
    h(
      'div',
      { class: 'row' },
      button('Save PNG', () => savePng('digit', [canvas], 1, 10)),
      button('Copy link', copyLink, { id: 'copy-link' }),
    ),
  );
  parent.append(h('div', { class: 'digit-frame' }, canvas), side);

  // A pointer event comes right before a frame: decoded here and now, its digit is in that frame. A model of large
  // images would hold up the page, and goes to the worker.
  const started = performance.now();
  model.decode(code.value.latents);
  const fast = performance.now() - started < LONGEST_WAIT;
  const decoding = new Latest(async (latents: Float32Array) => {
    show(canvas, await engine.call('decode', latents));
  });
  const judging = new Latest(async (latents: Float32Array) => {
    const found = await engine.call('logJoint', latents);
    if (code.value.latents === latents) joint.value = found;
  });
  code.watch(({ latents }) => {
    if (fast) show(canvas, model.decode(latents));
    else decoding.push(latents);
    judging.push(latents);
  });

  joint.watch((found) => {
    if (!found) return;
    const total = logSum(found);
    density.replaceChildren('log p(z) = ', h('b', {}, total.toFixed(1)), ' ', term('nats'));
    if (!facts.labels) return;
    const shares = probabilities(found);
    const best = argmax(shares);
    verdict.replaceChildren(
      'Looks like a ',
      h('b', {}, String(best)),
      h('span', { class: 'quiet' }, ` (${percent(shares[best]!)})`),
    );
    bars.forEach(({ fill, row }, label) => {
      fill.style.height = `${Math.max(2, 100 * shares[label]!)}%`;
      row.title = `${label}: ${percent(shares[label]!)}`;
      row.setAttribute('aria-label', row.title);
      row.classList.toggle('best', label === best);
    });
  });
}

function bar(label: number): { row: HTMLLIElement; fill: HTMLElement } {
  const fill = h('span', { class: 'fill' });
  fill.style.background = colourOf(label);
  return { row: h('li', {}, h('span', { class: 'track' }, fill), h('span', {}, String(label))), fill };
}

function logSum(values: Float32Array): number {
  const most = values.reduce((a, b) => Math.max(a, b));
  return most + Math.log(values.reduce((total, x) => total + Math.exp(x - most), 0));
}

export function percent(share: number): string {
  const value = 100 * share;
  if (value > 99.9) return '> 99.9 %';
  return `${value.toFixed(value < 10 || value > 99 ? 1 : 0)} %`;
}

function copyLink(): void {
  const copy = document.getElementById('copy-link')!;
  void navigator.clipboard.writeText(location.href).then(
    () => (copy.textContent = 'Copied'),
    () => (copy.textContent = 'Copy the address bar'),
  );
  setTimeout(() => (copy.textContent = 'Copy link'), 1500);
}
