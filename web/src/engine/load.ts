/** The files of a model, fetched once: for the page itself and for its worker. */
import { fetchBytes, fetched, fetchJson } from '../data.ts';
import { Graphs, type GraphFile } from './graphs.ts';
import type { Kernel } from './memory.ts';
import { Model, type ModelFacts } from './model.ts';
import matrix from './matrix.wasm?url';

export interface Parts {
  kernel: WebAssembly.Module;
  graphs: GraphFile;
  weights: ArrayBuffer;
  facts: ModelFacts;
}

export async function fetchParts(folder: string): Promise<Parts> {
  const [kernel, graphs, weights, facts] = await Promise.all([
    WebAssembly.compileStreaming(fetched(new URL(matrix, import.meta.url).href)),
    fetchJson<GraphFile>(`${folder}graphs.json`),
    fetchBytes(`${folder}weights.bin`),
    fetchJson<ModelFacts>(`${folder}model.json`),
  ]);
  return { kernel, graphs, weights, facts };
}

export async function modelOf({ kernel, graphs, weights, facts }: Parts): Promise<Model> {
  const instance = await WebAssembly.instantiate(kernel);
  const model = new Model(facts, new Graphs(instance.exports as unknown as Kernel, graphs, weights));
  // The first run of anything compiles it: not while someone drags.
  for (let i = 0; i < 3; i++) model.decode(new Float32Array(facts.latent_dim));
  return model;
}
