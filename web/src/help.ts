/** Each term is explained where it stands: a button that opens a few sentences. */
import { h } from './dom.ts';

const TERMS: Record<string, string[]> = {
  latents: [
    'Latents',
    'The model squeezes every image into a short list of numbers, its latents or code, written z. They are not told what ' +
      'to mean: during training the model finds for itself what is worth keeping, such as slant, width or how a loop closes.',
  ],
  KL: [
    'KL',
    'The Kullback-Leibler divergence: how much a latent of an image, on average, says beyond what was expected before the ' +
      'image was seen. It is measured in nats. A latent with a KL of 0 says nothing.',
  ],
  nats: [
    'Nats',
    'A unit of information, like the bit: 1 nat is 1.44 bits. log p of -80 nats means that the model would need about 115 ' +
      'bits to write it down. Closer to 0 is more probable.',
  ],
  prior: [
    'Prior',
    'What codes the model expects before it has seen an image, for each digit. It turns plain noise into codes; that is how ' +
      'fresh digits are made.',
  ],
  posterior: [
    'Posterior',
    'What the model believes about the code once it has seen an image: a mean and a spread for every latent. Where it is ' +
      'sure, the digits that it decodes from the spread all look alike.',
  ],
  temperature: [
    'Temperature',
    'How far the noise reaches. At 0 every digit is the most typical one; at 1 they vary as in the data; above that they get ' +
      'bolder and stranger.',
  ],
  reconstruction: [
    'Reconstruction',
    'The image that comes back when the code alone is decoded. What the code did not keep is lost.',
  ],
  ELBO: [
    'ELBO',
    'The evidence lower bound, in nats per image: what training makes as large as it can. It is a bound on how probable the ' +
      'model finds the data. Closer to 0 is better.',
  ],
  likely: [
    'How digit-like',
    'The model says how probable an image is. This compares what you drew with the images that it knows: 60 % means that ' +
      'it finds your drawing more probable than 60 % of them.',
  ],
  map: [
    'Map',
    'Each point is an image, put near others with a similar code; colours tell the digits apart. Between the points the ' +
      'page decodes the mean of the codes of the nearest ones.',
  ],
};

let open = 0;

/** The term as a button; its explanation opens below it. */
export function term(name: keyof typeof TERMS, text = name as string): HTMLElement {
  const [title, explanation] = TERMS[name]!;
  const id = `term-${++open}`;
  const note = h(
    'span',
    { id, popover: 'auto', class: 'note', role: 'note' },
    h('b', {}, title!),
    h('span', {}, explanation!),
  );
  const button = h('button', { type: 'button', class: 'term', 'aria-label': `${text}: what is that?` }, text);
  button.popoverTargetElement = note;
  note.addEventListener('toggle', () => {
    const { left, bottom } = button.getBoundingClientRect();
    note.style.left = `${Math.max(8, Math.min(left, innerWidth - note.offsetWidth - 8))}px`;
    note.style.top = `${Math.max(8, Math.min(bottom + 6, innerHeight - note.offsetHeight - 8))}px`;
  });
  return h('span', { class: 'term-place' }, button, note);
}
