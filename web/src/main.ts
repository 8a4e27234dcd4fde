/** The page: it loads the model and the data, and puts the panels together. */
import './style.css';
import { Address, numbers, packed, unpacked } from './address.ts';
import type { App, Code } from './app.ts';
import { fetchBytes, fetchJson, readPoints, type ExplorerFile } from './data.ts';
import { byId, h, Signal } from './dom.ts';
import { Engine } from './engine/client.ts';
import { fetchParts, modelOf } from './engine/load.ts';
import { term } from './help.ts';
import { DataMap, type Place } from './map/map.ts';
import { Nearest } from './map/nearest.ts';
import { digitPanel } from './panels/digit.ts';
import { drawPanel } from './panels/draw.ts';
import { filmPanel } from './panels/film.ts';
import { mapTools } from './panels/path.ts';
import { samplesPanel } from './panels/samples.ts';
import { slidersPanel } from './panels/sliders.ts';
import { stylesPanel } from './panels/styles.ts';
import { newSeed } from './random.ts';
import { tabs } from './tabs.ts';
import { themeButton } from './theme.ts';

const MODEL = new URL('model/', document.baseURI).href;
const DATA = new URL('data/', document.baseURI).href;

async function start(): Promise<void> {
  const link = Address.read();
  const explorer = fetchJson<ExplorerFile>(`${DATA}explorer.json`);
  // A run that is still in training has no model yet.
  const parts = explorer.then((file) => (file.model === null ? null : fetchParts(MODEL)));
  const engine = new Engine(parts);
  const points = explorer.then(async (file) =>
    file.map ? readPoints(await fetchBytes(`${DATA}${file.map}`), file) : null,
  );
  parts.catch(() => undefined); // said below

  const map = new DataMap(byId('map-points'), byId('map-cursor'));
  themeButton(byId('theme'), () => map.redraw());
  const data = await explorer;
  const film = data.film ? `${DATA}${data.film}` : null;
  if (data.model === null || !data.map) {
    document.body.classList.add('film-only');
    tabs(byId('tabs'), 'film');
    filmPanel(byId('panel-film'), film, DATA, null, new Address());
    return;
  }
  const places = await points;
  if (places) map.setPoints(places);
  byId('map-caption').prepend(
    `${data.points.toLocaleString('en')} ${data.set ?? 'images'}. `,
    'Move or drag anywhere: the digit there is decoded as you go. ',
    term('map', 'How is it made?'),
  );
  const found = await parts;
  if (!found) return;
  const model = await modelOf(found);
  const { facts } = model;
  const nearest = places && new Nearest(places);

  const linked = unpacked(link.get('z') ?? '', facts.latent_dim);
  const first: Code = {
    latents: linked ?? nearest?.latentsAt(0.5, 0.5) ?? Float32Array.from(data.latent_mean),
    source: 'link',
  };
  const temperature = numbers(link.get('t'), 1)?.[0] ?? 1;
  const wanted = numbers(link.get('digit'), 1)?.[0] ?? null;
  const app: App = {
    model,
    engine,
    facts,
    data,
    map,
    points: places,
    nearest,
    code: new Signal(first),
    joint: new Signal<Float32Array | null>(null),
    wanted: new Signal(wanted !== null && wanted < facts.labels ? wanted : null),
    temperature: new Signal(Math.min(1.5, Math.max(0, temperature))),
  };
  const seed = new Signal(numbers(link.get('seed'), 1)?.[0] ?? newSeed());

  byId('model-line').textContent = modelLine(app);
  mapTools(app, byId('map-tools'), byId('legend'), byId('path'), byId('map-points'));
  digitPanel(app, byId('digit-card'));
  stylesPanel(app, byId('styles-card'));
  slidersPanel(app, byId('panel-sliders'));
  drawPanel(app, byId('panel-draw'));
  const samples = samplesPanel(app, byId('panel-samples'), seed);
  const chosen = tabs(byId('tabs'), link.get('tab'));

  const address = new Address();
  const view = numbers(link.get('map'), 3);
  if (view) {
    [map.view.x, map.view.y, map.view.zoom] = view as [number, number, number];
    map.redraw();
  }
  map.path.value = (link.get('path') ?? '')
    .split(';')
    .map((place) => numbers(place, 2) as Place | null)
    .filter((place) => place !== null);
  if (nearest) map.cursor.value = nearest.placeOf(first.latents);
  address.part('tab', () => chosen.value);
  address.part('z', () => packed(app.code.value.latents));
  address.part('map', () =>
    map.view.zoom > 1 ? [map.view.x, map.view.y, map.view.zoom].map(rounded).join(',') : null,
  );
  address.part('path', () => map.path.value.map((place) => place.map(rounded).join(',')).join(';') || null);
  address.part('seed', () => (chosen.value === 'samples' ? String(seed.value) : null));
  address.part('t', () => (app.temperature.value === 1 ? null : String(app.temperature.value)));
  address.part('digit', () => (app.wanted.value === null ? null : String(app.wanted.value)));
  const filming = filmPanel(
    byId('panel-film'),
    film,
    DATA,
    numbers(link.get('epoch'), 1)?.[0] ?? null,
    address,
  );
  chosen.watch((name) => {
    if (name === 'samples') samples.open();
    if (name === 'film') filming.open();
  });
  for (const signal of [
    chosen,
    app.code,
    map.moved,
    map.path,
    seed,
    app.temperature,
    app.wanted,
  ] as Signal<unknown>[]) {
    signal.changed(() => address.update());
  }
  document.body.classList.add('ready');
}

/** A place on the map for a link, so exact that the flow, which stretches, shows no other digit there. */
function rounded(x: number): string {
  return x.toFixed(6).replace(/\.?0+$/, '');
}

function modelLine({ facts }: App): string {
  const elbo = facts.metrics?.elbo;
  const bound = typeof elbo === 'number' ? `, ELBO ${elbo.toFixed(1)} nats per image` : '';
  return `${facts.name}: ${facts.latent_dim} latents${bound}`;
}

start().catch((error: unknown) => {
  byId('model-line').replaceChildren(
    h(
      'b',
      { role: 'alert' },
      `The page cannot start: ${error instanceof Error ? error.message : String(error)}`,
    ),
  );
  document.body.classList.add('failed');
});
