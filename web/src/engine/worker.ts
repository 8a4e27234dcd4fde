/** The thread that computes what takes longer: it gets the model and answers calls, one at a time. */
import { modelOf, type Parts } from './load.ts';
import type { Model } from './model.ts';
import type { Answer, Calls, Request } from './protocol.ts';
import { readPhoto } from '../photo/photos.ts';

function answer(message: Answer): void {
  postMessage(message);
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
  (first: MessageEvent<Parts>) => {
    modelOf(first.data).then(
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
        answer({ ready: true });
      },
      (error: unknown) => answer({ failed: String(error) }),
    );
  },
  { once: true },
);
