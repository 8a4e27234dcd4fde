/** The tools of the map: zoom, which digits stand out, and a path of places that is played. */
import type { App } from '../app.ts';
import { button, h } from '../dom.ts';
import { colourOf } from '../palette.ts';
import { saveCanvas } from '../images.ts';
import { slider } from './controls.ts';

const SECONDS_A_PIECE = 1.6;

export function mapTools(
  app: App,
  tools: HTMLElement,
  legend: HTMLElement,
  pathRow: HTMLElement,
  base: HTMLCanvasElement,
): void {
  const { map, nearest, points, code } = app;
  if (!points || !nearest) return;

  map.onpick = (place) => {
    pause();
    code.value = { latents: nearest.latentsAt(...place), source: 'map' };
  };
  code.changed(({ latents, source }) => {
    if (source !== 'map' && source !== 'path') map.cursor.value = nearest.placeOf(latents);
  });

  const explore = h(
    'button',
    { type: 'button', 'aria-pressed': 'true', onclick: () => mode(false) },
    'Explore',
  );
  const path = h(
    'button',
    { type: 'button', 'aria-pressed': 'false', id: 'path-mode', onclick: () => mode(true) },
    'Path',
  );
  tools.append(
    h('div', { class: 'chips', role: 'group', 'aria-label': 'What a click does' }, explore, path),
    h(
      'div',
      { class: 'row tight' },
      button('+', () => map.zoomBy(1.5), { 'aria-label': 'Zoom in', class: 'small' }),
      button('−', () => map.zoomBy(1 / 1.5), { 'aria-label': 'Zoom out', class: 'small' }),
      button('⤢', () => map.resetView(), { 'aria-label': 'Show the whole map', class: 'small' }),
      button('PNG', () => saveCanvas('map', base), { 'aria-label': 'Save the map as PNG', class: 'small' }),
    ),
  );

  function mode(drawsPath: boolean): void {
    map.drawsPath = drawsPath;
    explore.setAttribute('aria-pressed', String(!drawsPath));
    path.setAttribute('aria-pressed', String(drawsPath));
    pathRow.hidden = !drawsPath;
  }

  // The path.
  let frame = 0;
  let codes: Float32Array[] = [];
  const hint = h('p', { class: 'quiet' });
  const play = button('Play', () => (frame ? pause() : run()), { class: 'primary', id: 'path-play' });
  const along = slider('Along the path', { min: 0, max: 1, step: 0.001, value: 0 }, (value) => {
    pause();
    go(value);
  });
  pathRow.append(
    hint,
    h(
      'div',
      { class: 'row' },
      play,
      button('Undo', () => (map.path.value = map.path.value.slice(0, -1))),
      button('Clear', () => (map.path.value = [])),
    ),
    along.row,
  );
  map.path.watch((places) => {
    pause();
    codes = places.map((place) => nearest.latentsAt(...place));
    const enough = places.length > 1;
    play.disabled = along.input.disabled = !enough;
    hint.textContent = enough
      ? `${places.length} places. Play walks from code to code; click on to make the path longer.`
      : 'Click two or more places on the map (or move with the arrow keys and press Enter).';
    if (places.length) mode(true);
  });

  function go(share: number): void {
    const pieces = codes.length - 1;
    if (pieces < 1) return;
    const piece = Math.min(pieces - 1, Math.floor(share * pieces));
    const rest = share * pieces - piece;
    const [from, to] = [codes[piece]!, codes[piece + 1]!];
    const [[x, y], [nextX, nextY]] = [map.path.value[piece]!, map.path.value[piece + 1]!];
    code.value = { latents: from.map((value, i) => (1 - rest) * value + rest * to[i]!), source: 'path' };
    map.cursor.value = [(1 - rest) * x + rest * nextX, (1 - rest) * y + rest * nextY];
  }

  function run(): void {
    const length = 1000 * SECONDS_A_PIECE * (codes.length - 1);
    const started = performance.now() - Number(along.input.value) * length;
    play.textContent = 'Pause';
    // There and back again.
    frame = requestAnimationFrame(function step(now) {
      // A frame may have begun before the click.
      const share = (Math.max(0, now - started) / length) % 2;
      along.set(share > 1 ? 2 - share : share);
      go(share > 1 ? 2 - share : share);
      frame = requestAnimationFrame(step);
    });
  }

  function pause(): void {
    cancelAnimationFrame(frame);
    frame = 0;
    play.textContent = 'Play';
  }

  // The legend.
  const labels = [...new Set(points.labels)].filter((label) => label !== 255).sort((a, b) => a - b);
  let chosen: number | null = null;
  const entries = labels.map((label) => {
    const swatch = h('span', { class: 'swatch' });
    swatch.style.background = colourOf(label);
    return h(
      'button',
      {
        type: 'button',
        'aria-pressed': 'false',
        'aria-label': `Let the digit ${label} stand out on the map`,
        onclick: () => {
          chosen = chosen === label ? null : label;
          map.highlight(chosen);
          entries.forEach((entry, i) => entry.setAttribute('aria-pressed', String(labels[i] === chosen)));
        },
      },
      swatch,
      String(label),
    );
  });
  legend.append(...entries);
}
