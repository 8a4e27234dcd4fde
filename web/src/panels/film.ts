/** The training as a film: the same noise, the same images and their places on the map, after every epoch. */
import type { Address } from '../address.ts';
import { fetchBytes, fetchJson, type FilmFile } from '../data.ts';
import { button, h } from '../dom.ts';
import { term } from '../help.ts';
import { imageCanvas, savePng, show } from '../images.ts';
import { colourOf } from '../palette.ts';
import { slider } from './controls.ts';

const POLL_SECONDS = 2;
const SECONDS_AN_EPOCH = 0.5;

interface Scene {
  x: Float32Array;
  y: Float32Array;
  samples: Uint8Array;
  reconstructions: Uint8Array;
}

export function filmPanel(
  parent: HTMLElement,
  file: string | null,
  folder: string,
  first: number | null,
  address: Address,
): { open: () => void } {
  if (!file) {
    parent.append(
      h('p', {}, 'There is no film of the training of this model.'),
      h(
        'p',
        { class: 'quiet' },
        'Every training records one: ',
        h('code', {}, 'digitvae train --watch'),
        ' shows it while it grows, and ',
        h('code', {}, 'digitvae explore latest'),
        ' shows the newest model with its film.',
      ),
    );
    return { open: () => undefined };
  }
  const scenes = new Map<string, Promise<Scene>>();
  let film: FilmFile | null = null;
  let base: { originals: Uint8Array; labels: Uint8Array } | null = null;
  let wanted = 0; // place in the list of epochs, may lie between two
  let follows = first === null;
  let frame = 0;
  let samples: HTMLCanvasElement[] = [];
  let pairs: HTMLCanvasElement[] = [];

  const title = h('p', { role: 'status' });
  const curve = h('canvas', { class: 'film-curve', role: 'img', 'aria-label': 'ELBO after every epoch' });
  const mapCanvas = h('canvas', {
    class: 'film-map',
    role: 'img',
    'aria-label': 'Where the images lie on the map',
  });
  const sheet = h('div', { class: 'sheet film-samples' });
  const pairSheet = h('div', { class: 'pairs' });
  const play = button('Play', () => (frame ? pause() : run()), { class: 'primary', id: 'film-play' });
  const time = slider('Epoch', { min: 1, max: 1, step: 1, value: 1 }, (value) => {
    pause();
    follows = false;
    go(value - 1);
  });
  time.input.id = 'film-time';
  time.row.querySelector('label')!.htmlFor = 'film-time';
  parent.append(
    h(
      'p',
      { class: 'quiet' },
      'The same noise and the same images after every epoch: watch the model learn.',
    ),
    title,
    h(
      'div',
      { class: 'row' },
      play,
      button('Save PNG', () => savePng('film', samples, 8)),
    ),
    time.row,
    curve,
    h('p', { class: 'quiet' }, term('ELBO'), ' of the validation images'),
    h('h2', {}, 'Samples from the same noise'),
    sheet,
    h('h2', {}, 'Images and their reconstructions'),
    pairSheet,
    h('h2', {}, 'Where images lie on the map'),
    mapCanvas,
  );
  address.part('epoch', () => (film && !follows && !parent.hidden ? String(Math.round(wanted) + 1) : null));

  async function load(): Promise<void> {
    const next = await fetchJson<FilmFile>(file!);
    const before = film?.epochs.length ?? 0;
    film = next;
    if (!base && next.epochs.length) {
      const [height, width] = next.image_shape;
      const content = await fetchBytes(folder + next.base);
      const size = next.reconstructions * height * width;
      base = {
        originals: new Uint8Array(content, 0, size),
        labels: new Uint8Array(content, size, next.points),
      };
      samples = Array.from({ length: next.samples }, (_, i) =>
        imageCanvas(next.image_shape, `Sample ${i + 1}`),
      );
      pairs = Array.from({ length: 2 * next.reconstructions }, (_, i) => {
        const which = i < next.reconstructions ? 'Image' : 'Reconstruction of image';
        return imageCanvas(next.image_shape, `${which} ${(i % next.reconstructions) + 1}`);
      });
      sheet.replaceChildren(...samples);
      pairSheet.style.gridTemplateColumns = `repeat(${Math.min(10, next.reconstructions)}, 1fr)`;
      pairSheet.replaceChildren(...pairs);
    }
    time.input.max = String(Math.max(1, next.epochs.length));
    play.disabled = next.epochs.length < 2;
    if (!next.epochs.length) title.textContent = 'Training has begun; the first epoch is not over yet.';
    else if (before === 0 && first !== null) go(Math.min(next.epochs.length, Math.max(1, first)) - 1);
    else if (before < next.epochs.length && follows && !frame) go(next.epochs.length - 1);
    if (next.live) setTimeout(() => void load().catch(lost), 1000 * POLL_SECONDS);
    else if (document.body.classList.contains('film-only') && before > 0) {
      title.append(
        ' ',
        button('Training is over: explore the model', () => location.reload()),
      );
    }
  }

  function lost(error: unknown): void {
    title.textContent = `The film cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }

  function scene(place: number): Promise<Scene> {
    const { file: name } = film!.epochs[place]!;
    const { points, samples: count, reconstructions, image_shape } = film!;
    const size = image_shape[0] * image_shape[1];
    let found = scenes.get(name);
    if (!found) {
      found = fetchBytes(folder + name).then((content) => ({
        x: new Float32Array(content, 0, points),
        y: new Float32Array(content, 4 * points, points),
        samples: new Uint8Array(content, 8 * points, count * size),
        reconstructions: new Uint8Array(content, 8 * points + count * size, reconstructions * size),
      }));
      scenes.set(name, found);
    }
    return found;
  }

  function go(place: number): void {
    wanted = place;
    address.update();
    const before = Math.floor(place);
    const after = Math.min(before + 1, film!.epochs.length - 1);
    Promise.all([scene(before), scene(after)]).then(([from, to]) => {
      if (wanted === place) draw(before, from, to, place - before);
    }, lost);
  }

  function draw(place: number, from: Scene, to: Scene, share: number): void {
    const { epochs, epochs_planned: planned, reconstructions, image_shape, live } = film!;
    const size = image_shape[0] * image_shape[1];
    const { epoch, elbo } = epochs[place]!;
    time.set(place + 1);
    title.replaceChildren(
      h('b', {}, `Epoch ${epoch}`),
      ` of ${planned}: `,
      term('ELBO'),
      ` ${elbo.toFixed(2)} nats `,
      live ? h('span', { class: 'live' }, '● live') : '',
    );
    samples.forEach((canvas, i) => show(canvas, from.samples.subarray(i * size, (i + 1) * size), 1));
    pairs.forEach((canvas, i) => {
      const [pixels, j] =
        i < reconstructions ? [base!.originals, i] : [from.reconstructions, i - reconstructions];
      show(canvas, pixels.subarray(j * size, (j + 1) * size), 1);
    });
    drawMap(from, to, share);
    drawCurve(place + share);
  }

  function drawMap(from: Scene, to: Scene, share: number): void {
    const [context, width, height] = prepared(mapCanvas);
    const scale = 0.92 * Math.min(width, height);
    for (let i = 0; i < from.x.length; i++) {
      const x = (1 - share) * from.x[i]! + share * to.x[i]!;
      const y = (1 - share) * from.y[i]! + share * to.y[i]!;
      context.fillStyle = colourOf(base!.labels[i]!);
      context.fillRect(width / 2 + (x - 0.5) * scale * 1.4 - 1.5, height / 2 + (y - 0.5) * scale - 1.5, 3, 3);
    }
  }

  function drawCurve(place: number): void {
    const [context, width, height] = prepared(curve);
    const values = film!.epochs.map(({ elbo }) => elbo);
    // The first epochs are far below all others.
    const sorted = values.toSorted((a, b) => a - b);
    const low = sorted[Math.floor(sorted.length / 10)]!;
    const [least, most] = [low, sorted[sorted.length - 1]!];
    const style = getComputedStyle(curve);
    const left = (i: number) => 6 + (i / Math.max(1, film!.epochs_planned - 1)) * (width - 12);
    const top = (value: number) =>
      height - 8 - (Math.max(0, value - least) / Math.max(1e-6, most - least)) * (height - 16);
    context.strokeStyle = style.getPropertyValue('--accent');
    context.lineWidth = 2;
    context.beginPath();
    values.forEach((value, i) => context.lineTo(left(i), top(value)));
    context.stroke();
    context.fillStyle = style.getPropertyValue('--ink');
    context.beginPath();
    context.arc(left(place), top(values[Math.round(place)]!), 4, 0, 2 * Math.PI);
    context.fill();
  }

  function run(): void {
    const last = film!.epochs.length - 1;
    const begin = wanted >= last ? 0 : wanted;
    const started = performance.now();
    play.textContent = 'Pause';
    frame = requestAnimationFrame(function step(now) {
      // A frame may have begun before the click.
      const place = begin + Math.max(0, now - started) / 1000 / SECONDS_AN_EPOCH;
      go(Math.min(last, place));
      if (place < last) frame = requestAnimationFrame(step);
      else pause();
    });
  }

  function pause(): void {
    cancelAnimationFrame(frame);
    frame = 0;
    play.textContent = 'Play';
  }

  let opened = false;
  const open = () => {
    if (opened) {
      if (film?.epochs.length) go(wanted);
      return;
    }
    opened = true;
    load().catch(lost);
  };
  if (document.body.classList.contains('film-only')) open();
  return { open };
}

/** A canvas as sharp as the screen, empty, and its size in CSS pixels. */
function prepared(canvas: HTMLCanvasElement): [CanvasRenderingContext2D, number, number] {
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  const context = canvas.getContext('2d')!;
  context.scale(devicePixelRatio, devicePixelRatio);
  return [context, width, height];
}
