/** What the panels share: the model, the data, and the one code that is shown. */
import { Signal } from './dom.ts';
import type { Engine } from './engine/client.ts';
import type { Model, ModelFacts } from './engine/model.ts';
import type { ExplorerFile, Points } from './data.ts';
import type { DataMap } from './map/map.ts';
import type { Nearest } from './map/nearest.ts';
import { evenNumbers, normalNumbers } from './random.ts';

/** Where a code came from: whoever set it does not follow it. */
export type Source = 'map' | 'path' | 'sliders' | 'drawing' | 'samples' | 'styles' | 'link';

export interface Code {
  latents: Float32Array;
  source: Source;
}

export interface App {
  /** Computes in this thread: what must be seen in the same frame. */
  model: Model;
  /** Computes beside it: everything else. */
  engine: Engine;
  facts: ModelFacts;
  data: ExplorerFile;
  map: DataMap;
  points: Points | null;
  nearest: Nearest | null;
  code: Signal<Code>;
  /** log p(z, y) of the code that is shown, one for each label; log p(z) where there are no labels. */
  joint: Signal<Float32Array | null>;
  /** Digit that is asked for, null for any. */
  wanted: Signal<number | null>;
  temperature: Signal<number>;
}

export function oneHot(label: number, labels: number): Float32Array {
  const weights = new Float32Array(labels);
  if (labels) weights[label] = 1;
  return weights;
}

export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** p(y|z) by Bayes' rule, from log p(z, y). */
export function probabilities(joint: Float32Array): Float32Array {
  const most = joint.reduce((a, b) => Math.max(a, b));
  const shares = joint.map((x) => Math.exp(x - most));
  const total = shares.reduce((a, b) => a + b);
  return shares.map((share) => share / total);
}

/** Latents of the ten digits in the style of a code: the same noise under every label. */
export async function stylesOf(
  { engine, facts }: App,
  latents: Float32Array,
  own: number,
): Promise<Float32Array> {
  const { labels, latent_dim } = facts;
  const noise = await engine.call('toNoise', latents, oneHot(own, labels));
  const rows = new Float32Array(labels * latent_dim);
  const weights = new Float32Array(labels * labels);
  for (let label = 0; label < labels; label++) {
    rows.set(noise, label * latent_dim);
    weights[label * labels + label] = 1;
  }
  return engine.call('fromNoise', rows, weights);
}

/** Draw latents from the prior: of one digit, or of any. */
export async function drawn(
  { engine, facts }: App,
  count: number,
  seed: number,
  wanted: number | null,
  temperature: number,
): Promise<Float32Array> {
  const { labels, latent_dim } = facts;
  const noise = normalNumbers(count * latent_dim, seed).map((x) => temperature * x);
  const shares = (facts.label_log_probabilities ?? []).map(Math.exp);
  const even = evenNumbers(seed + 1);
  const weights = new Float32Array(count * labels);
  for (let i = 0; labels && i < count; i++) {
    let [label, rest] = [0, even()];
    while (label < labels - 1 && (rest -= shares[label]!) > 0) label++;
    weights[i * labels + (wanted ?? label)] = 1;
  }
  return engine.call('fromNoise', noise, weights);
}
