/** The operators of ONNX (opset 18) that the graphs of digitvae's models are made of. */
import type { Memory } from './memory.ts';
import { broadcast, floats, scalar, sizeOf, strides, walk, whole, type Tensor } from './tensor.ts';

export type Attributes = Record<string, unknown>;
export type Operator = (inputs: Tensor[], attributes: Attributes, memory: Memory) => Tensor[];

function unary(apply: (x: number) => number): Operator {
  return ([input], _, memory) => {
    const from = floats(input!);
    const data = memory.floats(from.length);
    for (let i = 0; i < from.length; i++) data[i] = apply(from[i]!);
    return [{ shape: input!.shape, data }];
  };
}

function fill(
  first: Tensor,
  second: Tensor,
  shape: readonly number[],
  to: Float32Array | Uint8Array,
  apply: (a: number, b: number) => number,
): void {
  const a = first.data;
  const b = second.data;
  // The last axes of one, again and again: a bias, a number, or two tensors of one shape.
  if (a.length === to.length && to.length % b.length === 0 && endsWith(shape, second.shape)) {
    for (let start = 0; start < to.length; start += b.length) {
      for (let i = 0; i < b.length; i++) to[start + i] = apply(a[start + i]!, b[i]!);
    }
    return;
  }
  walk(shape, strides(first.shape, shape), strides(second.shape, shape), (place, i, j) => {
    to[place] = apply(a[i]!, b[j]!);
  });
}

function endsWith(shape: readonly number[], end: readonly number[]): boolean {
  const sides = end.slice(end.findIndex((side) => side !== 1));
  if (sizeOf(end) === 1) return true;
  return sides.every((side, i) => side === shape[shape.length - sides.length + i]);
}

function binary(apply: (a: number, b: number) => number): Operator {
  return ([first, second], _, memory) => {
    const shape = broadcast(first!.shape, second!.shape);
    const data = memory.floats(sizeOf(shape));
    fill(first!, second!, shape, data, apply);
    return [{ shape, data }];
  };
}

function comparison(apply: (a: number, b: number) => boolean): Operator {
  return ([first, second]) => {
    const shape = broadcast(first!.shape, second!.shape);
    const data = new Uint8Array(sizeOf(shape));
    fill(first!, second!, shape, data, (a, b) => Number(apply(a, b)));
    return [{ shape, data }];
  };
}

function reduction(start: number, apply: (total: number, x: number) => number): Operator {
  return ([input, axes], { keepdims }, memory) => {
    const { shape } = input!;
    const gone = new Set(whole(axes!).map((axis) => (axis + shape.length) % shape.length));
    const kept = shape.map((side, axis) => (gone.has(axis) ? 1 : side));
    const data = memory.floats(sizeOf(kept)).fill(start);
    const from = input!.data;
    walk(shape, strides(shape, shape), strides(kept, shape), (_, i, j) => {
      data[j] = apply(data[j]!, from[i]!);
    });
    return [{ shape: keepdims ? kept : shape.filter((_, axis) => !gone.has(axis)), data }];
  };
}

function reshaped(input: Tensor, shape: readonly number[]): Tensor[] {
  return [{ shape, data: input.data }];
}

/** A new array of the type of another one. */
function alike(input: Tensor, length: number, memory: Memory): Tensor['data'] {
  if (input.data instanceof Float32Array) return memory.floats(length);
  return input.data instanceof Int32Array ? new Int32Array(length) : new Uint8Array(length);
}

/** Before, along and behind an axis: how many numbers there are. */
function around(shape: readonly number[], axis: number): [number, number, number] {
  return [sizeOf(shape.slice(0, axis)), shape[axis]!, sizeOf(shape.slice(axis + 1))];
}

const reshape: Operator = ([input, wanted]) => {
  const shape = whole(wanted!).map((side, axis) => (side === 0 ? input!.shape[axis]! : side));
  const open = shape.indexOf(-1);
  if (open >= 0) shape[open] = input!.data.length / -sizeOf(shape);
  return reshaped(input!, shape);
};

const unsqueeze: Operator = ([input, axes]) => {
  const count = input!.shape.length + axes!.data.length;
  const added = new Set(whole(axes!).map((axis) => (axis + count) % count));
  const sides = input!.shape[Symbol.iterator]();
  const shape = Array.from({ length: count }, (_, axis) =>
    added.has(axis) ? 1 : (sides.next().value as number),
  );
  return reshaped(input!, shape);
};

const squeeze: Operator = ([input, axes]) => {
  const { shape } = input!;
  const gone = new Set(whole(axes!).map((axis) => (axis + shape.length) % shape.length));
  return reshaped(
    input!,
    shape.filter((_, axis) => !gone.has(axis)),
  );
};

/** For each number of a transposed tensor where it comes from, by shape and order of the axes: the same every time. */
const sources = new Map<string, Int32Array>();

