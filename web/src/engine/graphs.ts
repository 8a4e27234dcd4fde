/** Graphs of ONNX operators, read from `graphs.json` and `weights.bin`, and run. */
import { Memory, type Kernel } from './memory.ts';
import { OPERATORS, type Attributes } from './operators.ts';
import { floats, scalar, sizeOf, type Tensor } from './tensor.ts';

/** An operator, the names of its inputs and outputs, and its attributes. */
export type Node = [string, string[], string[], Attributes];

export interface Graph {
  inputs: string[];
  outputs: string[];
  nodes: Node[];
}

interface Stored {
  type: 'r2' | 'f4' | 'i4' | 'b1';
  shape: number[];
  offset: number;
}

export interface GraphFile {
  format: number;
  graphs: Record<string, Graph>;
  tensors: Record<string, Stored>;
}

type Values = Map<string, Tensor>;

export class Graphs {
  private readonly memory: Memory;
  private readonly file: GraphFile;
  private readonly constants: Values = new Map();
  /** Where the constants lie: their arrays are cut off when the memory grows. */
  private readonly places: [string, number][] = [];

  constructor(kernel: Kernel, file: GraphFile, weights: ArrayBuffer) {
    if (file.format !== 2) throw new Error(`Expected a model of format 2. Received: format ${file.format}`);
    this.file = file;
    this.memory = new Memory(kernel);
    const stored = Object.entries(file.tensors);
    this.memory.reserve(stored.reduce((total, [, tensor]) => total + sizeOf(tensor.shape) + 4, 0));
    for (const [name, tensor] of stored) this.store(name, tensor, weights);
  }

  private store(name: string, { type, shape, offset }: Stored, weights: ArrayBuffer): void {
    const size = sizeOf(shape);
    if (type === 'i4') this.constants.set(name, { shape, data: new Int32Array(weights, offset, size) });
    else if (type === 'b1') this.constants.set(name, { shape, data: new Uint8Array(weights, offset, size) });
    else {
      const data = this.memory.floats(size);
      if (type === 'f4') data.set(new Float32Array(weights, offset, size));
      else {
        const rows = shape.length > 1 ? shape[0]! : 1;
        const scales = new Float32Array(weights, offset, rows);
        widen(new Int16Array(weights, offset + 4 * rows, size), scales, data);
      }
      this.constants.set(name, { shape, data });
      this.places.push([name, data.byteOffset]);
    }
  }

  has(name: string, input: string): boolean {
    return this.file.graphs[name]!.inputs.includes(input);
  }

  /** Run a graph. Results are copies, by name of the output. */
  run(
    name: string,
    inputs: Record<string, { shape: number[]; data: Float32Array }>,
  ): Record<string, Float32Array> {
    const graph = this.file.graphs[name];
    if (!graph) throw new Error(`Expected a model with a graph ${name}. Received: one without`);
    return this.memory.run(() => {
      this.refresh();
      const values: Values = new Map(this.constants);
      for (const input of graph.inputs) {
        const given = inputs[input];
        if (!given) throw new Error(`Expected an input ${input}. Received: none`);
        const data = this.memory.floats(given.data.length);
        data.set(given.data);
        values.set(input, { shape: given.shape, data });
      }
      this.compute(graph, values);
      return Object.fromEntries(graph.outputs.map((output) => [output, floats(values.get(output)!).slice()]));
    });
  }

  private refresh(): void {
    for (const [name, place] of this.places) {
      const { shape, data } = this.constants.get(name)!;
      if (data.length > 0 || sizeOf(shape) === 0) return;
      this.constants.set(name, { shape, data: new Float32Array(this.memory.buffer, place, sizeOf(shape)) });
    }
  }

  private compute(graph: Graph, values: Values): void {
    for (const [operator, inputs, outputs, attributes] of graph.nodes) {
      const given = inputs.map((input) => values.get(input)!);
      const found =
        operator === 'Loop'
          ? this.loop(given, attributes.body as Graph, values)
          : apply(operator, given, attributes, this.memory);
      outputs.forEach((output, i) => values.set(output, found[i]!));
    }
  }

  private loop([times, , ...state]: Tensor[], body: Graph, around: Values): Tensor[] {
    let current = state;
    for (let i = 0; i < scalar(times!); i++) {
      const values: Values = new Map(around);
      values.set(body.inputs[0]!, { shape: [], data: Int32Array.of(i) });
      values.set(body.inputs[1]!, { shape: [], data: Uint8Array.of(1) });
      current.forEach((value, j) => values.set(body.inputs[j + 2]!, value));
      this.compute(body, values);
      current = body.outputs.slice(1).map((output) => values.get(output)!);
    }
    return current;
  }
}

function apply(operator: string, inputs: Tensor[], attributes: Attributes, memory: Memory): Tensor[] {
  const found = OPERATORS[operator];
  if (!found) throw new Error(`Expected operators that the page knows. Received: ${operator}`);
  return found(inputs, attributes, memory);
}

/** From whole numbers to float32: each is a multiple of the scale of its row. */
export function widen(from: Int8Array | Int16Array, scales: Float32Array, to: Float32Array): void {
  const length = from.length / scales.length;
  for (let i = 0; i < from.length; i++) to[i] = from[i]! * scales[Math.floor(i / length)]!;
}
