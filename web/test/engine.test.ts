import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Graphs, widen, type GraphFile, type Node } from '../src/engine/graphs.ts';
import type { Kernel } from '../src/engine/memory.ts';

const kernelBytes = readFileSync(new URL('../src/engine/matrix.wasm', import.meta.url));

async function kernel(): Promise<Kernel> {
  const { instance } = await WebAssembly.instantiate(kernelBytes);
  return instance.exports as unknown as Kernel;
}

/** Run nodes on inputs x, y, ... and constants; the result is called out. */
async function run(
  nodes: Node[],
  inputs: Record<string, { shape: number[]; data: number[] }>,
  constants: Record<string, { shape: number[]; data: number[]; type: 'f4' | 'i4' }> = {},
): Promise<number[]> {
  const file: GraphFile = { format: 2, graphs: {}, tensors: {} };
  const bytes: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { shape, data, type }] of Object.entries(constants)) {
    file.tensors[name] = { type, shape, offset };
    const content = type === 'f4' ? Float32Array.from(data) : Int32Array.from(data);
    bytes.push(new Uint8Array(content.buffer));
    offset += content.byteLength;
  }
  file.graphs.main = { inputs: Object.keys(inputs), outputs: ['out'], nodes };
  const weights = new Uint8Array(offset);
  let place = 0;
  for (const part of bytes) {
    weights.set(part, place);
    place += part.length;
  }
  const graphs = new Graphs(await kernel(), file, weights.buffer);
  const given = Object.entries(inputs).map(([name, { shape, data }]) => [
    name,
    { shape, data: Float32Array.from(data) },
  ]);
  return Array.from(graphs.run('main', Object.fromEntries(given) as never).out!);
}

/** Numbers that look random and are small. */
function numbers(count: number, seed: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.sin(12.9898 * (i + 1) * (seed + 1)));
}

function close(found: number[], expected: number[]): void {
  expect(found.length).toBe(expected.length);
  found.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 4));
}

describe('the matrix kernel', () => {
  const sizes: [number, number, number][] = [
    [1, 1, 1],
    [1, 40, 7],
    [3, 5, 9],
    [4, 8, 16],
    [5, 49, 13],
    [7, 17, 3],
    [9, 16, 31],
    [64, 49, 20],
  ];
  it.each(sizes)('multiplies (%i x %i by %i)', async (m, n, k) => {
    const [a, b] = [numbers(m * k, 1), numbers(k * n, 2)];
    const expected = Array.from({ length: m * n }, (_, at) => {
      let total = 0;
      for (let i = 0; i < k; i++) total += a[Math.floor(at / n) * k + i]! * b[i * n + (at % n)]!;
      return total;
    });
    const nodes: Node[] = [['MatMul', ['x', 'w'], ['out'], {}]];
    close(
      await run(nodes, { x: { shape: [m, k], data: a } }, { w: { shape: [k, n], data: b, type: 'f4' } }),
      expected,
    );
  });

  it.each([
    [1, [1, 1, 1, 1]],
    [2, [0, 0, 1, 1]],
    [2, [0, 0, 0, 0]],
  ])('convolves with stride %i and padding %j', async (stride, pads) => {
    const [count, channels, height, width, filters, side] = [2, 3, 7, 6, 5, 3];
    const [x, w, bias] = [
      numbers(count * channels * height * width, 3),
      numbers(filters * channels * side * side, 4),
      numbers(filters, 5),
    ];
    const [top, left, bottom, right] = pads as [number, number, number, number];
    const high = Math.floor((height + top + bottom - side) / stride) + 1;
    const wide = Math.floor((width + left + right - side) / stride) + 1;
    const expected: number[] = [];
    for (let n = 0; n < count; n++) {
      for (let f = 0; f < filters; f++) {
        for (let y = 0; y < high; y++) {
          for (let z = 0; z < wide; z++) {
            let total = bias[f]!;
            for (let c = 0; c < channels; c++) {
              for (let i = 0; i < side; i++) {
                for (let j = 0; j < side; j++) {
                  const [row, column] = [y * stride + i - top, z * stride + j - left];
                  if (row < 0 || row >= height || column < 0 || column >= width) continue;
                  total +=
                    x[((n * channels + c) * height + row) * width + column]! *
                    w[((f * channels + c) * side + i) * side + j]!;
                }
              }
            }
            expected.push(total);
          }
        }
      }
    }
    const attributes = { kernel_shape: [side, side], pads, strides: [stride, stride] };
    const found = await run(
      [['Conv', ['x', 'w', 'b'], ['out'], attributes]],
      { x: { shape: [count, channels, height, width], data: x } },
      {
        w: { shape: [filters, channels, side, side], data: w, type: 'f4' },
        b: { shape: [filters], data: bias, type: 'f4' },
      },
    );
    close(found, expected);
  });
});

