/** Digits on canvases, and PNG files of them. */
import { h } from './dom.ts';

export type Shape = [height: number, width: number];

/** A canvas of one image, as large as the image; style sheets enlarge it. */
export function imageCanvas([height, width]: Shape, label: string): HTMLCanvasElement {
  return h('canvas', { width, height, class: 'digit', role: 'img', 'aria-label': label });
}

/** Show pixels in [0, 1] on a canvas of their size. */
export function show(canvas: HTMLCanvasElement, pixels: ArrayLike<number>, scale = 255): void {
  const context = canvas.getContext('2d')!;
  const image = context.createImageData(canvas.width, canvas.height);
  const words = new Uint32Array(image.data.buffer);
  for (let i = 0; i < words.length; i++) {
    const level = Math.round(scale * pixels[i]!);
    words[i] = 0xff000000 | (level << 16) | (level << 8) | level;
  }
  context.putImageData(image, 0, 0);
}

/** Save canvases as one PNG: a sheet with so many columns, each pixel enlarged. */
export function savePng(name: string, canvases: HTMLCanvasElement[], columns: number, enlarge = 4): void {
  const [width, height] = [canvases[0]!.width * enlarge, canvases[0]!.height * enlarge];
  const gap = canvases.length > 1 ? enlarge : 0;
  const rows = Math.ceil(canvases.length / columns);
  const sheet = h('canvas', {
    width: Math.min(columns, canvases.length) * (width + gap) - gap,
    height: rows * (height + gap) - gap,
  });
  const context = sheet.getContext('2d')!;
  context.imageSmoothingEnabled = false;
  canvases.forEach((canvas, i) => {
    const [x, y] = [(i % columns) * (width + gap), Math.floor(i / columns) * (height + gap)];
    context.drawImage(canvas, x, y, width, height);
  });
  saveCanvas(name, sheet);
}

export function saveCanvas(name: string, canvas: HTMLCanvasElement): void {
  canvas.toBlob((blob) => {
    if (!blob) return;
    const address = URL.createObjectURL(blob);
    h('a', { href: address, download: `${name}.png` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  });
}
