/** Grey images, and the filters of SciPy and NumPy that the preprocessing is made of: the same to rounding. */

/** Numbers (height, width). */
export interface Grey {
  data: Float32Array<ArrayBuffer>;
  height: number;
  width: number;
}

export function grey(height: number, width: number, data = new Float32Array(height * width)): Grey {
  return { data, height, width };
}

export function mapped(image: Grey, apply: (value: number, place: number) => number): Grey {
  return grey(image.height, image.width, image.data.map(apply));
}

/** Round halves to even numbers, as Python and NumPy do. */
export function roundEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** The value below which a share of sorted values lies, on straight lines between them. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const [low, high] = [sorted[below]!, sorted[Math.min(below + 1, sorted.length - 1)]!];
  return low + (high - low) * (place - below);
}

export function median(values: Float32Array): number {
  return quantile(values.slice().sort(), 0.5);
}

/** Put `size` pixels around an image: of a level, or those of its edge. */
export function padded(image: Grey, size: number, level: number | 'edge'): Grey {
  const { height, width, data } = image;
  const larger = grey(height + 2 * size, width + 2 * size);
  if (level !== 'edge') larger.data.fill(level);
  for (let y = 0; y < larger.height; y++) {
    const row = y - size;
    if (level !== 'edge' && (row < 0 || row >= height)) continue;
    const from = Math.min(height - 1, Math.max(0, row)) * width;
    const to = y * larger.width;
    larger.data.set(data.subarray(from, from + width), to + size);
    if (level !== 'edge') continue;
    larger.data.fill(data[from]!, to, to + size);
    larger.data.fill(data[from + width - 1]!, to + size + width, to + larger.width);
  }
  return larger;
}

export function part(image: Grey, top: number, left: number, height: number, width: number): Grey {
  const found = grey(height, width);
  for (let y = 0; y < height; y++) {
    const from = (top + y) * image.width + left;
    found.data.set(image.data.subarray(from, from + width), y * width);
  }
  return found;
}

/** Let `filter` work on every row, then on every column; it reads one array and fills another of its length. */
function separable(image: Grey, filter: (from: Float32Array, to: Float32Array) => void): Grey {
  return turned(filteredRows(turned(filteredRows(image, filter)), filter));
}

function filteredRows(image: Grey, filter: (from: Float32Array, to: Float32Array) => void): Grey {
  const { height, width } = image;
  const found = grey(height, width);
  for (let start = 0; start < height * width; start += width) {
    filter(image.data.subarray(start, start + width), found.data.subarray(start, start + width));
  }
  return found;
}

function turned({ data, height, width }: Grey): Grey {
  const found = grey(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) found.data[x * height + y] = data[y * width + x]!;
  }
  return found;
}

/** Blur by a Gaussian; beyond its edge an image is its mirror image (`scipy.ndimage.gaussian_filter`). */
export function blurred(image: Grey, sigma: number): Grey {
  const radius = Math.floor(4 * sigma + 0.5);
  const kernel = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-0.5 * ((i - radius) / sigma) ** 2),
  );
  const total = sum(kernel);
  for (let i = 0; i < kernel.length; i++) kernel[i]! /= total;
  return separable(image, (from, to) => {
    const { length } = from;
    const longer = new Float32Array(length + 2 * radius);
    for (let i = 0; i < longer.length; i++) {
      const place = (((i - radius) % (2 * length)) + 2 * length) % (2 * length);
      longer[i] = from[place < length ? place : 2 * length - 1 - place]!;
    }
    for (let i = 0; i < length; i++) {
      let value = 0;
      for (let j = 0; j < kernel.length; j++) value += kernel[j]! * longer[i + j]!;
      to[i] = value;
    }
  });
}

/** The largest (sign 1) or smallest (sign -1) value in a square window around each pixel. */
function extremes(image: Grey, window: number, sign: 1 | -1): Grey {
  const radius = window >> 1;
  const longest = Math.ceil((Math.max(image.height, image.width) + 2 * radius) / window) * window;
  const [before, after] = [new Float32Array(longest), new Float32Array(longest)];
  return separable(image, (from, to) => {
    // Within blocks as long as the window, the extremes of all that came before and of all that follow: every window
    // is the end of one block and the start of the next (van Herk 1992).
    const { length } = from;
    before.fill(-Infinity);
    for (let i = 0; i < length; i++) before[i + radius] = sign * from[i]!;
    after.set(before);
    for (let start = 0; start < length + 2 * radius; start += window) {
      let most = -Infinity;
      for (let i = start; i < start + window; i++) before[i] = most = before[i]! > most ? before[i]! : most;
      most = -Infinity;
      for (let i = start + window - 1; i >= start; i--) after[i] = most = after[i]! > most ? after[i]! : most;
    }
    for (let i = 0; i < length; i++) {
      const one = after[i]!;
      const other = before[i + window - 1]!;
      to[i] = sign * (one > other ? one : other);
    }
  });
}

