import { describe, expect, it } from 'vitest';
import { numbers, packed, unpacked } from '../src/address.ts';
import { readPoints, type ExplorerFile, type Points } from '../src/data.ts';
import { Latest } from '../src/engine/client.ts';
import { Nearest } from '../src/map/nearest.ts';
import { View } from '../src/map/view.ts';
import { distances, quantile, roundEven } from '../src/photo/grey.ts';
import { skeletonLength } from '../src/photo/skeleton.ts';
import { evenNumbers, normalNumbers } from '../src/random.ts';

function somePoints(count: number): Points {
  const even = evenNumbers(1);
  const fill = (length: number) => Float32Array.from({ length }, even);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
  return { count, latentDim: 3, x: fill(count), y: fill(count), labels, latents: fill(3 * count) };
}

describe('the map', () => {
  const points = somePoints(500);
  const nearest = new Nearest(points);

  it('finds the nearest points', () => {
    for (const [x, y] of [
      [0.5, 0.5],
      [0, 0],
      [0.99, 0.01],
      [0.3, 0.8],
    ] as [number, number][]) {
      const squares = Array.from(points.x, (px, i) => (px - x) ** 2 + (points.y[i]! - y) ** 2);
      const expected = squares.map((_, i) => i).sort((a, b) => squares[a]! - squares[b]!);
      expect(nearest.find(x, y, 7).map(({ index }) => index)).toEqual(expected.slice(0, 7));
    }
  });

  it('has the latents of a point at the point, and changes little by little', () => {
    const at = nearest.latentsAt(points.x[8]!, points.y[8]!);
    at.forEach((value, i) => expect(value).toBeCloseTo(points.latents[24 + i]!, 4));
    let before = nearest.latentsAt(0.2, 0.4);
    for (let x = 0.2; x < 0.4; x += 1e-4) {
      const next = nearest.latentsAt(x, 0.4);
      next.forEach((value, i) => expect(Math.abs(value - before[i]!)).toBeLessThan(0.05));
      before = next;
    }
  });

  it('places the latents of a point at the point', () => {
    const [x, y] = nearest.placeOf(points.latents.slice(30, 33));
    expect(x).toBeCloseTo(points.x[10]!, 3);
    expect(y).toBeCloseTo(points.y[10]!, 3);
  });

  it('keeps the place under the pointer while it zooms', () => {
    const view = new View();
    view.width = 800;
    view.height = 600;
    const before = view.toMap(300, 200);
    view.zoomAt(300, 200, 3);
    view.toMap(300, 200).forEach((value, i) => expect(value).toBeCloseTo(before[i]!, 6));
  });
});

it('reads maps, and refuses those that are cut off', () => {
  const file = { points: 3, latent_dim: 2 } as ExplorerFile;
  const content = new ArrayBuffer(28 + 8 + 6);
  new Float32Array(content, 0, 6).set([0, 0.5, 1, 0.25, 0.5, 0.75]);
  new Uint8Array(content, 24, 3).set([7, 255, 1]);
  new Float32Array(content, 28, 2).set([0.5, 2]);
  new Int8Array(content, 36, 6).set([2, 0, -127, -1, 3, 4]);
  const found = readPoints(content, file);
  expect(Array.from(found.y)).toEqual([0.25, 0.5, 0.75]);
  expect(Array.from(found.labels)).toEqual([7, 255, 1]);
  expect(Array.from(found.latents)).toEqual([1, -2, 0, 6, -63.5, 8]);
  expect(() => readPoints(content.slice(4), file)).toThrow('Expected a map of 42 bytes. Received: 38');
});

it('keeps codes in addresses', () => {
  const latents = normalNumbers(40, 3);
  unpacked(packed(latents), 40)!.forEach((value, i) => expect(value).toBeCloseTo(latents[i]!, 3));
  expect(packed(latents)).toMatch(/^[\w-]+$/);
  expect(unpacked(packed(latents), 39)).toBeNull();
  expect(unpacked('%%%', 40)).toBeNull();
  expect(numbers('1,x', 2)).toBeNull();
  expect(numbers(null, 1)).toBeNull();
});

it('draws normal numbers, the same from the same seed', () => {
  const drawn = normalNumbers(20_000, 5);
  expect(normalNumbers(20_000, 5)).toEqual(drawn);
  const mean = drawn.reduce((a, b) => a + b) / drawn.length;
  const square = drawn.reduce((total, x) => total + x * x, 0) / drawn.length;
  expect(Math.abs(mean)).toBeLessThan(0.03);
  expect(Math.abs(square - 1)).toBeLessThan(0.05);
});

it('does the latest of what waits', async () => {
  const done: number[] = [];
  const latest = new Latest(async (value: number) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    done.push(value);
  });
  for (let i = 0; i < 9; i++) latest.push(i);
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(done).toEqual([0, 8]);
});

describe('filters', () => {
  it('rounds and divides as NumPy does', () => {
    expect([0.5, 1.5, 2.5, -0.5, 2.4, 2.6].map(roundEven)).toEqual([0, 2, 2, 0, 2, 3]);
    expect(quantile([1, 2, 4, 8], 0.5)).toBe(3);
  });

  it('measures distances and lengths', () => {
    const mask = new Uint8Array(15 * 9);
    for (let y = 3; y < 6; y++) mask.fill(1, y * 15 + 2, y * 15 + 13);
    const { data } = distances(mask, 9, 15);
    expect(data[0]).toBeCloseTo(Math.hypot(2, 3), 6);
    expect(data[4 * 15 + 7]).toBe(0);
    // A bar of 3 x 11 becomes a line without its ends.
    expect(skeletonLength(mask, 9, 15)).toBeGreaterThanOrEqual(8);
    expect(skeletonLength(mask, 9, 15)).toBeLessThanOrEqual(10);
  });
});
