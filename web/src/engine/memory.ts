/** What the WebAssembly module of `kernel/matrix.ts` offers; places are byte offsets into its memory. */
export interface Kernel {
  memory: WebAssembly.Memory;
  multiply(
    a: number,
    b: number,
    c: number,
    m: number,
    n: number,
    k: number,
    rowBias: number,
    columnBias: number,
  ): void;
  windows(
    image: number,
    to: number,
    channels: number,
    height: number,
    width: number,
    rows: number,
    columns: number,
    top: number,
    left: number,
    strideY: number,
    strideX: number,
    high: number,
    wide: number,
  ): void;
}

/** Thrown where the memory is full: growing it would cut off the arrays that are in use. */
class Full extends Error {
  readonly wanted: number;

  constructor(wanted: number) {
    super(`memory for ${wanted} bytes more`);
    this.wanted = wanted;
  }
}

const PAGE = 65536;
const FIRST_PLACE = 4096; // below it lies what AssemblyScript keeps for itself, and nothing at 0

/**
 * The memory of the kernel: constants stay, what a run allocates is given back at its end.
 */
export class Memory {
  readonly kernel: Kernel;
  private end = FIRST_PLACE;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** Return an array in the memory, with whatever was there before. */
  floats(length: number): Float32Array<ArrayBuffer> {
    const { buffer } = this.kernel.memory;
    const place = this.end;
    const end = place + ((4 * length + 15) & ~15);
    if (end > buffer.byteLength) throw new Full(end - buffer.byteLength);
    this.end = end;
    return new Float32Array(buffer as ArrayBuffer, place, length);
  }

  /** Make room for so many numbers that stay. Only before anything runs. */
  reserve(length: number): void {
    const missing = this.end + 4 * length + PAGE - this.kernel.memory.buffer.byteLength;
    if (missing > 0) this.kernel.memory.grow(Math.ceil(missing / PAGE));
  }

  /** Run, and give back what it allocated. Where the memory is too small, make it larger and start again. */
  run<Result>(work: () => Result): Result {
    const before = this.end;
    for (;;) {
      try {
        return work();
      } catch (error) {
        if (!(error instanceof Full)) throw error;
        const pages = this.kernel.memory.buffer.byteLength / PAGE;
        this.kernel.memory.grow(Math.max(pages, Math.ceil(error.wanted / PAGE)));
      } finally {
        this.end = before;
      }
    }
  }

  get buffer(): ArrayBuffer {
    return this.kernel.memory.buffer as ArrayBuffer;
  }
}
