/** What the page and the worker that computes say to each other. */
import type { Posterior } from './model.ts';
import type { Picture } from '../photo/picture.ts';

/** What a drawing or photo became. */
export interface Read extends Posterior {
  /** (height, width) in [0, 1], as the model sees it. */
  image: Float32Array;
  /** -log p(x|z) - log p(z) at the posterior mean, in nats; NaN where it cannot be said. */
  nats: number;
}

/** The calls that the worker answers: arguments and result of each. */
export interface Calls {
  decode: (latents: Float32Array) => Float32Array;
  encode: (images: Float32Array) => Posterior;
  fromNoise: (noise: Float32Array, weights: Float32Array) => Float32Array;
  toNoise: (latents: Float32Array, weights: Float32Array) => Float32Array;
  logJoint: (latents: Float32Array) => Float32Array;
  read: (picture: Picture) => Read | null;
  preprocess: (picture: Picture) => Uint8Array | null;
}

export interface Request {
  id: number;
  call: keyof Calls;
  values: unknown[];
}

export type Answer =
  { ready: true } | { failed: string } | { id: number; result: unknown } | { id: number; error: string };
