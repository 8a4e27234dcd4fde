/** Tabs with the keys that people expect of them. */
import { Signal } from './dom.ts';

export function tabs(list: HTMLElement, first: string | null): Signal<string> {
  const buttons = [...list.querySelectorAll<HTMLButtonElement>('[role=tab]')].filter(({ hidden }) => !hidden);
  const names = buttons.map(({ id }) => id.replace('tab-', ''));
  const chosen = new Signal(first && names.includes(first) ? first : names[0]!);
  buttons.forEach((button, i) => {
    button.addEventListener('click', () => (chosen.value = names[i]!));
    button.addEventListener('keydown', ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = (i + step + buttons.length) % buttons.length;
      chosen.value = names[next]!;
      buttons[next]!.focus();
    });
  });
  chosen.watch((name) => {
    buttons.forEach((button, i) => {
      const selected = names[i] === name;
      button.setAttribute('aria-selected', String(selected));
      button.tabIndex = selected ? 0 : -1;
      document.getElementById(`panel-${names[i]!}`)!.hidden = !selected;
    });
  });
  return chosen;
}
