/** The thread that computes: it loads the model and answers calls, one at a time. */
import { Graphs, type GraphFile } from './graphs.ts';
import type { Kernel } from './memory.ts';
import { Model, type ModelFacts } from './model.ts';
import type { Answer, Calls, Request } from './protocol.ts';
import matrix from './matrix.wasm?url';
import { readPhoto } from '../photo/photos.ts';

function answer(message: Answer): void {
  postMessage(message);
}

async function load(folder: string): Promise<Model> {
  const [kernel, graphs, weights, facts] = await Promise.all([
    WebAssembly.instantiateStreaming(fetched(new URL(matrix, import.meta.url).href)),
    fetched(`${folder}graphs.json`).then((response) => response.json() as Promise<GraphFile>),
    fetched(`${folder}weights.bin`).then((response) => response.arrayBuffer()),
    fetched(`${folder}model.json`).then((response) => response.json() as Promise<ModelFacts>),
  ]);
  return new Model(facts, new Graphs(kernel.instance.exports as unknown as Kernel, graphs, weights));
}

async function fetched(address: string): Promise<Response> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status} ${response.statusText}`);
  return response;
}

function calls(model: Model): Calls {
  const shape = model.facts.image_shape;
  return {
    decode: (latents) => model.decode(latents),
    encode: (images) => model.encode(images),
    fromNoise: (noise, weights) => model.fromNoise(noise, weights),
    toNoise: (latents, weights) => model.toNoise(latents, weights),
    logJoint: (latents) => model.logJoint(latents),
    preprocess: (picture) => readPhoto(picture, shape),
    read: (picture) => {
      const pixels = readPhoto(picture, shape);
      if (!pixels) return null;
      const image = Float32Array.from(pixels, (level) => level / 255);
      const posterior = model.encode(image);
      const joint = model.logJoint(posterior.mean);
      const most = joint.reduce((a, b) => Math.max(a, b));
      const prior = most + Math.log(joint.reduce((total, x) => total + Math.exp(x - most), 0));
      return { image, ...posterior, nats: model.reconstructionCost(image, posterior.mean) - prior };
    },
  };
}

addEventListener(
  'message',
  (first: MessageEvent<string>) => {
    load(first.data).then(
      (model) => {
        const known = calls(model);
        addEventListener('message', ({ data: { id, call, values } }: MessageEvent<Request>) => {
          try {
            const function_ = known[call] as (...values: unknown[]) => unknown;
            answer({ id, result: function_(...values) });
          } catch (error) {
            answer({ id, error: String(error) });
          }
        });
        // The first run of anything compiles it: not while someone drags.
        for (let i = 0; i < 3; i++) known.decode(new Float32Array(model.facts.latent_dim));
        answer({ ready: model.facts });
      },
      (error: unknown) => answer({ failed: String(error) }),
    );
  },
  { once: true },
);
