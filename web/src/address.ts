/** The state of the page in its address, so that a view can be shared. */

/** Codes are written as thousandths, two bytes each, in the letters of addresses. */
export function packed(latents: Float32Array): string {
  const bytes = new Uint8Array(
    Int16Array.from(latents, (x) => Math.round(1000 * Math.min(32, Math.max(-32, x)))).buffer,
  );
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
}

/** The code of such letters; null where they are none of this size. */
export function unpacked(text: string, latentDim: number): Float32Array | null {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) =>
      letter.charCodeAt(0),
    );
    if (bytes.length !== 2 * latentDim) return null;
    return Float32Array.from(new Int16Array(bytes.buffer), (x) => x / 1000);
  } catch {
    return null;
  }
}

/** Numbers of a list like `0.1,0.2`; null where it is none of so many. */
export function numbers(text: string | null, count: number): number[] | null {
  const found = (text ?? '').split(',').map(Number);
  return text && found.length === count && found.every(Number.isFinite) ? found : null;
}

/** Writes the state into the address a moment after it changed. */
export class Address {
  private timer = 0;
  private readonly parts = new Map<string, () => string | null>();

  /** What the address said when the page was opened. */
  static read(): URLSearchParams {
    return new URLSearchParams(location.hash.slice(1));
  }

  /** Let a part of the state stand in the address; null where it need not. */
  part(name: string, value: () => string | null): void {
    this.parts.set(name, value);
  }

  update(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const found = new URLSearchParams();
      for (const [name, value] of this.parts) {
        const text = value();
        if (text !== null) found.set(name, text);
      }
      history.replaceState(null, '', `#${found.toString().replaceAll('%2C', ',').replaceAll('%3B', ';')}`);
    }, 250) as unknown as number;
  }
}
