"""What the page computes is what Python computes: the built worker in a browser against `digitvae` itself."""

import base64

import numpy as np
import pytest
from page_steps import SIDE

from digitvae.data.photos import read_photo

DRAWINGS = 100

# Talks to a worker of its own, as the page does.
_WORKER = """
async ([script, kernel]) => {
  const worker = new Worker(script, { type: 'module' });
  const next = () => new Promise(resolve => {
    worker.addEventListener('message', ({ data }) => resolve(data), { once: true });
  });
  const get = name => fetch(`model/${name}`);
  const json = name => get(name).then(found => found.json());
  worker.postMessage({
    kernel: await WebAssembly.compileStreaming(fetch(kernel)),
    graphs: await json('graphs.json'),
    weights: await get('weights.bin').then(found => found.arrayBuffer()),
    facts: await json('model.json'),
  });
  const first = await next();
  if (!first.ready) throw new Error(first.failed);
  window.compute = async (call, ...values) => {
    worker.postMessage({ id: 1, call, values });
    const { result, error } = await next();
    if (error) throw new Error(error);
    return result;
  };
}
"""


@pytest.fixture
def page(address, opened):
    from digitvae.explorer.site import read_page

    page = opened(address)
    script, kernel = (
        next(name for name in read_page() if name.startswith(f"assets/{start}"))
        for start in ("worker-", "matrix-")
    )
    page.evaluate(_WORKER, [address + script, address + kernel])
    return page


def compute(page, call, *arrays):
    """Call the worker with float32 arrays; returns one, or several by their names."""
    return page.evaluate(
        "async ([call, values]) => {"
        " const found = await compute(call, ...values.map(v => Float32Array.from(v)));"
        " return found instanceof Float32Array ? Array.from(found) :"
        " Object.fromEntries(Object.entries(found).map(([name, value]) => [name, Array.from(value)])); }",
        [call, [np.asarray(values, "float64").ravel().tolist() for values in arrays]],
    )


def test_the_page_decodes_as_python_does(page, vae):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 60)
    noise = rng.standard_normal((60, vae.latent_dim), "float32")
    latents = vae.latents_from_noise(noise, labels)
    expected = 0.5 + 0.5 * np.tanh(0.5 * vae._decoded(latents)[..., 0])
    found = np.reshape(compute(page, "decode", latents), expected.shape)
    assert np.abs(found - expected).max() <= 1e-3
    # More at a time than the memory holds at first.
    many = np.reshape(compute(page, "decode", np.tile(latents, (4, 1))), (240, -1))
    np.testing.assert_array_equal(many[180:], found.reshape(60, -1))


def test_the_page_encodes_and_maps_noise_as_python_does(page, vae):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 20)
    weights = np.eye(10)[labels]
    noise = rng.standard_normal((20, vae.latent_dim), "float32")
    latents = vae.latents_from_noise(noise, labels)
    images = vae.decode(latents)
    mean, log_scale = vae.encode_posterior(images)
    found = compute(page, "encode", images / 255)
    assert np.abs(np.reshape(found["mean"], mean.shape) - mean).max() < 0.01
    assert np.abs(np.reshape(found["logScale"], mean.shape) - log_scale).max() < 0.01
    assert np.abs(np.reshape(compute(page, "fromNoise", noise, weights), mean.shape) - latents).max() < 0.02
    back = np.reshape(compute(page, "toNoise", latents, weights), mean.shape)
    assert np.abs(back - noise).max() < 0.02
    joint = vae.log_joint(mean[:3])
    for row, expected in zip(mean, joint, strict=False):
        assert np.abs(compute(page, "logJoint", row) - expected).max() < 0.05


def test_the_page_reads_drawings_as_python_does(page, drawing):
    page.click("#tab-draw")
    box = page.locator("#pad").bounding_box()
    shares = []
    for number in range(DRAWINGS):
        page.click("#panel-draw >> text=Clear")
        for stroke in drawing(number):
            places = [
                (box["x"] + x * box["width"] / SIDE, box["y"] + y * box["height"] / SIDE) for x, y in stroke
            ]
            page.mouse.move(*places[0])
            page.mouse.down()
            for place in places[1::6]:
                page.mouse.move(*place)
            page.mouse.up()
        grey, found = page.evaluate(
            "async side => { const { data } ="
            " document.getElementById('pad').getContext('2d').getImageData(0, 0, side, side);"
            " const grey = Uint8Array.from({ length: side * side }, (_, i) => data[4 * i]);"
            " const picture = { data: grey, width: side, height: side, channels: 1 };"
            " const found = await compute('preprocess', picture);"
            " const text = bytes => btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));"
            " return [text(grey), text(found)]; }",
            SIDE,
        )
        grey, found = (np.frombuffer(base64.b64decode(part), "uint8") for part in (grey, found))
        expected = read_photo(grey.reshape(SIDE, SIDE))
        shares.append((np.abs(found.reshape(28, 28) - expected.astype(int)) <= 1).mean())
    assert min(shares) >= 0.99
