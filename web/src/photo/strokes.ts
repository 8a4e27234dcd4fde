/** The strokes in a picture; `digitvae.data.strokes` step by step, where the reasons stand too. */
import {
  blurred,
  closed,
  distances,
  grey,
  mapped,
  median,
  medianOfNine,
  opened,
  otsu,
  padded,
  part,
  quantile,
  roundEven,
  sum,
  type Grey,
} from './grey.ts';
import { skeletonLength } from './skeleton.ts';

// Shares of the picture's shorter side.
const WIDEST_STROKE = 0.45;
const SKETCH_SIDE = 128;
const POLARITY_WINDOWS = [0.02, 0.04, 0.08, 0.16, 0.32];
const SMALLEST_DIGIT = 0.12;

const DARKEST_GROUND = 48;
const FAINTEST = 0.08;
const CLEAREST_NOISE = 5;
const UNEVEN = 0.1;
const EDGE = 0.04;
const LIMIT = 0.2;
const SPECK = 0.02;
const GAP = 0.25;

/** Ink of the digit's bounding box, 0 to 1, and the mean width of its strokes in pixels. */
export interface Strokes {
  ink: Grey;
  width: number;
}

interface Found {
  ink: Grey;
  core: Uint8Array;
  inside: boolean;
}

/** Find the strokes of the one digit that a picture shows, given as one or three channels; null without any. */
export function findStrokes(channels: Grey[]): Strokes | null {
  const image = darkOnLight(principalGrey(channels));
  let found = find(image);
  if (!found?.inside) {
    const ground = evenGround(image);
    if (ground !== null) {
      found = find(padded(image, (Math.min(image.height, image.width) >> 1) + 1, ground)) ?? found;
    }
  }
  if (!found) return null;
  const { core } = found;
  const { height, width } = found.ink;
  const length = Math.max(1, skeletonLength(core, height, width));
  const reach = Math.max(1.5, sum(core) / length / 2);
  const far = distances(core, height, width).data;
  const ink = mapped(found.ink, (value, i) => (far[i]! <= reach && value > EDGE ? Math.min(value, 1) : 0));
  return { ink: cropped(ink), width: sum(ink.data) / length };
}

/** Cut off all around what is fainter than an edge. */
export function cropped(ink: Grey): Grey {
  let [top, bottom, left, right] = [ink.height, -1, ink.width, -1];
  const limit = Math.fround(LIMIT);
  for (let y = 0; y < ink.height; y++) {
    for (let x = 0; x < ink.width; x++) {
      if (ink.data[y * ink.width + x]! <= limit) continue;
      top = Math.min(top, y);
      bottom = y;
      left = Math.min(left, x);
      right = Math.max(right, x);
    }
  }
  return part(ink, top, left, bottom - top + 1, right - left + 1);
}

function find(image: Grey): Found | null {
  const { ink, noise } = inkOf(image);
  const full = fullLevel(ink.data, noise);
  if (full < Math.max(FAINTEST, CLEAREST_NOISE * noise)) return null;
  return digitIn(mapped(ink, (value) => value / full));
}

function evenGround(image: Grey): number | null {
  const [low, high] = range(image.data);
  if (high - low < 255 * FAINTEST) return null;
  const limit = Math.fround(otsu(image.data));
  const light = image.data.filter((value) => value > limit).sort();
  const dark = image.data.filter((value) => value <= limit);
  const ground = quantile(light, 0.5);
  const uneven = quantile(light, 0.75) - quantile(light, 0.25);
  return uneven <= UNEVEN * (ground - median(dark)) ? ground : null;
}

function range(values: Float32Array): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

