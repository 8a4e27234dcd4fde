/** Short ways to make elements. */

type Properties = Record<string, unknown>;
type Child = Node | string | null | undefined | false;

/**
 * Make an element. Properties that start with `on` are listeners, `class`, `aria-*`, `data-*`, `role`, `for` and the
 * like are attributes, all others are properties.
 */
export function h<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value as EventListener);
    else if (key in element && !key.includes('-')) (element as unknown as Properties)[key] = value;
    else if (value !== false && value !== undefined) element.setAttribute(key, String(value));
  }
  element.append(
    ...children.filter(
      (child): child is Node | string => child !== null && child !== undefined && child !== false,
    ),
  );
  return element;
}

/** A button with an icon or text, and what it does. */
export function button(label: string, onclick: () => void, properties: Properties = {}): HTMLButtonElement {
  return h('button', { type: 'button', onclick, ...properties }, label);
}

/** The element of the page with an id. */
export function byId<Kind extends HTMLElement>(id: string): Kind {
  const found = document.getElementById(id);
  if (!found) throw new Error(`Expected an element ${id} in the page. Received: none`);
  return found as Kind;
}

/** A value that tells its listeners when it changes. */
export class Signal<Value> {
  private current: Value;
  private readonly listeners: ((value: Value) => void)[] = [];

  constructor(value: Value) {
    this.current = value;
  }

  get value(): Value {
    return this.current;
  }

  set value(value: Value) {
    this.current = value;
    for (const listener of this.listeners) listener(value);
  }

  /** Call a function now and at every change. */
  watch(listener: (value: Value) => void): void {
    this.listeners.push(listener);
    listener(this.current);
  }

  /** Call a function at every change. */
  changed(listener: (value: Value) => void): void {
    this.listeners.push(listener);
  }
}