/** Fill what is dark and narrower than a window. */
export function closed(image: Grey, window: number): Grey {
  return extremes(extremes(image, window, 1), window, -1);
}

/** Take away what is light and narrower than a window. */
export function opened(image: Grey, window: number): Grey {
  return extremes(extremes(image, window, -1), window, 1);
}

/** The median of the 3 x 3 pixels around each pixel. */
export function medianOfNine(image: Grey): Grey {
  const { height, width, data } = image;
  const found = grey(height, width);
  const nine = new Float32Array(9);
  for (let y = 0; y < height; y++) {
    const above = Math.max(0, y - 1) * width;
    const row = y * width;
    const below = Math.min(height - 1, y + 1) * width;
    for (let x = 0; x < width; x++) {
      const left = Math.max(0, x - 1);
      const right = Math.min(width - 1, x + 1);
      nine[0] = data[above + left]!;
      nine[1] = data[above + x]!;
      nine[2] = data[above + right]!;
      nine[3] = data[row + left]!;
      nine[4] = data[row + x]!;
      nine[5] = data[row + right]!;
      nine[6] = data[below + left]!;
      nine[7] = data[below + x]!;
      nine[8] = data[below + right]!;
      // Insertion sort: nine numbers are few, and mostly equal.
      for (let j = 1; j < 9; j++) {
        const value = nine[j]!;
        let k = j;
        for (; k > 0 && nine[k - 1]! > value; k--) nine[k] = nine[k - 1]!;
        nine[k] = value;
      }
      found.data[y * width + x] = nine[4]!;
    }
  }
  return found;
}

/** Distance of each pixel to the nearest one that is set (Felzenszwalb, Huttenlocher 2012). */
export function distances(mask: Uint8Array, height: number, width: number): Grey {
  const FAR = 1e12;
  const squares = new Float64Array(mask.length);
  for (let i = 0; i < mask.length; i++) squares[i] = mask[i] ? 0 : FAR;
  const longest = Math.max(height, width);
  const [values, bounds] = [new Float64Array(longest), new Float64Array(longest + 1)];
  const parabolas = new Int32Array(longest);
  const along = (start: number, step: number, count: number) => {
    for (let i = 0; i < count; i++) values[i] = squares[start + i * step]!;
    let last = 0;
    parabolas[0] = 0;
    bounds[0] = -Infinity;
    bounds[1] = Infinity;
    for (let i = 1; i < count; i++) {
      let meet: number;
      for (;;) {
        const other = parabolas[last]!;
        meet = (values[i]! + i * i - values[other]! - other * other) / (2 * (i - other));
        if (meet > bounds[last]!) break;
        last--;
      }
      parabolas[++last] = i;
      bounds[last] = meet;
      bounds[last + 1] = Infinity;
    }
    let current = 0;
    for (let i = 0; i < count; i++) {
      while (bounds[current + 1]! < i) current++;
      const other = parabolas[current]!;
      squares[start + i * step] = (i - other) ** 2 + values[other]!;
    }
  };
  for (let x = 0; x < width; x++) along(x, width, height);
  for (let y = 0; y < height; y++) along(y * width, 1, width);
  const found = grey(height, width);
  for (let i = 0; i < squares.length; i++) found.data[i] = Math.sqrt(squares[i]!);
  return found;
}

/** Otsu's threshold of values, by a histogram of 256 bins; they must not all be equal. */
export function otsu(values: Float32Array): number {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const BINS = 256;
  const counts = new Float64Array(BINS);
  for (const value of values)
    counts[Math.min(BINS - 1, Math.floor(((value - low) / (high - low)) * BINS))]!++;
  const centre = (bin: number) => low + ((bin + 0.5) * (high - low)) / BINS;
  const totals = counts.map((count, bin) => count * centre(bin));
  const [all, total] = [sum(counts), sum(totals)];
  let [before, weighted, best, found] = [0, 0, -1, 0];
  for (let bin = 0; bin < BINS - 1; bin++) {
    before += counts[bin]!;
    weighted += totals[bin]!;
    const between = before * (all - before) * (weighted / before - (total - weighted) / (all - before)) ** 2;
    if (between > best) [best, found] = [between, centre(bin)];
  }
  return found;
}