/** Reduce colours to the axis along which their details differ most. */
function principalGrey(channels: Grey[]): Grey {
  const [first] = channels;
  if (channels.length === 1) return first!;
  const details = channels.map((channel) => {
    const small = sketch(channel);
    const smooth = blurred(small, Math.min(small.height, small.width) / 8);
    return mapped(small, (value, i) => value - smooth.data[i]!).data;
  });
  const axis = principalAxis(details);
  const total = sum(axis.map(Math.abs));
  const sign = Math.sign(sum(axis)) || 1;
  const weights = axis.map((value) => (sign * value) / total);
  const shift = 255 * sum(weights.map((weight) => Math.min(weight, 0)));
  return mapped(first!, (_, i) =>
    channels.reduce((value, { data }, c) => value + weights[c]! * data[i]!, -shift),
  );
}

/** The eigenvector of the largest eigenvalue of the covariance of three lists, by Jacobi's rotations. */
function principalAxis(lists: Float32Array[]): number[] {
  const count = lists[0]!.length;
  const means = lists.map((list) => sum(list) / count);
  const matrix = lists.map((a, i) =>
    lists.map((b, j) => {
      let total = 0;
      for (let k = 0; k < count; k++) total += (a[k]! - means[i]!) * (b[k]! - means[j]!);
      return total / (count - 1);
    }),
  );
  const vectors = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  const rotations: [number, number][] = [
    [0, 1],
    [0, 2],
    [1, 2],
  ];
  for (let sweep = 0; sweep < 30; sweep++) {
    for (const [p, q] of rotations) {
      const off = matrix[p]![q]!;
      if (off === 0) continue;
      const theta = (matrix[q]![q]! - matrix[p]![p]!) / (2 * off);
      const tangent = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
      const cosine = 1 / Math.hypot(tangent, 1);
      const sine = tangent * cosine;
      for (let k = 0; k < 3; k++) {
        const [a, b] = [matrix[k]![p]!, matrix[k]![q]!];
        matrix[k]![p] = cosine * a - sine * b;
        matrix[k]![q] = sine * a + cosine * b;
      }
      for (let k = 0; k < 3; k++) {
        const [a, b] = [matrix[p]![k]!, matrix[q]![k]!];
        matrix[p]![k] = cosine * a - sine * b;
        matrix[q]![k] = sine * a + cosine * b;
        const [v, w] = [vectors[k]![p]!, vectors[k]![q]!];
        vectors[k]![p] = cosine * v - sine * w;
        vectors[k]![q] = sine * v + cosine * w;
      }
    }
  }
  const values = [0, 1, 2].map((i) => matrix[i]![i]!);
  const best = values.indexOf(Math.max(...values));
  return vectors.map((row) => row[best]!);
}

/** Invert light strokes on a dark ground. */
function darkOnLight(image: Grey): Grey {
  const small = sketch(image);
  let balance = 0;
  for (const share of POLARITY_WINDOWS) {
    const window = odd(share, small);
    const [filled, emptied] = [closed(small, window), opened(small, window)];
    const dark = sum(mapped(filled, (value, i) => value - small.data[i]!).data);
    const light = sum(mapped(emptied, (value, i) => small.data[i]! - value).data);
    balance += (dark - light) / small.data.length / window ** 2;
  }
  return balance >= 0 ? image : mapped(image, (value) => 255 - value);
}

/** The share of the ground's light that is missing at each pixel, and the deviation of its grain. */
function inkOf(image: Grey): { ink: Grey; noise: number } {
  const { height, width } = image;
  const smooth = blurred(image, Math.min(height, width) / 500);
  const window = odd(WIDEST_STROKE, image);
  // Half a window of edge pixels around it is all that the windows of the image's own pixels ask for.
  const frame = window >> 1;
  const filled = part(closed(padded(smooth, frame, 'edge'), window), frame, frame, height, width);
  const ground = mapped(filled, (value) => Math.max(value, DARKEST_GROUND));
  const ink = mapped(filled, (value, i) => (value - smooth.data[i]!) / ground.data[i]!);
  const base = quantile(ink.data.slice().sort(), 0.25);
  const middle = medianOfNine(image);
  const grain = mapped(image, (value, i) => Math.abs(value - middle.data[i]!) / ground.data[i]!);
  return { ink: mapped(ink, (value) => value - base), noise: 1.48 * median(grain.data) };
}