describe('operators', () => {
  it('broadcasts', async () => {
    const x = { shape: [2, 1, 3], data: [1, 2, 3, 4, 5, 6] };
    const y = { shape: [2, 1], data: [10, 20] };
    close(
      await run([['Add', ['x', 'y'], ['out'], {}]], { x, y }),
      [11, 12, 13, 21, 22, 23, 14, 15, 16, 24, 25, 26],
    );
    close(
      await run([['Sub', ['y', 'x'], ['out'], {}]], { x, y }),
      [9, 8, 7, 19, 18, 17, 6, 5, 4, 16, 15, 14],
    );
  });

  it('reduces, transposes and gathers', async () => {
    const x = { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] };
    const axis = { a: { shape: [1], data: [1], type: 'i4' as const } };
    close(await run([['ReduceSum', ['x', 'a'], ['out'], { keepdims: 0 }]], { x }, axis), [6, 15]);
    close(await run([['ReduceMax', ['x', 'a'], ['out'], { keepdims: 1 }]], { x }, axis), [3, 6]);
    close(await run([['Transpose', ['x'], ['out'], { perm: [1, 0] }]], { x }), [1, 4, 2, 5, 3, 6]);
    const picked = { i: { shape: [2], data: [2, 0], type: 'i4' as const } };
    close(await run([['Gather', ['x', 'i'], ['out'], { axis: 1 }]], { x }, picked), [3, 1, 6, 4]);
  });

  it('runs loops, whose bodies see what is around them', async () => {
    const body = {
      inputs: ['i', 'on', 'state'],
      outputs: ['on', 'next'],
      nodes: [['Add', ['state', 'x'], ['next'], {}]],
    };
    const constants = {
      times: { shape: [], data: [5], type: 'i4' as const },
      start: { shape: [2], data: [1, 2], type: 'f4' as const },
    };
    const nodes: Node[] = [['Loop', ['times', '', 'start'], ['out'], { body }]];
    close(await run(nodes, { x: { shape: [2], data: [10, 20] } }, constants), [51, 102]);
  });

  it('says what it does not know', async () => {
    await expect(run([['Einsum', ['x'], ['out'], {}]], { x: { shape: [1], data: [1] } })).rejects.toThrow(
      'Einsum',
    );
  });

  it('grows its memory in the middle of a run', async () => {
    const count = 3_000_000;
    const nodes: Node[] = ['a', 'b', 'c', 'out'].map((name, i) => [
      'Add',
      [['x', 'a', 'b', 'c'][i]!, 'w'],
      [name],
      {},
    ]);
    const found = await run(
      nodes,
      { x: { shape: [count], data: new Array<number>(count).fill(1) } },
      { w: { shape: [1], data: [2], type: 'f4' } },
    );
    expect(found.length).toBe(count);
    expect(found[count - 1]).toBe(9);
  });
});

it('widens whole numbers by the scale of their row', () => {
  const to = new Float32Array(6);
  widen(Int16Array.of(1, -2, 32767, 0, 5, -32767), Float32Array.of(0.5, 2), to);
  expect(Array.from(to)).toEqual([0.5, -1, 16383.5, 0, 10, -65534]);
});
