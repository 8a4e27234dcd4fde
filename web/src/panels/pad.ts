/** A sheet to draw on, and what was drawn as strokes. */
import { h } from '../dom.ts';
import type { Picture } from '../photo/picture.ts';

export const SIDE = 280; // pixels of the sheet
const PEN = 22; // pixels

export type Stroke = [x: number, y: number][];

export class Pad {
  readonly canvas: HTMLCanvasElement;
  private readonly strokes: Stroke[] = [];
  private readonly onchange: () => void;
  private readonly context: CanvasRenderingContext2D;

  constructor(onchange: () => void) {
    this.onchange = onchange;
    this.canvas = h('canvas', {
      id: 'pad',
      width: SIDE,
      height: SIDE,
      'aria-label': 'Draw a digit here',
      role: 'img',
    });
    this.context = this.canvas.getContext('2d', { willReadFrequently: true })!;
    this.clear();
    this.listen();
  }

  get empty(): boolean {
    return this.strokes.length === 0;
  }

  clear(): void {
    this.strokes.length = 0;
    this.redraw();
  }

  undo(): void {
    this.strokes.pop();
    this.redraw();
  }

  /** Draw strokes of places in pixels of the sheet. */
  set(strokes: Stroke[]): void {
    this.strokes.splice(0, Infinity, ...strokes);
    this.redraw();
  }

  /** What is on the sheet. */
  picture(): Picture {
    const { data } = this.context.getImageData(0, 0, SIDE, SIDE);
    const grey = new Uint8Array(SIDE * SIDE);
    for (let i = 0; i < grey.length; i++) grey[i] = data[4 * i]!;
    return { data: grey, width: SIDE, height: SIDE, channels: 1 };
  }

  private redraw(): void {
    this.context.fillStyle = '#fff';
    this.context.fillRect(0, 0, SIDE, SIDE);
    for (const stroke of this.strokes) this.drawStroke(stroke);
  }

  private drawStroke(stroke: Stroke): void {
    const { context } = this;
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = 'round';
    context.strokeStyle = '#000';
    context.beginPath();
    const [[x, y], ...rest] = stroke as [[number, number], ...Stroke];
    context.moveTo(x, y);
    context.lineTo(x, y);
    for (const place of rest) context.lineTo(...place);
    context.stroke();
  }

  private listen(): void {
    const { canvas } = this;
    let current: Stroke | null = null;
    const place = (event: PointerEvent): [number, number] => {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      return [((event.clientX - left) * SIDE) / width, ((event.clientY - top) * SIDE) / height];
    };
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0 || current) return;
      canvas.setPointerCapture(event.pointerId);
      current = [place(event)];
      this.strokes.push(current);
      this.redraw();
      this.onchange();
    });
    canvas.addEventListener('pointermove', (event) => {
      if (!current) return;
      const all = event.getCoalescedEvents?.() ?? [];
      for (const one of all.length ? all : [event]) current.push(place(one));
      this.redraw();
      this.onchange();
    });
    for (const end of ['pointerup', 'pointercancel'] as const) {
      canvas.addEventListener(end, () => {
        current = null;
      });
    }
  }
}
