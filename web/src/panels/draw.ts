/** Draw a digit, or drop a picture of one, and see what the model makes of it. */
import { argmax, oneHot, type App } from '../app.ts';
import { button, h } from '../dom.ts';
import { Latest } from '../engine/client.ts';
import type { Read } from '../engine/protocol.ts';
import { term } from '../help.ts';
import { imageCanvas, savePng, show } from '../images.ts';
import type { Picture } from '../photo/picture.ts';
import { normalNumbers } from '../random.ts';
import { digitsFrom, slider } from './controls.ts';
import { Pad } from './pad.ts';

const SPREAD_DRAWS = 16;
const LARGEST_SIDE = 1280; // of a photo; finding the strokes needs no more

export function drawPanel(app: App, parent: HTMLElement): void {
  const { code, data, engine, facts } = app;
  const pad = new Pad(() => reading.push(pad.picture()));
  const seen = imageCanvas(facts.image_shape, 'What you drew, as the model sees it');
  const back = imageCanvas(facts.image_shape, 'Its reconstruction');
  const spread = imageCanvas(facts.image_shape, 'Where the model is unsure');
  const message = h('p', { class: 'quiet', role: 'status' });
  const likely = h('div', { class: 'wide' });
  const file = h('input', {
    type: 'file',
    accept: 'image/*',
    hidden: true,
    onchange: () => void take(file.files?.[0]),
  });

  const results = h(
    'div',
    { class: 'results', hidden: true },
    h('figure', {}, seen, h('figcaption', {}, 'what the model sees')),
    h('figure', {}, back, h('figcaption', {}, term('reconstruction', 'rebuilt'), ' from the code')),
    h('figure', {}, spread, h('figcaption', {}, term('posterior', 'spread'), ', where unsure')),
    likely,
  );
  const morph = morphing(app);
  results.append(morph.element);
  parent.append(
    h(
      'div',
      { class: 'drawing' },
      h(
        'div',
        {},
        pad.canvas,
        h(
          'div',
          { class: 'row' },
          button('Clear', () => {
            pad.clear();
            results.hidden = true;
            hint();
          }),
          button('Undo', () => {
            pad.undo();
            if (pad.empty) results.hidden = true;
            else reading.push(pad.picture());
          }),
          button('Photo…', () => file.click()),
          button('PNG', () => savePng('drawing', [seen, back, spread], 3)),
          file,
        ),
      ),
      h('div', {}, message, results),
    ),
  );
  hint();

  function hint(): void {
    message.textContent = 'Draw a digit with mouse, pen or finger, or drop a picture of one on the sheet.';
  }

  const reading = new Latest(async (picture: Picture) => {
    const found = await engine.call('read', picture);
    if (!found) {
      message.textContent = 'There are no strokes that stand out from a plain ground.';
      return;
    }
    message.textContent = '';
    results.hidden = false;
    show(seen, found.image);
    code.value = { latents: found.mean, source: 'drawing' };
    show(back, await engine.call('decode', found.mean));
    rate(found);
    spreading.push(found);
  });

  const spreading = new Latest(async ({ mean, logScale }: Read) => {
    const noise = normalNumbers(SPREAD_DRAWS * mean.length, 1);
    const codes = noise.map((x, i) => mean[i % mean.length]! + Math.exp(logScale[i % mean.length]!) * x);
    const size = facts.image_shape[0] * facts.image_shape[1];
    const [total, squares] = [new Float64Array(size), new Float64Array(size)];
    await engine.decodeEach(codes, facts.latent_dim, (image) => {
      image.forEach((x, i) => {
        total[i]! += x;
        squares[i]! += x * x;
      });
    });
    // Of values between 0 and 1 the deviation is 1/2 at most.
    show(
      spread,
      squares.map(
        (square, i) => 2 * Math.sqrt(Math.max(0, square / SPREAD_DRAWS - (total[i]! / SPREAD_DRAWS) ** 2)),
      ),
    );
    morph.start(mean);
  });

  function rate({ nats }: Read): void {
    const { calibration } = data;
    likely.hidden = !calibration || Number.isNaN(nats);
    if (!calibration || likely.hidden) return;
    const share = calibration.filter((other) => other > nats).length / calibration.length;
    const value = Math.round(100 * share);
    likely.replaceChildren(
      h(
        'p',
        {},
        term('likely', 'How digit-like'),
        ': more than ',
        h('b', {}, `${value} %`),
        ' of the images',
      ),
      h('meter', {
        min: 0,
        max: 1,
        value: share,
        'aria-label': `More digit-like than ${value} % of the images`,
      }),
    );
  }

  async function take(chosen: File | undefined): Promise<void> {
    if (!chosen) return;
    try {
      reading.push(await pictureOf(chosen));
      pad.clear();
    } catch {
      message.textContent = `Expected a picture. Received: ${chosen.name}, which the browser cannot read.`;
    }
    file.value = '';
  }

  pad.canvas.addEventListener('dragover', (event) => {
    event.preventDefault();
    pad.canvas.classList.add('over');
  });
  pad.canvas.addEventListener('dragleave', () => pad.canvas.classList.remove('over'));
  pad.canvas.addEventListener('drop', (event) => {
    event.preventDefault();
    pad.canvas.classList.remove('over');
    void take(event.dataTransfer?.files[0]);
  });
  document.addEventListener('paste', (event) => void take(event.clipboardData?.files[0]));
}

/** Decode a file to pixels, made smaller by the browser if it is large. */
async function pictureOf(file: Blob): Promise<Picture> {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LARGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) =>
    Math.max(1, Math.round(scale * side)),
  ) as [number, number];
  const context = new OffscreenCanvas(width, height).getContext('2d')!;
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, width, height);
  return { data: context.getImageData(0, 0, width, height).data, width, height, channels: 4 };
}

/** From what was drawn to any other digit: the same noise, while the weights of the labels change. */
function morphing(app: App): { element: HTMLElement; start: (mean: Float32Array) => void } {
  const { code, engine, facts, joint } = app;
  if (!facts.labels) return { element: h('div', { hidden: true }), start: () => undefined };
  let noise: Float32Array | null = null;
  let own = 0;
  let mean = new Float32Array();
  let target = 0;
  const choice = digitsFrom(facts.labels, (label) => {
    target = label;
    control.set(1);
    going.push(1);
  });
  const control = slider('Morph', { min: 0, max: 1, step: 0.01, value: 0 }, (value) => going.push(value));
  const going = new Latest(async (share: number) => {
    if (!noise) {
      own = argmax(joint.value ?? [0]);
      noise = await engine.call('toNoise', mean, oneHot(own, facts.labels));
    }
    const weights = oneHot(target, facts.labels).map((x, i) => share * x + (1 - share) * (i === own ? 1 : 0));
    code.value = { latents: await engine.call('fromNoise', noise, weights), source: 'styles' };
  });
  return {
    element: h('div', { class: 'wide' }, h('p', {}, 'Turn it into a'), choice, control.row),
    start: (latents) => {
      mean = latents as Float32Array<ArrayBuffer>;
      noise = null;
      control.set(0);
    },
  };
}
