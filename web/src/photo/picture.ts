/** A picture: levels 0..255, (height, width, channels), 1, 3 or 4 channels (the fourth is opacity). */
export interface Picture {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  channels: 1 | 3 | 4;
}