function sourcesOf(shape: readonly number[], order: readonly number[]): Int32Array {
  const key = `${shape.join()}|${order.join()}`;
  let found = sources.get(key);
  if (!found) {
    const next = new Int32Array(sizeOf(shape));
    const own = strides(shape, shape);
    const steps = order.map((axis) => own[axis]!);
    walk(
      order.map((axis) => shape[axis]!),
      steps,
      steps,
      (place, i) => {
        next[place] = i;
      },
    );
    found = next;
    sources.set(key, found);
  }
  return found;
}

const transpose: Operator = ([input], { perm }, memory) => {
  const order = perm as number[];
  const from = input!.data;
  const data = alike(input!, from.length, memory);
  const places = sourcesOf(input!.shape, order);
  for (let i = 0; i < places.length; i++) data[i] = from[places[i]!]!;
  return [{ shape: order.map((axis) => input!.shape[axis]!), data }];
};

const gather: Operator = ([input, indices], { axis }, memory) => {
  const at = ((axis as number | undefined) ?? 0) as number;
  const place = (at + input!.shape.length) % input!.shape.length;
  const [before, along, behind] = around(input!.shape, place);
  const wanted = indices!.data;
  const data = alike(input!, before * wanted.length * behind, memory);
  let to = 0;
  for (let i = 0; i < before; i++) {
    for (const index of wanted) {
      const from = (i * along + ((index + along) % along)) * behind;
      for (let j = 0; j < behind; j++) data[to++] = input!.data[from + j]!;
    }
  }
  return [
    { shape: [...input!.shape.slice(0, place), ...indices!.shape, ...input!.shape.slice(place + 1)], data },
  ];
};

function part(input: Tensor, axis: number, start: number, size: number, memory: Memory): Tensor {
  const [before, along, behind] = around(input.shape, axis);
  const data = alike(input, before * size * behind, memory);
  for (let i = 0; i < before; i++) {
    const from = (i * along + start) * behind;
    data.set(input.data.subarray(from, from + size * behind), i * size * behind);
  }
  return { shape: input.shape.map((side, i) => (i === axis ? size : side)), data };
}

const slice: Operator = ([input, starts, ends, axes], _, memory) => {
  let found = input!;
  whole(starts!).forEach((start, i) => {
    const axis = axes ? axes.data[i]! : i;
    const side = found.shape[axis]!;
    const [first, last] = [start, ends!.data[i]!].map((x) => Math.min(side, x < 0 ? x + side : x)) as [
      number,
      number,
    ];
    found = part(found, axis, first, Math.max(0, last - first), memory);
  });
  return [found];
};

const split: Operator = ([input, sizes], { axis }, memory) => {
  const at = (((axis as number | undefined) ?? 0) + input!.shape.length) % input!.shape.length;
  let start = 0;
  return whole(sizes!).map((size) => {
    start += size;
    return part(input!, at, start - size, size, memory);
  });
};

const concat: Operator = (inputs, { axis }, memory) => {
  const { shape } = inputs[0]!;
  const at = ((axis as number) + shape.length) % shape.length;
  const along = inputs.reduce((total, input) => total + input.shape[at]!, 0);
  const [before, , behind] = around(shape, at);
  const data = alike(inputs[0]!, before * along * behind, memory);
  let start = 0;
  for (const input of inputs) {
    const size = input.shape[at]! * behind;
    for (let i = 0; i < before; i++) {
      data.set(input.data.subarray(i * size, (i + 1) * size), i * along * behind + start);
    }
    start += size;
  }
  return [{ shape: shape.map((side, i) => (i === at ? along : side)), data }];
};

const expand: Operator = ([input, wanted], _, memory) => {
  const shape = broadcast(input!.shape, whole(wanted!));
  const steps = strides(input!.shape, shape);
  const data = alike(input!, sizeOf(shape), memory);
  walk(shape, steps, steps, (place, i) => {
    data[place] = input!.data[i]!;
  });
  return [{ shape, data }];
};

const where: Operator = ([condition, first, second], _, memory) => {
  const shape = broadcast(condition!.shape, broadcast(first!.shape, second!.shape));
  const data = memory.floats(sizeOf(shape));
  const steps = strides(condition!.shape, shape);
  walk(shape, steps, strides(first!.shape, shape), (place, i, j) => {
    data[place] = condition!.data[i] ? first!.data[j]! : 0;
  });
  walk(shape, steps, strides(second!.shape, shape), (place, i, j) => {
    if (!condition!.data[i]) data[place] = second!.data[j]!;
  });
  return [{ shape, data }];
};

const clip: Operator = ([input, least, most], _, memory) => {
  const [low, high] = [least ? scalar(least) : -Infinity, most ? scalar(most) : Infinity];
  return unary((x) => Math.min(high, Math.max(low, x)))([input!], {}, memory);
};

