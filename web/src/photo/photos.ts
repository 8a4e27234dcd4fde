/** From a photo or drawing of a digit to an image like those of MNIST: `digitvae.data.photos`, step by step. */
import { distances, grey, mapped, padded, roundEven, sum, type Grey } from './grey.ts';
import type { Picture } from './picture.ts';
import { BICUBIC, BOX, resizedGrey, resizedLevels } from './resize.ts';
import { cropped, findStrokes, type Strokes } from './strokes.ts';

const LONG_SIDE = 640;
const SHORT_SIDE = 160;
const BOX_SHARE = 20 / 28;
const THINNEST = 1.5;

type Shape = readonly [height: number, width: number];

/** Turn a picture into light strokes from 0 (none) to 255, (height, width); null if it shows no strokes. */
export function readPhoto(picture: Picture, shape: Shape): Uint8Array | null {
  const strokes = findStrokes(decoded(picture));
  return strokes && centred(fitted(strokes, shape), shape);
}

/** The channels of a picture, of a size to work on. */
function decoded(picture: Picture): Grey[] {
  const { width, height } = picture;
  let channels: number = picture.channels;
  let levels = Uint8Array.from(picture.data);
  if (channels === 4 && levels.every((level, i) => i % 4 !== 3 || level === 255)) {
    levels = levels.filter((_, i) => i % 4 !== 3);
    channels = 3;
  }
  const scale = Math.max(LONG_SIDE / Math.max(width, height), SHORT_SIDE / Math.min(width, height));
  let size: [number, number] = [height, width];
  if (scale < 1) {
    const smaller: [number, number] = [
      Math.max(1, roundEven(height * scale)),
      Math.max(1, roundEven(width * scale)),
    ];
    if (channels === 4) premultiply(levels);
    levels = Uint8Array.from(resizedLevels(levels, size, smaller, channels, BOX));
    if (channels === 4) unmultiply(levels);
    size = smaller;
  }
  if (channels === 4) {
    levels = opaque(levels);
    channels = 3;
  }
  return Array.from({ length: channels }, (_, channel) => {
    const one = grey(...size);
    for (let i = 0; i < one.data.length; i++) one.data[i] = levels[i * channels + channel]!;
    return one;
  });
}

/** x / 255 rounded, for whole x. */
function by255(x: number): number {
  const shifted = x + 128;
  return ((shifted >> 8) + shifted) >> 8;
}

function premultiply(levels: Uint8Array): void {
  for (let i = 0; i < levels.length; i += 4) {
    for (let c = 0; c < 3; c++) levels[i + c] = by255(levels[i + c]! * levels[i + 3]!);
  }
}

function unmultiply(levels: Uint8Array): void {
  for (let i = 0; i < levels.length; i += 4) {
    const opacity = levels[i + 3]!;
    if (opacity === 0 || opacity === 255) continue;
    for (let c = 0; c < 3; c++) levels[i + c] = Math.min(255, Math.trunc((255 * levels[i + c]!) / opacity));
  }
}

/** Fill transparent parts: like the median of the rest, or in contrast to strokes that are alone. */
function opaque(levels: Uint8Array): Uint8Array<ArrayBuffer> {
  const visible: number[] = [];
  for (let i = 0; i < levels.length; i += 4) if (levels[i + 3]! > 127) visible.push(i);
  let ground = [255, 255, 255];
  if (2 * visible.length > levels.length / 4) {
    ground = [0, 1, 2].map((c) => {
      const sorted = Uint8Array.from(visible, (i) => levels[i + c]!).sort();
      const half = sorted.length >> 1;
      return Math.trunc(sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2);
    });
  } else if (visible.length) {
    const total = sum(visible.map((i) => levels[i]! + levels[i + 1]! + levels[i + 2]!));
    if (total / visible.length / 3 >= 128) ground = [0, 0, 0];
  }
  const found = new Uint8Array((levels.length / 4) * 3);
  for (let i = 0; i < levels.length / 4; i++) {
    const opacity = levels[4 * i + 3]!;
    for (let c = 0; c < 3; c++) {
      // With 7 bits more, as Pillow composes.
      const mixed = (levels[4 * i + c]! * opacity + ground[c]! * (255 - opacity)) * 128 + (128 << 7);
      found[3 * i + c] = opacity === 0 ? ground[c]! : ((mixed >> 8) + mixed) >> 15;
    }
  }
  return found;
}

/** Scale strokes to fit 20/28 of an image, with their proportions. */
function fitted(strokes: Strokes, shape: Shape): Grey {
  const box = shape.map((side) => Math.max(1, roundEven(BOX_SHARE * side))) as [number, number];
  let { ink } = strokes;
  let scale = Math.min(box[0] / ink.height, box[1] / ink.width);
  const missing = ((THINNEST * Math.min(...box)) / 20 / scale - strokes.width) / 2;
  if (missing > 0) {
    ink = padded(ink, Math.ceil(missing), 0);
    const far = distances(
      Uint8Array.from(ink.data, (value) => Number(value >= 0.5)),
      ink.height,
      ink.width,
    ).data;
    ink = cropped(
      mapped(ink, (value, i) => Math.max(value, Math.min(1, Math.max(0, missing + 1 - far[i]!)))),
    );
    scale = Math.min(box[0] / ink.height, box[1] / ink.width);
  }
  const height = Math.max(1, roundEven(scale * ink.height));
  const width = Math.max(1, roundEven(scale * ink.width));
  return resizedGrey(ink, height, width, scale < 1 ? BOX : BICUBIC);
}

/** Put the centre of mass at the middle pixel, and give the ink the full range of grey levels. */
function centred(ink: Grey, [height, width]: Shape): Uint8Array {
  const rows = Array.from({ length: ink.height }, (_, y) =>
    sum(ink.data.subarray(y * ink.width, (y + 1) * ink.width)),
  );
  const columns = Array.from({ length: ink.width }, (_, x) => {
    let total = 0;
    for (let y = 0; y < ink.height; y++) total += ink.data[y * ink.width + x]!;
    return total;
  });
  const start = (profile: number[], side: number) => {
    const centre = sum(profile.map((value, i) => value * i)) / sum(profile);
    return Math.min(side - profile.length, Math.max(0, Math.ceil((side - 1) / 2 - centre)));
  };
  const [top, left] = [start(rows, height), start(columns, width)];
  const most = ink.data.reduce((a, b) => Math.max(a, b), 0);
  const image = new Uint8Array(height * width);
  for (let y = 0; y < ink.height; y++) {
    for (let x = 0; x < ink.width; x++) {
      const share = Math.min(1, Math.max(0, ink.data[y * ink.width + x]! / most));
      image[(top + y) * width + left + x] = roundEven(255 * share);
    }
  }
  return image;
}
