"""Models for coding: exact, near the model they were made of, and whole files."""

from __future__ import annotations

import numpy as np
import pytest

from digitvae.codec import CodecModel, codec_model, read_codec_model
from digitvae.codec.network import check_bounds
from digitvae.codec.shards import encoded
from digitvae.light.archive import Archive


def test_a_sum_that_might_be_rounded_is_refused():
    kernel, bias = np.full((128, 2), 127), np.zeros(2)
    check_bounds(kernel, bias, 1031, "float32")
    with pytest.raises(ValueError, match=r"Expected sums below 16777216 in float32"):
        check_bounds(kernel, bias, 1033, "float32")
    check_bounds(kernel, bias, 1033, "float64")


@pytest.mark.parametrize("likelihood", ["bernoulli", "discretised_logistic"])
def test_files_take_the_bits_that_the_bound_says(make_codec, blobs, likelihood):
    vae, model = make_codec(likelihood=likelihood, steps=60)
    images = blobs(1000, seed=8)
    if likelihood == "bernoulli":
        images = np.where(images > 127, 255, 0).astype("uint8")
    elbo = np.mean(
        [vae.evaluate(images, batch_size=250, seed=s, verbose=0, return_dict=True)["elbo"] for s in range(4)]
    )
    bound = -elbo / np.log(2) * len(images)
    initial = 300  # of the first image's latents
    _, content, cost = encoded(model, images)
    assert 8 * len(content) == pytest.approx(bound + initial, rel=0.02)
    spent = cost.pixels + cost.latents - cost.back
    assert spent < 8 * len(content)


def test_a_model_comes_back_from_its_file(grey, some, tmp_path):
    path = tmp_path / "codec.npz"
    path.write_bytes(grey.to_bytes())
    twin = read_codec_model(path)
    assert (twin.digest, twin.name, twin.growth) == (grey.digest, grey.name, grey.growth)
    assert encoded(twin, some) == encoded(grey, some)
    with pytest.raises(ValueError, match="Expected a whole codec model"):
        CodecModel.from_bytes(grey.to_bytes()[:-100])
    with pytest.raises(ValueError, match="Expected a folder with a codec model"):
        read_codec_model(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": "flow"}, "Expected a prior of the classes AutoregressivePrior, .*Received: FlowPrior"),
        ({"likelihood": "continuous_bernoulli"}, "Expected a likelihood of Bernoulli, "),
    ],
)
def test_models_that_cannot_code_are_named(make_vae, tmp_path, changes, message):
    make_vae(**changes).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=message):
        codec_model(Archive(tmp_path / "model.keras"), "x")
