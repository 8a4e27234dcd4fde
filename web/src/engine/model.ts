/** A trained model: what `digitvae.Codec` computes, on float32 arrays of rows. */
import { Graphs } from './graphs.ts';

export interface ModelFacts {
  name: string;
  recipe: string;
  digitvae: string;
  data: string;
  image_shape: [number, number];
  latent_dim: number;
  labels: number;
  label_log_probabilities?: number[];
  likelihood: string;
  metrics?: Record<string, unknown>;
}

export interface Posterior {
  mean: Float32Array;
  logScale: Float32Array;
}

export class Model {
  readonly facts: ModelFacts;
  private readonly graphs: Graphs;

  constructor(facts: ModelFacts, graphs: Graphs) {
    this.facts = facts;
    this.graphs = graphs;
  }

  /** Means of p(x|z), (n, height, width) in [0, 1], for latents (n, d). */
  decode(latents: Float32Array): Float32Array {
    return this.decoded(latents).pixels!;
  }

  private decoded(latents: Float32Array): Record<string, Float32Array> {
    return this.graphs.run('decoder', { latents: this.rows(latents) });
  }

  /** The posterior q(z|x) of images (n, height, width) in [0, 1]. */
  encode(images: Float32Array): Posterior {
    const [height, width] = this.facts.image_shape;
    const shape = [images.length / (height * width), height, width];
    const found = this.graphs.run('encoder', { images: { shape, data: images } });
    return { mean: found.mean!, logScale: found.log_scale! };
  }

  /** Latents (n, d) from the prior's noise (n, d), under weights of the labels (n, labels) where there are labels. */
  fromNoise(noise: Float32Array, weights: Float32Array): Float32Array {
    return this.graphs.run('prior_sample', { noise: this.rows(noise), ...this.labelled(weights) }).latents!;
  }

  /** The noise (n, d) of latents (n, d); the inverse of `fromNoise`. */
  toNoise(latents: Float32Array, weights: Float32Array): Float32Array {
    return this.graphs.run('prior_noise', { latents: this.rows(latents), ...this.labelled(weights) }).noise!;
  }

  /** log p(z, y) of every label for one code; of a model without labels log p(z) alone. */
  logJoint(latents: Float32Array): Float32Array {
    const { labels, latent_dim, label_log_probabilities } = this.facts;
    const count = Math.max(1, labels);
    const rows = new Float32Array(count * latent_dim);
    for (let i = 0; i < count; i++) rows.set(latents, i * latent_dim);
    const weights = new Float32Array(labels * labels);
    for (let i = 0; i < labels; i++) weights[i * labels + i] = 1;
    const found = this.graphs.run('prior_noise', { latents: this.rows(rows), ...this.labelled(weights) });
    return found.log_density!.map((density, i) => density + (label_log_probabilities?.[i] ?? 0));
  }

  /** -log p(x|z) in nats of one image in [0, 1]; NaN for a likelihood that the page does not know. */
  reconstructionCost(image: Float32Array, latents: Float32Array): number {
    if (!/bernoulli/i.test(this.facts.likelihood)) return NaN;
    const { parameters } = this.decoded(latents);
    const logPartition = /continuous/i.test(this.facts.likelihood) ? logMeanExponential : softplus;
    let total = 0;
    image.forEach((x, i) => {
      const logit = parameters![i]!;
      // log p(x) = x l - log of the sum, or integral, of exp(x l) over all x
      total += logPartition(logit) - x * logit;
    });
    return total;
  }

  private rows(data: Float32Array): { shape: number[]; data: Float32Array } {
    const { latent_dim } = this.facts;
    return { shape: [data.length / latent_dim, latent_dim], data };
  }

  private labelled(data: Float32Array): Record<string, { shape: number[]; data: Float32Array }> {
    const { labels } = this.facts;
    return labels ? { labels: { shape: [data.length / labels, labels], data } } : {};
  }
}

function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/** log of the integral of exp(x l) over x from 0 to 1: l / 2 + log(sinh(l / 2) / (l / 2)). */
function logMeanExponential(logit: number): number {
  const half = Math.abs(logit) / 2;
  const even = half < 1e-2 ? (half * half) / 6 : half + Math.log1p(-Math.exp(-2 * half)) - Math.log(2 * half);
  return logit / 2 + even;
}
