/** Light or dark: as the system says, until someone chooses. */

const NAMES = ['system', 'light', 'dark'] as const;
const KEY = 'digitvae-theme';

export function themeButton(button: HTMLElement, redraw: () => void): void {
  const apply = (name: string) => {
    if (name === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.textContent = { system: '◐', light: '☀', dark: '☾' }[name] ?? '◐';
    button.setAttribute('aria-label', `Colours: ${name}. Change`);
    redraw();
  };
  let current: string = stored() ?? 'system';
  button.addEventListener('click', () => {
    current = NAMES[(NAMES.indexOf(current as (typeof NAMES)[number]) + 1) % NAMES.length]!;
    store(current);
    apply(current);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  apply(current);
}

// A page may be forbidden to store anything.
function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function store(name: string): void {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // Then the choice lasts as long as the page.
  }
}