const pad: Operator = ([input, pads], _, memory) => {
  const sides = whole(pads!);
  const count = input!.shape.length;
  const shape = input!.shape.map((side, axis) => side + sides[axis]! + sides[axis + count]!);
  const data = memory.floats(sizeOf(shape)).fill(0);
  const to = strides(shape, shape);
  const start = to.reduce((place, step, axis) => place + step * sides[axis]!, 0);
  walk(input!.shape, strides(input!.shape, input!.shape), to, (_, i, j) => {
    data[start + j] = input!.data[i]!;
  });
  return [{ shape, data }];
};

/** Rows along the last axis become what `apply` makes of them. */
function alongRows(apply: (row: Float32Array) => void): Operator {
  return ([input], { axis }, memory) => {
    const { shape } = input!;
    const last = shape.length - 1;
    const at = (axis as number | undefined) ?? -1;
    if ((at + shape.length) % shape.length !== last)
      throw new Error('Expected the last axis. Received: another');
    const data = memory.floats(input!.data.length);
    data.set(floats(input!));
    for (let i = 0; i < data.length; i += shape[last]!) apply(data.subarray(i, i + shape[last]!));
    return [{ shape, data }];
  };
}

function logSumExp(row: Float32Array): number {
  let most = -Infinity;
  for (const x of row) most = Math.max(most, x);
  let total = 0;
  for (const x of row) total += Math.exp(x - most);
  return most + Math.log(total);
}

const matmul: Operator = ([first, second], _, memory) => {
  const k = second!.shape[0]!;
  const n = second!.shape[1]!;
  if (second!.shape.length !== 2) throw new Error('Expected a matrix. Received: more axes');
  const a = floats(first!);
  const b = floats(second!);
  const m = a.length / k;
  const data = memory.floats(m * n);
  memory.kernel.multiply(a.byteOffset, b.byteOffset, data.byteOffset, m, n, k, 0, 0);
  return [{ shape: [...first!.shape.slice(0, -1), n], data }];
};

const conv: Operator = ([images, weights, bias], attributes, memory) => {
  const [count, channels, height, width] = images!.shape as [number, number, number, number];
  const [filters, , rows, columns] = weights!.shape as [number, number, number, number];
  const [top, left, bottom, right] = attributes.pads as [number, number, number, number];
  const [strideY, strideX] = attributes.strides as [number, number];
  const high = Math.floor((height + top + bottom - rows) / strideY) + 1;
  const wide = Math.floor((width + left + right - columns) / strideX) + 1;
  const data = memory.floats(count * filters * high * wide);
  const k = channels * rows * columns;
  const plain = rows * columns * strideX * strideY === 1 && top + left + bottom + right === 0;
  const found = plain ? 0 : memory.floats(k * high * wide).byteOffset;
  const { kernel } = memory;
  for (let i = 0; i < count; i++) {
    const image = images!.data.byteOffset + 4 * i * channels * height * width;
    if (!plain) {
      kernel.windows(
        image,
        found,
        channels,
        height,
        width,
        rows,
        columns,
        top,
        left,
        strideY,
        strideX,
        high,
        wide,
      );
    }
    const to = data.byteOffset + 4 * i * filters * high * wide;
    const place = bias ? bias.data.byteOffset : 0;
    kernel.multiply(weights!.data.byteOffset, plain ? image : found, to, filters, high * wide, k, place, 0);
  }
  return [{ shape: [count, filters, high, wide], data }];
};

export const OPERATORS: Record<string, Operator> = {
  Abs: unary(Math.abs),
  Add: binary((a, b) => a + b),
  Clip: clip,
  Concat: concat,
  Conv: conv,
  Div: binary((a, b) => a / b),
  Exp: unary(Math.exp),
  Expand: expand,
  Gather: gather,
  Greater: comparison((a, b) => a > b),
  GreaterOrEqual: comparison((a, b) => a >= b),
  Identity: (inputs) => [inputs[0]!],
  Less: comparison((a, b) => a < b),
  LessOrEqual: comparison((a, b) => a <= b),
  Log: unary(Math.log),
  LogSoftmax: alongRows((row) => {
    const total = logSumExp(row);
    for (let i = 0; i < row.length; i++) row[i]! -= total;
  }),
  MatMul: matmul,
  Max: binary(Math.max),
  Min: binary(Math.min),
  Mul: binary((a, b) => a * b),
  Neg: unary((x) => -x),
  Pad: pad,
  ReduceMax: reduction(-Infinity, Math.max),
  ReduceMin: reduction(Infinity, Math.min),
  ReduceSum: reduction(0, (total, x) => total + x),
  Relu: unary((x) => (x > 0 ? x : 0)),
  Reshape: reshape,
  Sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  Slice: slice,
  Softmax: alongRows((row) => {
    const total = logSumExp(row);
    for (let i = 0; i < row.length; i++) row[i] = Math.exp(row[i]! - total);
  }),
  Softplus: unary((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
  Split: split,
  Sqrt: unary(Math.sqrt),
  Squeeze: squeeze,
  Sub: binary((a, b) => a - b),
  Tanh: unary(Math.tanh),
  Transpose: transpose,
  Unsqueeze: unsqueeze,
  Where: where,
};
