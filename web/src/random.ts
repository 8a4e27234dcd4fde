/** Numbers that a seed decides, so that a link shows the same digits again. */

/** Even numbers in [0, 1) (mulberry32, public domain). */
export function evenNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal numbers (Box, Muller 1958). */
export function normalNumbers(count: number, seed: number): Float32Array {
  const even = evenNumbers(seed);
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - even()));
    return radius * Math.cos(2 * Math.PI * even());
  });
}

export function newSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000;
}
