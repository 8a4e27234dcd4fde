// Compares what could run the decoder in a browser, each on one thread, in Node (whose V8 is Chromium's):
//
//     npm install --no-save onnxruntime-web @tensorflow/tfjs-core @tensorflow/tfjs-backend-wasm
//     digitvae export mnist --format onnx -o /tmp/onnx && digitvae export mnist --format web -o /tmp/web
//     node bench/engines.mjs /tmp/onnx/decoder.onnx /tmp/web/model
//
// Prints the milliseconds until the first digit is decoded, and the median and least of one more digit.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

const [onnx, model] = process.argv.slice(2);
const latents = Float32Array.from({ length: 40 }, (_, i) => Math.sin(i));
const require = createRequire(import.meta.url);

async function measure(name, start) {
  const begin = performance.now();
  const decode = await start();
  await decode();
  const first = performance.now() - begin;
  const times = [];
  for (let i = 0; i < 200; i++) {
    const before = performance.now();
    await decode();
    times.push(performance.now() - before);
  }
  times.sort((a, b) => a - b);
  console.log(
    `${name}: first ${first.toFixed(0)} ms, then median ${times[100].toFixed(2)} ms, least ${times[0].toFixed(2)} ms`,
  );
}

await measure('own kernel', async () => {
  const { Graphs } = await import('../src/engine/graphs.ts');
  const wasm = readFileSync(new URL('../src/engine/matrix.wasm', import.meta.url));
  const { instance } = await WebAssembly.instantiate(wasm);
  const weights = readFileSync(`${model}/weights.bin`);
  const bytes = weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length);
  const graphs = new Graphs(
    instance.exports,
    JSON.parse(readFileSync(`${model}/graphs.json`, 'utf8')),
    bytes,
  );
  return async () => graphs.run('decoder', { latents: { shape: [1, 40], data: latents } }).pixels;
});

await measure('onnxruntime-web', async () => {
  const ort = await import('onnxruntime-web/wasm');
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(readFileSync(onnx), { executionProviders: ['wasm'] });
  return async () =>
    (await session.run({ latents: new ort.Tensor('float32', latents, [1, 40]) })).pixels.data;
});

await measure('tfjs-backend-wasm', async () => {
  // The decoder of the recipe `best` with weights of its shapes: its time does not depend on their values.
  const tf = require('@tensorflow/tfjs-core');
  const { setWasmPaths } = require('@tensorflow/tfjs-backend-wasm');
  setWasmPaths(`${dirname(require.resolve('@tensorflow/tfjs-backend-wasm'))}/`);
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  await tf.setBackend('wasm');
  const random = (...shape) => tf.randomNormal(shape, 0, 0.05);
  const dense = random(40, 3136);
  const kernels = [
    random(3, 3, 64, 64),
    random(3, 3, 64, 64),
    random(1, 1, 64, 128),
    random(3, 3, 32, 32),
    random(3, 3, 32, 32),
    random(3, 3, 32, 4),
  ];
  const conv = (x, i) => tf.conv2d(x, kernels[i], 1, 'same');
  const shuffle = (x, h, c) =>
    tf.reshape(tf.transpose(tf.reshape(x, [1, h, h, 2, 2, c]), [0, 1, 3, 2, 4, 5]), [1, 2 * h, 2 * h, c]);
  return async () => {
    const pixels = tf.tidy(() => {
      let x = tf.reshape(tf.matMul(tf.tensor2d(latents, [1, 40]), dense), [1, 7, 7, 64]);
      x = tf.add(x, conv(tf.relu(conv(tf.relu(x), 0)), 1));
      x = shuffle(conv(x, 2), 7, 32);
      x = tf.add(x, conv(tf.relu(conv(tf.relu(x), 3)), 4));
      return tf.sigmoid(shuffle(conv(tf.relu(x), 5), 14, 1));
    });
    const found = await pixels.data();
    pixels.dispose();
    return found;
  };
});
process.exit(0);
