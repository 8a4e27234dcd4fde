/** Sizes of pictures changed as Pillow does it: a pass along the rows, then one along the columns. */
import { grey, type Grey } from './grey.ts';

/** What part of the result each pixel makes up, by its distance from the middle; 0 from `support` on. */
interface Filter {
  support: number;
  weight: (distance: number) => number;
}

/** Means over the pixels. */
export const BOX: Filter = { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };

/** Cubic polynomials (Keys 1981, a = -1/2). */
export const BICUBIC: Filter = {
  support: 2,
  weight: (x) => {
    const d = Math.abs(x);
    if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
    return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
  },
};

interface Row {
  start: number;
  weights: Float64Array;
}

function rowsOf(from: number, to: number, filter: Filter): Row[] {
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const support = filter.support * stretch;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(from, Math.trunc(centre + support + 0.5));
    const weights = Float64Array.from({ length: end - start }, (__, j) =>
      filter.weight((j + start - centre + 0.5) / stretch),
    );
    const total = weights.reduce((a, b) => a + b, 0);
    return { start, weights: total ? weights.map((weight) => weight / total) : weights };
  });
}

/** Change the size of a grey image. */
export function resizedGrey(image: Grey, height: number, width: number, filter: Filter): Grey {
  let data: Float32Array<ArrayBuffer> = image.data;
  if (width !== image.width) {
    const rows = rowsOf(image.width, width, filter);
    const next = new Float32Array(image.height * width);
    for (let y = 0; y < image.height; y++) {
      rows.forEach(({ start, weights }, x) => {
        let value = 0;
        for (let j = 0; j < weights.length; j++) value += data[y * image.width + start + j]! * weights[j]!;
        next[y * width + x] = value;
      });
    }
    data = next;
  }
  if (height !== image.height) {
    const next = new Float32Array(height * width);
    rowsOf(image.height, height, filter).forEach(({ start, weights }, y) => {
      for (let x = 0; x < width; x++) {
        let value = 0;
        for (let j = 0; j < weights.length; j++) value += data[(start + j) * width + x]! * weights[j]!;
        next[y * width + x] = value;
      }
    });
    data = next;
  }
  return grey(height, width, data);
}

const BITS = 22; // of the weights of 8-bit levels

/** The same for 8-bit levels (height, width, channels), which are rounded after each pass. */
export function resizedLevels(
  data: Uint8Array,
  [height, width]: [number, number],
  [toHeight, toWidth]: [number, number],
  channels: number,
  filter: Filter,
): Uint8Array {
  const whole = (from: number, to: number) =>
    rowsOf(from, to, filter).map(({ start, weights }) => ({
      start,
      weights: weights.map((weight) => Math.trunc(weight * 2 ** BITS + (weight < 0 ? -0.5 : 0.5))),
    }));
  const level = (total: number) =>
    Math.min(255, Math.max(0, Math.floor((total + 2 ** (BITS - 1)) / 2 ** BITS)));
  let current = data;
  if (toWidth !== width) {
    const next = new Uint8Array(height * toWidth * channels);
    const rows = whole(width, toWidth);
    for (let y = 0; y < height; y++) {
      rows.forEach(({ start, weights }, x) => {
        for (let c = 0; c < channels; c++) {
          let total = 0;
          for (let j = 0; j < weights.length; j++) {
            total += current[(y * width + start + j) * channels + c]! * weights[j]!;
          }
          next[(y * toWidth + x) * channels + c] = level(total);
        }
      });
    }
    current = next;
  }
  if (toHeight !== height) {
    const line = toWidth * channels;
    const next = new Uint8Array(toHeight * line);
    whole(height, toHeight).forEach(({ start, weights }, y) => {
      for (let i = 0; i < line; i++) {
        let total = 0;
        for (let j = 0; j < weights.length; j++) total += current[(start + j) * line + i]! * weights[j]!;
        next[y * line + i] = level(total);
      }
    });
    current = next;
  }
  return current;
}
