/** The map of the data: points, a cursor that is dragged, and a path of places that were clicked. */
import { Signal } from '../dom.ts';
import type { Points } from '../data.ts';
import { colourOf } from '../palette.ts';
import { View } from './view.ts';

export type Place = [x: number, y: number];

const DRAG_STARTS = 6; // CSS pixels between a click and a drag
const WHEEL = 0.0015;

export class DataMap {
  /** Where the cursor is; null when the digit that is shown has no place. */
  readonly cursor = new Signal<Place | null>(null);
  readonly path = new Signal<Place[]>([]);
  readonly moved = new Signal<null>(null);
  /** Someone chose a place by hand: by hovering, dragging or keys. */
  onpick: (place: Place) => void = () => undefined;
  /** Whether clicks add to the path. */
  drawsPath = false;
  readonly view = new View();
  private points: Points | null = null;
  private highlighted: number | null = null;
  private readonly base: HTMLCanvasElement;
  private readonly overlay: HTMLCanvasElement;
  private readonly pointers = new Map<number, PointerEvent>();
  private start: PointerEvent | null = null;
  private panning = false;
  private dirty = false;
  private centres: [number, Place][] = [];
  private labels: number[] = [];

  /** Both canvases lie on one another: points below, what moves above. */
  constructor(base: HTMLCanvasElement, overlay: HTMLCanvasElement) {
    this.base = base;
    this.overlay = overlay;
    new ResizeObserver(() => this.resize()).observe(overlay);
    this.listen();
    this.cursor.changed(() => this.drawOverlay());
    this.path.changed(() => this.drawOverlay());
  }

  setPoints(points: Points): void {
    this.points = points;
    this.labels = [...new Set(points.labels)].sort((a, b) => a - b);
    this.centres = centresOf(points);
    this.redraw();
  }

  /** Let all digits but one step back; null for none. */
  highlight(label: number | null): void {
    this.highlighted = label;
    this.redraw();
  }

  zoomBy(factor: number): void {
    this.view.zoomAt(this.view.width / 2, this.view.height / 2, factor);
    this.changedView();
  }

  resetView(): void {
    this.view.reset();
    this.changedView();
  }

  /** Draw once before the next frame, however often it is asked for. */
  redraw(): void {
    if (this.dirty) return;
    this.dirty = true;
    requestAnimationFrame(() => {
      this.dirty = false;
      this.drawBase();
      this.drawOverlay();
    });
  }

  private changedView(): void {
    this.redraw();
    this.moved.value = null;
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.overlay;
    this.view.width = clientWidth;
    this.view.height = clientHeight;
    for (const canvas of [this.base, this.overlay]) {
      canvas.width = Math.round(clientWidth * devicePixelRatio);
      canvas.height = Math.round(clientHeight * devicePixelRatio);
    }
    this.redraw();
  }

  private listen(): void {
    const { overlay } = this;
    overlay.addEventListener('pointerdown', (event) => this.pressed(event));
    overlay.addEventListener('pointermove', (event) => this.movedPointer(event));
    for (const end of ['pointerup', 'pointercancel'] as const) {
      overlay.addEventListener(end, (event) => this.released(event));
    }
    overlay.addEventListener('contextmenu', (event) => event.preventDefault());
    overlay.addEventListener(
      'wheel',
      (event) => {
        event.preventDefault();
        const [left, top] = this.within(event);
        this.view.zoomAt(left, top, Math.exp(-WHEEL * event.deltaY * (event.deltaMode === 1 ? 30 : 1)));
        this.changedView();
      },
      { passive: false },
    );
    overlay.addEventListener('keydown', (event) => this.key(event));
  }

