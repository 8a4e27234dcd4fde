/** A sheet of fresh digits. */
import { drawn, type App } from '../app.ts';
import { button, h, type Signal } from '../dom.ts';
import { Latest } from '../engine/client.ts';
import { imageCanvas, savePng, show } from '../images.ts';
import { newSeed } from '../random.ts';
import { digitChoice, temperatureControl } from './controls.ts';

const COUNT = 40;
const COLUMNS = 8;

export function samplesPanel(app: App, parent: HTMLElement, seed: Signal<number>): { open: () => void } {
  const { code, engine, facts, temperature, wanted } = app;
  let latents = new Float32Array();
  let opened = false;
  const canvases = Array.from({ length: COUNT }, (_, i) => imageCanvas(facts.image_shape, `Sample ${i + 1}`));
  const choices = canvases.map((canvas, i) =>
    h(
      'button',
      {
        type: 'button',
        class: 'choice',
        'aria-label': `Go on with sample ${i + 1}`,
        onclick: () => {
          const { latent_dim } = facts;
          if (latents.length) {
            code.value = { latents: latents.slice(i * latent_dim, (i + 1) * latent_dim), source: 'samples' };
          }
        },
      },
      canvas,
    ),
  );
  parent.append(
    h(
      'p',
      { class: 'quiet' },
      'Nobody wrote these: noise, turned into codes by the prior and decoded. Choose one to go on with it.',
    ),
    digitChoice(app) ?? '',
    temperatureControl(app),
    h(
      'div',
      { class: 'row' },
      button('New sheet', () => (seed.value = newSeed()), { class: 'primary' }),
      button('Save PNG', () => savePng('samples', canvases, COLUMNS)),
    ),
    h('div', { class: 'sheet' }, ...choices),
  );
  let turn = 0;
  const filling = new Latest(async (own: number) => {
    latents = (await drawn(
      app,
      COUNT,
      seed.value,
      wanted.value,
      temperature.value,
    )) as Float32Array<ArrayBuffer>;
    await engine.decodeEach(
      latents,
      facts.latent_dim,
      (image, i) => show(canvases[i]!, image),
      () => own === turn,
    );
  });
  const fill = () => {
    if (opened) filling.push(++turn);
  };
  seed.changed(fill);
  wanted.changed(fill);
  temperature.changed(fill);
  return {
    open: () => {
      opened = true;
      fill();
    },
  };
}