function fullLevel(ink: Float32Array, noise: number): number {
  const least = Math.fround(Math.max(FAINTEST / 2, 3 * noise));
  const marks = ink.filter((value) => value > least);
  if (!marks.length) return 0;
  const [low, high] = range(marks);
  if (high - low < FAINTEST / 2) return Math.max(0, high);
  const limit = Math.fround(otsu(marks));
  return quantile(marks.filter((value) => value > limit).sort(), 0.75);
}

interface Part {
  area: number;
  starts: [number, number];
  stops: [number, number];
}

/** Keep the digit's parts: no specks, nothing that comes in from the border, nothing far from the rest. */
function digitIn(ink: Grey): Found | null {
  const { places, parts } = connected(ink);
  if (!parts.length) return null;
  const shape = [ink.height, ink.width];
  const sizes = parts.map(({ starts, stops }) => Math.max(stops[0] - starts[0], stops[1] - starts[1]));
  const clear = parts.map(({ starts, stops }) =>
    [0, 1].every((a) => starts[a]! > 0 && stops[a]! < shape[a]!),
  );
  const inside = clear.some((one, i) => one && sizes[i]! >= SMALLEST_DIGIT * Math.min(...shape));
  const chosen = parts.map((_, i) => !inside || clear[i]!);
  let main = 0;
  const area = (i: number) => (chosen[i] ? parts[i]!.area : 0);
  parts.forEach((_, i) => {
    if (area(i) > area(main)) main = i;
  });
  const largest = parts[main]!;
  const kept = parts.map(({ starts, stops, area: own }, i) => {
    const gaps = [0, 1].map((a) => Math.max(starts[a]! - largest.stops[a]!, largest.starts[a]! - stops[a]!));
    return chosen[i]! && own >= SPECK * largest.area && Math.max(...gaps) <= GAP * sizes[main]!;
  });
  const core = new Uint8Array(places.length);
  for (let i = 0; i < core.length; i++) core[i] = places[i] && kept[places[i]! - 1] ? 1 : 0;
  return { ink, core, inside };
}

/** Parts of what has more than half of the ink, numbered from 1 on at each of their pixels; corners connect. */
function connected({ data, height, width }: Grey): { places: Uint32Array; parts: Part[] } {
  const places = new Uint32Array(data.length);
  const parts: Part[] = [];
  for (let first = 0; first < data.length; first++) {
    if (places[first] || !(data[first]! > 0.5)) continue;
    const found: Part = { area: 0, starts: [height, width], stops: [0, 0] };
    parts.push(found);
    places[first] = parts.length;
    const open = [first];
    while (open.length) {
      const place = open.pop()!;
      const [y, x] = [Math.floor(place / width), place % width];
      found.area++;
      found.starts = [Math.min(found.starts[0], y), Math.min(found.starts[1], x)];
      found.stops = [Math.max(found.stops[0], y + 1), Math.max(found.stops[1], x + 1)];
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
          const next = row * width + column;
          if (places[next] || !(data[next]! > 0.5)) continue;
          places[next] = parts.length;
          open.push(next);
        }
      }
    }
  }
  return { places, parts };
}

/** Means over square blocks of pixels, few of them. */
function sketch(image: Grey): Grey {
  const step = Math.max(1, Math.floor(Math.min(image.height, image.width) / SKETCH_SIDE));
  const found = grey(Math.floor(image.height / step), Math.floor(image.width / step));
  for (let y = 0; y < found.height; y++) {
    for (let x = 0; x < found.width; x++) {
      let total = 0;
      for (let i = 0; i < step; i++) {
        for (let j = 0; j < step; j++) total += image.data[(y * step + i) * image.width + x * step + j]!;
      }
      found.data[y * found.width + x] = total / (step * step);
    }
  }
  return found;
}

/** A share of the shorter side as the width of a window, which has a middle pixel. */
function odd(share: number, { height, width }: Grey): number {
  return 2 * Math.max(1, roundEven((share * Math.min(height, width)) / 2)) + 1;
}
