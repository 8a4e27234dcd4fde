/** Sliders for the latents that say most about the images. */
import { drawn, type App } from '../app.ts';
import { button, h } from '../dom.ts';
import { term } from '../help.ts';
import { newSeed } from '../random.ts';
import { digitChoice, slider, temperatureControl } from './controls.ts';

const SHOWN = 10;
const REACH = 3.5; // standard deviations of the codes of the data
const SWEEP_SECONDS = 3;

export function slidersPanel(app: App, parent: HTMLElement): void {
  const { code, data, facts } = app;
  const order = data.information.length ? data.information : data.latent_mean.map((_, i) => i);
  let sweeping: { axis: number; stop: () => void } | null = null;

  const rows = order.map((axis, rank) => {
    const spread = data.latent_scale[axis]! || 1;
    const centre = data.latent_mean[axis]!;
    const nats = data.information_nats?.[axis];
    const control = slider(
      `z${axis}`,
      { min: -REACH, max: REACH, step: 0.01, value: 0 },
      (value) => {
        stop();
        put(value);
      },
      `Latent ${axis}, in standard deviations`,
    );
    if (nats !== undefined) control.row.title = `Latent ${axis}: carries ${nats.toFixed(2)} nats`;
    const play = button('▶', () => toggle(), { class: 'small', 'aria-label': `Sweep latent ${axis}` });
    control.row.append(play);
    control.row.hidden = rank >= SHOWN;

    function put(value: number): void {
      const latents = code.value.latents.slice();
      latents[axis] = centre + value * spread;
      code.value = { latents, source: 'sliders' };
    }
    function toggle(): void {
      const again = sweeping?.axis === axis;
      stop();
      if (again) return;
      const started = performance.now();
      const from = (code.value.latents[axis]! - centre) / spread;
      const phase = Math.asin(Math.max(-1, Math.min(1, from / REACH)));
      play.textContent = '❚❚';
      let frame = requestAnimationFrame(function step(now) {
        const value = REACH * Math.sin(phase + (2 * Math.PI * (now - started)) / 1000 / SWEEP_SECONDS);
        put(value);
        control.set(value);
        frame = requestAnimationFrame(step);
      });
      sweeping = {
        axis,
        stop: () => {
          cancelAnimationFrame(frame);
          play.textContent = '▶';
        },
      };
    }
    return { control, read: (latents: Float32Array) => control.set((latents[axis]! - centre) / spread) };
  });

  function stop(): void {
    sweeping?.stop();
    sweeping = null;
  }

  const all = button(`Show all ${order.length}`, () => {
    const hide = all.getAttribute('aria-expanded') === 'true';
    rows.forEach(({ control }, rank) => (control.row.hidden = hide && rank >= SHOWN));
    all.setAttribute('aria-expanded', String(!hide));
    all.textContent = hide ? `Show all ${order.length}` : `Show ${SHOWN}`;
  });
  all.setAttribute('aria-expanded', 'false');
  all.hidden = order.length <= SHOWN;

  parent.append(
    h(
      'p',
      { class: 'quiet' },
      `The ${Math.min(SHOWN, order.length)} most informative of ${facts.latent_dim} `,
      term('latents'),
      ', by their ',
      term('KL'),
      '. Drag one and watch what it does.',
    ),
    h('div', { class: 'sliders' }, ...rows.map(({ control }) => control.row)),
    h(
      'div',
      { class: 'row' },
      button('Average digit', () => {
        stop();
        code.value = { latents: Float32Array.from(data.latent_mean), source: 'link' };
      }),
      button('Random digit', () => {
        stop();
        void drawn(app, 1, newSeed(), app.wanted.value, app.temperature.value).then((latents) => {
          code.value = { latents, source: 'samples' };
        });
      }),
      all,
    ),
    digitChoice(app) ?? '',
    temperatureControl(app),
  );
  code.watch(({ latents, source }) => {
    if (source !== 'sliders') {
      stop();
      for (const row of rows) row.read(latents);
    }
  });
}
