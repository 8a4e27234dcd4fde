/** The data that the page shows beside the model: `data/explorer.json`, the map, the film. */
import type { Shape } from './images.ts';

export interface ExplorerFile {
  format: number;
  points: number;
  latent_dim: number;
  map: string | null;
  map_labels?: boolean;
  /** What the points are, for the caption. */
  set?: string;
  /** Latents, the most informative first. */
  information: number[];
  /** KL in nats of each latent, in the order of the latents. */
  information_nats?: number[];
  latent_mean: number[];
  latent_scale: number[];
  calibration?: number[];
  film: string | null;
  model?: null;
}

/** Points of the map. */
export interface Points {
  count: number;
  latentDim: number;
  x: Float32Array;
  y: Float32Array;
  /** 255 where there is none. */
  labels: Uint8Array;
  latents: Float32Array;
}

export interface FilmFile {
  format: number;
  live: boolean;
  epochs_planned: number;
  image_shape: Shape;
  samples: number;
  reconstructions: number;
  points: number;
  base: string;
  epochs: { epoch: number; elbo: number; file: string }[];
}

export async function fetchJson<Content>(address: string): Promise<Content> {
  return (await fetched(address)).json() as Promise<Content>;
}

export async function fetchBytes(address: string): Promise<ArrayBuffer> {
  return (await fetched(address)).arrayBuffer();
}

export async function fetched(address: string): Promise<Response> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status} ${response.statusText}`);
  return response;
}

/** Read `map.bin`: x, y (float32), labels (uint8); from the next multiple of 4 on scales (float32) and latents (int8). */
export function readPoints(
  content: ArrayBuffer,
  { points: count, latent_dim: latentDim }: ExplorerFile,
): Points {
  const place = (9 * count + 3) & ~3;
  const wanted = place + (4 + count) * latentDim;
  if (content.byteLength !== wanted) {
    throw new Error(`Expected a map of ${wanted} bytes. Received: ${content.byteLength}`);
  }
  // One latent after the other in the file, one point after the other here.
  const scales = new Float32Array(content, place, latentDim);
  const stored = new Int8Array(content, place + 4 * latentDim);
  const latents = Float32Array.from(
    stored,
    (_, i) => scales[i % latentDim]! * stored[(i % latentDim) * count + Math.floor(i / latentDim)]!,
  );
  return {
    count,
    latentDim,
    x: new Float32Array(content, 0, count),
    y: new Float32Array(content, 4 * count, count),
    labels: new Uint8Array(content, 8 * count, count),
    latents,
  };
}
