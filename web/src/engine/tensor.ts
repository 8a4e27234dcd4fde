/** Numbers with a shape. Float32 lie in the kernel's memory, whole numbers and truth values elsewhere. */
export interface Tensor {
  shape: readonly number[];
  data: Float32Array<ArrayBuffer> | Int32Array | Uint8Array;
}

export interface Floats extends Tensor {
  data: Float32Array<ArrayBuffer>;
}

export function floats(tensor: Tensor): Float32Array<ArrayBuffer> {
  if (tensor.data instanceof Float32Array) return tensor.data;
  throw new Error('Expected float32. Received: whole numbers');
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1);
}

/** Return the number of a tensor of one number. */
export function scalar(tensor: Tensor): number {
  return tensor.data[0]!;
}

export function whole(tensor: Tensor): number[] {
  return Array.from(tensor.data);
}

/** Return the shape that two shapes have in common. */
export function broadcast(first: readonly number[], second: readonly number[]): number[] {
  const length = Math.max(first.length, second.length);
  return Array.from({ length }, (_, i) => {
    const a = first[first.length - length + i] ?? 1;
    const b = second[second.length - length + i] ?? 1;
    return a === 1 ? b : a;
  });
}

/** Return how far apart neighbours along each axis of `shape` lie in a tensor that is broadcast to it. */
export function strides(own: readonly number[], shape: readonly number[]): number[] {
  const found = new Array<number>(shape.length).fill(0);
  let step = 1;
  for (let i = own.length - 1; i >= 0; i--) {
    if (own[i] !== 1) found[i + shape.length - own.length] = step;
    step *= own[i]!;
  }
  return found;
}

/** Call `visit` with the places in several tensors of each entry of `shape`, in row-major order. */
export function walk(
  shape: readonly number[],
  first: readonly number[],
  second: readonly number[],
  visit: (place: number, a: number, b: number) => void,
): void {
  const count = sizeOf(shape);
  const at = new Array<number>(shape.length).fill(0);
  let a = 0;
  let b = 0;
  for (let place = 0; place < count; place++) {
    visit(place, a, b);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      a += first[axis]!;
      b += second[axis]!;
      if (++at[axis]! < shape[axis]!) break;
      a -= first[axis]! * shape[axis]!;
      b -= second[axis]! * shape[axis]!;
      at[axis] = 0;
    }
  }
}
