/** How long the strokes of a mask are: the number of pixels that thinning leaves. */

const NAMES = ['NW', 'N', 'NE', 'E', 'SE', 'S', 'SW', 'W'] as const;

// Where scikit-image, whose result must be met, decides otherwise than the rule of Zhang and Suen: it also takes away
// the corners of stairs, and it takes ends that are two pixels wide from one side.
const EXCEPTIONS: Record<string, number> = {
  'N E': 3,
  'E S': 3,
  'N W': 3,
  'S W': 3,
  'NW N E': 1,
  'N E SE': 2,
  'E S SW': 2,
  'NE E S SW': 2,
  'N NE W': 1,
  'NW S W': 1,
  'SE S W': 2,
  'N SW W': 1,
  'N NE SW W': 1,
  'NW N': 1,
  'N NE': 1,
  'NE E': 1,
  'N NE E': 1,
  'E SE': 2,
  'SE S': 0,
  'E SE S': 2,
  'S SW': 2,
  'NW W': 0,
  'NW N W': 1,
  'SW W': 2,
  'S SW W': 2,
};

/**
 * In which of the two passes a pixel with these neighbours goes: bit 0 for the first one, bit 1 for the second.
 *
 * Zhang, Suen 1984: 2 to 6 neighbours, which are connected, and no pixel that holds others together.
 */
function passes(neighbours: number): number {
  const set = NAMES.map((_, i) => (neighbours >> i) & 1);
  const exception = EXCEPTIONS[NAMES.filter((_, i) => set[i]).join(' ')];
  if (exception !== undefined) return exception;
  const count = set.filter(Boolean).length;
  const starts = set.filter((one, i) => !one && set[(i + 1) % 8]).length;
  if (count < 2 || count > 6 || starts !== 1) return 0;
  const [, n, , e, , s, , w] = set;
  const first = !(n && e && s) && !(e && s && w);
  const second = !(n && e && w) && !(n && s && w);
  return Number(first) + 2 * Number(second);
}

const PASSES = Uint8Array.from({ length: 256 }, (_, neighbours) => passes(neighbours));

/** Number of pixels of the skeleton of a mask (height, width). */
export function skeletonLength(mask: Uint8Array, height: number, width: number): number {
  const wide = width + 2;
  const image = new Uint8Array(wide * (height + 2));
  let left: number[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!mask[y * width + x]) continue;
      image[(y + 1) * wide + x + 1] = 1;
      left.push((y + 1) * wide + x + 1);
    }
  }
  const around = [-wide - 1, -wide, -wide + 1, 1, wide + 1, wide, wide - 1, -1];
  for (let quiet = 0; quiet < 2;) {
    quiet = 0;
    for (const pass of [1, 2]) {
      const gone = left.filter((place) => {
        let neighbours = 0;
        for (let i = 0; i < 8; i++) neighbours |= image[place + around[i]!]! << i;
        return PASSES[neighbours]! & pass;
      });
      for (const place of gone) image[place] = 0;
      if (gone.length) left = left.filter((place) => image[place]);
      else quiet++;
    }
  }
  return left.length;
}