  private within(event: MouseEvent): [number, number] {
    const { left, top } = this.overlay.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  private pressed(event: PointerEvent): void {
    this.overlay.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    this.start = event;
    this.panning = event.button === 1 || event.button === 2 || event.shiftKey || this.pointers.size > 1;
    if (!this.panning && !this.drawsPath) this.pick(event);
  }

  private movedPointer(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (before) {
      const other = [...this.pointers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
      this.pointers.set(event.pointerId, event);
      if (this.panning) {
        this.pan(before, event, other);
        return;
      }
    } else if (event.pointerType !== 'mouse') return;
    this.pick(event);
  }

  private pan(before: PointerEvent, now: PointerEvent, other: PointerEvent | undefined): void {
    const share = other ? 2 : 1;
    const { scale } = this.view;
    this.view.move(
      (now.clientX - before.clientX) / scale / share,
      (now.clientY - before.clientY) / scale / share,
    );
    if (other) {
      const apart = (event: PointerEvent) =>
        Math.hypot(event.clientX - other.clientX, event.clientY - other.clientY);
      const [left, top] = this.within(other);
      const [right, bottom] = this.within(now);
      this.view.zoomAt((left + right) / 2, (top + bottom) / 2, apart(now) / Math.max(1, apart(before)));
    }
    this.changedView();
  }

  private released(event: PointerEvent): void {
    const { start } = this;
    this.pointers.delete(event.pointerId);
    if (this.panning) {
      this.panning = this.pointers.size > 0;
      return;
    }
    const click =
      start && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) < DRAG_STARTS;
    if (click && this.drawsPath && event.type === 'pointerup')
      this.addToPath(this.view.toMap(...this.within(event)));
  }

  private addToPath(place: Place): void {
    this.path.value = [...this.path.value, place];
  }

  private pick(event: PointerEvent): void {
    this.choose(this.view.toMap(...this.within(event)));
  }

  private choose([x, y]: Place): void {
    const place: Place = [Math.min(1, Math.max(0, x)), Math.min(1, Math.max(0, y))];
    // The digit first: it is what the hand waits for.
    this.onpick(place);
    this.cursor.value = place;
  }

  private key(event: KeyboardEvent): void {
    const step = (event.shiftKey ? 40 : 8) / this.view.scale;
    const steps: Record<string, Place> = {
      ArrowLeft: [-step, 0],
      ArrowRight: [step, 0],
      ArrowUp: [0, -step],
      ArrowDown: [0, step],
    };
    const [x, y] = this.cursor.value ?? [this.view.x, this.view.y];
    const direction = steps[event.key];
    if (direction) this.choose([x + direction[0], y + direction[1]]);
    else if (event.key === '+' || event.key === '=') this.zoomBy(1.4);
    else if (event.key === '-') this.zoomBy(1 / 1.4);
    else if (event.key === '0') this.resetView();
    else if (event.key === 'Enter' && this.drawsPath) this.addToPath([x, y]);
    else return;
    event.preventDefault();
  }

  private drawBase(): void {
    const context = this.base.getContext('2d')!;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, this.view.width, this.view.height);
    const { points, highlighted } = this;
    if (!points) return;
    const size = Math.min(
      5,
      Math.max(1.6, 1.7 * Math.sqrt(this.view.zoom) * (points.count < 4000 ? 1.3 : 1)),
    );
    for (const label of this.labels) {
      const back = highlighted !== null && highlighted !== label;
      context.globalAlpha = back ? 0.12 : 0.85;
      context.fillStyle = colourOf(label);
      context.beginPath();
      for (let i = 0; i < points.count; i++) {
        if (points.labels[i] !== label) continue;
        const [left, top] = this.view.toScreen(points.x[i]!, points.y[i]!);
        if (left < -5 || top < -5 || left > this.view.width + 5 || top > this.view.height + 5) continue;
        context.rect(left - size / 2, top - size / 2, size, size);
      }
      context.fill();
    }
    context.globalAlpha = 1;
    this.drawNames(context);
  }

  /** The digits in the middle of their points: colour alone does not carry their meaning. */
  private drawNames(context: CanvasRenderingContext2D): void {
    const style = getComputedStyle(this.base);
    context.font = `700 17px ${style.fontFamily}`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.lineJoin = 'round';
    for (const [label, [x, y]] of this.centres) {
      const [left, top] = this.view.toScreen(x, y);
      context.lineWidth = 5;
      context.strokeStyle = style.getPropertyValue('--card');
      context.strokeText(String(label), left, top);
      context.fillStyle = style.getPropertyValue('--ink');
      context.fillText(String(label), left, top);
    }
  }

  private drawOverlay(): void {
    const context = this.overlay.getContext('2d')!;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, this.view.width, this.view.height);
    const style = getComputedStyle(this.overlay);
    const [ink, card] = [style.getPropertyValue('--ink'), style.getPropertyValue('--card')];
    const places = this.path.value.map(([x, y]) => this.view.toScreen(x, y));
    if (places.length) {
      context.beginPath();
      places.forEach(([left, top]) => context.lineTo(left, top));
      stroke(context, card, 5);
      stroke(context, ink, 2);
      places.forEach(([left, top]) => dot(context, left, top, 4, ink, card));
    }
    if (this.cursor.value) {
      const [left, top] = this.view.toScreen(...this.cursor.value);
      context.beginPath();
      context.arc(left, top, 9, 0, 2 * Math.PI);
      stroke(context, card, 5);
      stroke(context, ink, 2.5);
      dot(context, left, top, 2, ink, card);
    }
  }
}

function stroke(context: CanvasRenderingContext2D, colour: string, width: number): void {
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

function dot(
  context: CanvasRenderingContext2D,
  left: number,
  top: number,
  radius: number,
  ink: string,
  card: string,
): void {
  context.beginPath();
  context.arc(left, top, radius, 0, 2 * Math.PI);
  context.fillStyle = ink;
  context.fill();
  context.lineWidth = 1.5;
  context.strokeStyle = card;
  context.stroke();
}

/** For each label the point that is nearest to the middle of its points. */
function centresOf(points: Points): [number, Place][] {
  const found: [number, Place][] = [];
  for (const label of new Set(points.labels)) {
    if (label === 255) continue;
    const own: number[] = [];
    points.labels.forEach((other, i) => {
      if (other === label) own.push(i);
    });
    const middle = (values: Float32Array) =>
      own.map((i) => values[i]!).sort((a, b) => a - b)[own.length >> 1]!;
    found.push([label, [middle(points.x), middle(points.y)]]);
  }
  return found;
}
