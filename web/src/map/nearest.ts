/** From places on the map to latents, and back. */
import type { Points } from '../data.ts';

const NEIGHBOURS = 6;
const CELLS = 64;

/** Points sorted into square cells, so that the nearest ones are found without looking at all. */
export class Nearest {
  private readonly points: Points;
  /** Points of cell c are `order[starts[c]] .. order[starts[c + 1] - 1]`. */
  private readonly order: Uint32Array;
  private readonly starts: Uint32Array;

  constructor(points: Points) {
    this.points = points;
    const cells = Uint32Array.from(points.x, (x, i) => cell(points.y[i]!) * CELLS + cell(x));
    this.starts = new Uint32Array(CELLS * CELLS + 1);
    for (const c of cells) this.starts[c + 1]!++;
    for (let c = 0; c < CELLS * CELLS; c++) this.starts[c + 1]! += this.starts[c]!;
    const next = this.starts.slice();
    this.order = new Uint32Array(points.count);
    cells.forEach((c, i) => (this.order[next[c]!++] = i));
  }

  /** The nearest points and their squared distances, the nearest first. */
  find(x: number, y: number, count: number): { index: number; square: number }[] {
    const found: { index: number; square: number }[] = [];
    const [column, row] = [cell(x), cell(y)];
    for (let ring = 0; ring < CELLS; ring++) {
      // Whatever lies in this ring is at least that far away.
      const least = Math.max(0, ring - 1) / CELLS;
      if (found.length === count && found[count - 1]!.square <= least * least) break;
      this.visitRing(column, row, ring, (index) => {
        const square = (this.points.x[index]! - x) ** 2 + (this.points.y[index]! - y) ** 2;
        if (found.length === count && square >= found[count - 1]!.square) return;
        let place = found.length;
        while (place > 0 && found[place - 1]!.square > square) place--;
        found.splice(place, 0, { index, square });
        if (found.length > count) found.pop();
      });
    }
    return found;
  }

  private visitRing(column: number, row: number, ring: number, visit: (index: number) => void): void {
    for (let r = Math.max(0, row - ring); r <= Math.min(CELLS - 1, row + ring); r++) {
      const edge = Math.abs(r - row) === ring;
      for (let c = column - ring; c <= column + ring; c += edge || ring === 0 ? 1 : 2 * ring) {
        if (c < 0 || c >= CELLS) continue;
        const at = r * CELLS + c;
        for (let i = this.starts[at]!; i < this.starts[at + 1]!; i++) visit(this.order[i]!);
      }
    }
  }

  /**
   * Latents at a place: the mean of those of the nearest points.
   *
   * The weights ((R - d) / (R d))^2, with R the distance of the next point (Franke, Nielson 1980), vary smoothly: a
   * point comes in and goes out with weight 0, and at a point its own latents are found.
   */
  latentsAt(x: number, y: number): Float32Array {
    const { latents, latentDim, count } = this.points;
    const found = this.find(x, y, Math.min(NEIGHBOURS + 1, count));
    const radius = Math.sqrt(found[found.length - 1]!.square) + 1e-9;
    const weights = found.map(({ square }) => {
      const distance = Math.sqrt(square) + 1e-7;
      return Math.max(0, (radius - distance) / (radius * distance)) ** 2;
    });
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const mean = new Float32Array(latentDim);
    found.forEach(({ index }, i) => {
      const share = total > 0 ? weights[i]! / total : 1 / found.length;
      for (let j = 0; j < latentDim; j++) mean[j]! += share * latents[index * latentDim + j]!;
    });
    return mean;
  }

  /** Place of latents on the map: the mean place of the points with the nearest latents, near ones counting most. */
  placeOf(latents: Float32Array): [number, number] {
    const { points } = this;
    const { latentDim } = points;
    const best: { index: number; square: number }[] = [];
    for (let i = 0; i < points.count; i++) {
      let square = 0;
      for (let j = 0; j < latentDim; j++) square += (points.latents[i * latentDim + j]! - latents[j]!) ** 2;
      if (best.length === NEIGHBOURS && square >= best[NEIGHBOURS - 1]!.square) continue;
      let place = best.length;
      while (place > 0 && best[place - 1]!.square > square) place--;
      best.splice(place, 0, { index: i, square });
      if (best.length > NEIGHBOURS) best.pop();
    }
    let [x, y, total] = [0, 0, 0];
    for (const { index, square } of best) {
      const weight = 1 / (square + 1e-6) ** 2;
      x += weight * points.x[index]!;
      y += weight * points.y[index]!;
      total += weight;
    }
    return [x / total, y / total];
  }
}

function cell(x: number): number {
  return Math.min(CELLS - 1, Math.max(0, Math.floor(x * CELLS)));
}
