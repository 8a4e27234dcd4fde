/** Which part of the map a canvas shows. */
export class View {
  /** Place on the map in the middle of the canvas, and how much is enlarged. */
  x = 0.5;
  y = 0.5;
  zoom = 1;
  /** Size of the canvas in CSS pixels. */
  width = 1;
  height = 1;

  /** CSS pixels per unit of the map. */
  get scale(): number {
    return 0.94 * Math.min(this.width, this.height) * this.zoom;
  }

  toScreen(x: number, y: number): [number, number] {
    return [this.width / 2 + (x - this.x) * this.scale, this.height / 2 + (y - this.y) * this.scale];
  }

  toMap(left: number, top: number): [number, number] {
    return [this.x + (left - this.width / 2) / this.scale, this.y + (top - this.height / 2) / this.scale];
  }

  /** Zoom by a factor about a place of the screen, which stays where it is. */
  zoomAt(left: number, top: number, factor: number): void {
    const [x, y] = this.toMap(left, top);
    this.zoom = Math.min(40, Math.max(1, this.zoom * factor));
    const [nextX, nextY] = this.toMap(left, top);
    this.move(nextX - x, nextY - y);
  }

  /** Move what is seen by so much of the map. */
  move(dx: number, dy: number): void {
    this.x = Math.min(1, Math.max(0, this.x - dx));
    this.y = Math.min(1, Math.max(0, this.y - dy));
    if (this.zoom === 1) this.x = this.y = 0.5;
  }

  reset(): void {
    this.x = this.y = 0.5;
    this.zoom = 1;
  }
}
