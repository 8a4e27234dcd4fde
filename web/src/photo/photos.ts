import type { Picture } from './picture.ts';
export function readPhoto(_picture: Picture, _shape: [number, number]): Uint8Array | null {
  return null;
}
