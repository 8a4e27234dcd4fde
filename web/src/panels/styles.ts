/** The same hand, every digit: the ten digits in the style of the one that is shown. */
import { argmax, stylesOf, type App } from '../app.ts';
import { button, h } from '../dom.ts';
import { Latest } from '../engine/client.ts';
import { imageCanvas, savePng, show } from '../images.ts';

export function stylesPanel(app: App, parent: HTMLElement): void {
  const { engine, facts, code, joint } = app;
  if (!facts.labels) {
    parent.hidden = true;
    return;
  }
  let latents = new Float32Array();
  const canvases = Array.from({ length: facts.labels }, (_, label) =>
    imageCanvas(facts.image_shape, `A ${label} in this style`),
  );
  const choices = canvases.map((canvas, label) =>
    h(
      'button',
      {
        type: 'button',
        class: 'choice',
        'aria-label': `Show the ${label} in this style`,
        onclick: () => choose(label),
      },
      canvas,
      h('span', {}, String(label)),
    ),
  );
  parent.append(
    h(
      'header',
      {},
      h('h2', {}, 'Same hand, every digit'),
      h('p', { class: 'quiet' }, 'The style stays, the digit changes. Choose one to go on with it.'),
      button('Save PNG', () => savePng('styles', canvases, facts.labels)),
    ),
    h('div', { class: 'strip' }, ...choices),
  );

  function choose(label: number): void {
    const { latent_dim } = facts;
    if (!latents.length) return;
    code.value = { latents: latents.slice(label * latent_dim, (label + 1) * latent_dim), source: 'styles' };
  }

  const restyling = new Latest(async ({ shown, own }: { shown: Float32Array; own: number }) => {
    const found = await stylesOf(app, shown, own);
    await engine.decodeEach(
      found,
      facts.latent_dim,
      (image, label) => show(canvases[label]!, image),
      () => code.value.latents === shown,
    );
    latents = found as Float32Array<ArrayBuffer>;
  });
  joint.watch((found) => {
    if (!found) return;
    const own = argmax(found);
    choices.forEach((choice, label) => choice.classList.toggle('best', label === own));
    restyling.push({ shown: code.value.latents, own });
  });
}
