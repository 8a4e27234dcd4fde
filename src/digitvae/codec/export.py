"""From a trained model to a model for coding: networks in whole numbers, latents in bins.

Ranges of activations and of latents come from the model's own samples, so no data are needed. Quantisation
changes what is coded by a fraction of a percent; whether it can be read back does not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from digitvae.codec.model import PIXEL_STEPS, VERSION, CodecModel
from digitvae.codec.network import EXACT
from digitvae.codec.priors import MEAN_STEPS
from digitvae.codec.shards import encoded
from digitvae.codec.tables import LOGIT_STEPS
from digitvae.distributions.autoregressive import masks
from digitvae.distributions.operations import silu
from digitvae.light import LightVAE
from digitvae.light.archive import Archive
from digitvae.light.networks import Layer, Network, Steps

Array = np.ndarray

SAMPLES = 512
"""Of the model, from which ranges are taken."""
_MARGIN = 1.25
# Activations up to it, by the type of the products: with the weights they fill what is exact.
_LARGEST = {"float32": 1023.0, "float64": 32767.0}
_LARGEST_WEIGHT = 32767
_LARGEST_OUTPUT = 2.0**23
_LIKELIHOODS = {"Bernoulli": 2, "DiscretisedLogisticMixture": 256}
# In the scale of a narrow posterior; docs/codec_format.md has the measurement.
_BINS = 3
_MIXTURES = ("StandardNormalPrior", "MixturePrior")


def codec_model(archive: Archive, name: str, precision: str = "float32") -> CodecModel:
    """Make a model for coding of a saved one.

    Args:
        archive: the saved model.
        name: of the model, by which archives name it.
        precision: of products in the decoder; "float64" leaves more digits and takes twice the time.

    Raises:
        ValueError: a layer, prior or likelihood that cannot be coded with.
    """
    vae = LightVAE(archive)
    if vae.likelihood.__name__ not in _LIKELIHOODS:
        raise _refusal(f"a likelihood of {', '.join(_LIKELIHOODS)}", vae.likelihood.__name__)
    levels = _LIKELIHOODS[vae.likelihood.__name__]
    if vae.labels:
        raise _refusal("a prior without labels (--condition none)", f"{vae.labels} labels")
    noise = np.random.default_rng(0).standard_normal((SAMPLES, vae.latent_dim), "float32")
    images = vae.decode(vae.latents_from_noise(noise), pixels="sample")
    mean, log_scale = vae.encode_posterior(images)
    latents = np.concatenate(
        [vae.latents_from_noise(noise), mean - 4 * np.exp(log_scale), mean + 4 * np.exp(log_scale)]
    )
    low, high = latents.min(axis=0).astype("float64"), latents.max(axis=0).astype("float64")
    narrow = np.quantile(np.exp(log_scale), 0.1, axis=0).astype("float64")
    widths = np.maximum((high - low) / 250, narrow / _BINS)
    origins = (low + high) / 2
    arrays: dict[str, Array] = {"origins": origins, "widths": widths}
    encoder, decoder = (Network(archive, part).steps for part in ("encoder", "decoder"))
    x = images.astype("float32") / 255

    posterior_steps = np.concatenate([widths / MEAN_STEPS, np.full(vae.latent_dim, 1 / LOGIT_STEPS)])
    posterior_origins = np.concatenate([origins, np.zeros(vae.latent_dim)])
    input_scale = 1 / 255 if levels == 256 else 1.0
    largest = 255.0 if levels == 256 else 1.0
    encoder_steps = _quantised(
        encoder,
        "encoder",
        x,
        _Input(input_scale, largest),
        posterior_steps,
        posterior_origins,
        "float32",
        arrays,
    )
    if levels == 2:
        pixel_steps = np.array([1 / LOGIT_STEPS])
    else:
        count = vae.likelihood.channels() // 3
        pixel_steps = np.repeat([1 / LOGIT_STEPS, 1 / PIXEL_STEPS, 1 / LOGIT_STEPS], count)
    z = np.concatenate([vae.latents_from_noise(noise), mean])
    decoder_steps = _quantised(
        decoder,
        "decoder",
        z,
        _Input(1.0, 128.0, widths, origins),
        pixel_steps,
        np.zeros(len(pixel_steps)),
        precision,
        arrays,
    )
    meta = {
        "version": VERSION,
        "name": name,
        "image_shape": list(vae.image_shape),
        "latent_dim": vae.latent_dim,
        "levels": levels,
        "growth": 1.0,
        "encoder": encoder_steps,
        "decoder": decoder_steps,
        "prior": _prior(archive, vae.latent_dim, z, widths, origins, arrays),
    }
    return _with_growth(CodecModel(meta, arrays), images)


def _refusal(expected: str, received: str) -> ValueError:
    return ValueError(f"Expected {expected} in a model for coding. Received: {received}")


def _with_growth(model: CodecModel, images: Array) -> CodecModel:
    """Let batches grow as fast as the stack does."""
    few = images[:64]
    gained = 8 * len(encoded(model, few).content) / len(few)
    posterior = model.posterior(model.numbers(few))
    # The entropy of a Gaussian in bins: log2(sqrt(2 pi e) scale), at least 0.
    bits = np.maximum(2.05 - np.log2(posterior.inverse_scales), 0).sum() / len(few)
    growth = round(float(0.8 * gained / max(bits, 1)), 2)
    return CodecModel({**model.meta, "growth": min(max(growth, 0.1), 8.0)}, model.arrays)


class _Input:
    """What a network's input is: real value = origin + whole number * scale * width."""

    def __init__(
        self, scale: float, largest: float, widths: Array | None = None, origins: Array | None = None
    ) -> None:
        self.scale, self.largest, self.widths, self.origins = scale, largest, widths, origins

    def folded(self, kernel: Array, bias: Array) -> tuple[Array, Array]:
        """Move widths and origins into a dense layer."""
        if self.widths is None or self.origins is None:
            return kernel, bias
        return kernel * self.widths[:, None], bias + self.origins @ kernel


def _quantised(
    network: Steps,
    part: str,
    x: Array,
    given: _Input,
    output_steps: Array,
    output_origins: Array,
    dtype: str,
    arrays: dict[str, Array],
) -> list[dict[str, Any]]:
    """Return the steps of a network in whole numbers, and put its arrays beside the others.

    Args:
        network: in floating point.
        part: its name.
        x: inputs from which ranges are taken.
        given: what its input is in whole numbers.
        output_steps: real size of a whole number at the output, for the channels in turn.
        output_origins: real value of 0 at the output, likewise.
        dtype: of the products.
        arrays: where weights go.
    """
    groups = _groups(network)
    tops: dict[str, float] = {}
    for start in range(0, len(x), 64):
        for name, values in network.values(x[start : start + 64]).items():
            tops[groups[name]] = max(tops.get(groups[name], 0.0), float(np.abs(values).max()))
    last = groups[network.layers[-1].name]
    scales = {group: max(top, 1e-6) * _MARGIN / _LARGEST[dtype] for group, top in tops.items()}
    scales[groups[network.input]] = given.scale
    largest = dict.fromkeys(tops, _LARGEST[dtype])
    largest[groups[network.input]] = given.largest
    steps = []
    for layer in network.layers:
        source, target = groups[layer.inputs[0]], groups[layer.name]
        name = f"{part}/{layer.name}"
        inputs = ["input" if other == network.input else f"{part}/{other}" for other in layer.inputs]
        step: dict[str, Any] = {"name": name, "inputs": inputs}
        if layer.kind in ("Dense", "Conv2D"):
            _refuse_activation(layer)
            kernel, *rest = (array.astype("float64") for array in layer.weights)
            bias = rest[0] if rest else np.zeros(kernel.shape[-1])
            if layer.inputs[0] == network.input:
                kernel, bias = given.folded(kernel, bias)
            output: Any = scales[target]
            limit = _LARGEST[dtype]
            if target == last:
                repeats = len(bias) // len(output_steps)
                output, limit = np.tile(output_steps, repeats), _LARGEST_OUTPUT
                bias = bias - np.tile(output_origins, repeats)
            step |= {"kind": "product", "dtype": dtype, "largest": largest[source], "limit": limit}
            if layer.kind == "Conv2D":
                step |= {
                    "strides": list(layer.settings["strides"]),
                    "same": layer.settings["padding"] == "same",
                }
            product(name, kernel, bias, scales[source], output, step, arrays)
        else:
            step |= _OTHERS[layer.kind](layer, scales[source], largest[target], name, arrays)
        steps.append(step)
    return steps


def product(
    name: str,
    kernel: Array,
    bias: Array,
    scale: float,
    output: Any,
    settings: Mapping[str, Any],
    arrays: dict[str, Array],
) -> None:
    """Put a product in whole numbers beside the other arrays.

    Args:
        name: of the layer.
        kernel: real, (..., outputs).
        bias: real, (outputs,).
        scale: real size of a whole number at the input.
        output: real size of a whole number at the output, one or (outputs,).
        settings: "dtype" and "largest" of the product.
        arrays: where the arrays go.
    """
    rows = np.abs(kernel.reshape(-1, kernel.shape[-1]))
    # With sizes so large, every sum of products with the largest inputs stays exact; one percent is for
    # rounding.
    room = 0.99 * EXACT[settings["dtype"]] - settings["largest"] * len(rows)
    sizes = (rows.sum(axis=0) * settings["largest"] + np.abs(bias) / scale) / room
    sizes = np.maximum(np.maximum(sizes, rows.max(axis=0) / _LARGEST_WEIGHT), 1e-12)
    arrays[f"{name}/kernel"] = np.rint(kernel / sizes).astype("int16")
    arrays[f"{name}/bias"] = np.rint(bias / (scale * sizes)).astype("int64")
    arrays[f"{name}/multiplier"] = (scale * sizes / output).astype("float64")


def _groups(network: Steps) -> dict[str, str]:
    """Return for each layer the name of its group: those whose whole numbers must have one size.

    Only products change the size; what adds or moves numbers keeps it.
    """
    group = {network.input: network.input}
    for layer in network.layers:
        group[layer.name] = layer.name
        if layer.kind not in ("Dense", "Conv2D"):
            joined = {group[other] for other in layer.inputs} | {layer.name}
            first = group[layer.inputs[0]]
            group = {name: first if of in joined else of for name, of in group.items()}
    return group


def _refuse_activation(layer: Layer) -> None:
    if layer.settings["activation"] != "linear":
        raise _refusal("layers without activations of their own", f"layer {layer.name}")


def _activation(layer: Layer, scale: float, largest: float, name: str, arrays: dict[str, Array]) -> Any:
    if layer.settings["activation"] == "relu":
        return {"kind": "relu"}
    whole = np.arange(-largest, largest + 1)
    arrays[f"{name}/table"] = np.rint(silu(whole * scale) / scale).astype("int32")
    return {"kind": "table"}


_OTHERS: dict[str, Callable[..., dict[str, Any]]] = {
    "Activation": _activation,
    "Add": lambda layer, scale, largest, *_: {"kind": "add", "limit": largest},
    "Flatten": lambda layer, *_: {"kind": "reshape", "shape": [-1]},
    "Reshape": lambda layer, *_: {"kind": "reshape", "shape": list(layer.settings["target_shape"])},
    "Permute": lambda layer, *_: {"kind": "permute", "dims": list(layer.settings["dims"])},
    "ZeroPadding2D": lambda layer, *_: {"kind": "pad", "padding": layer.settings["padding"]},
    "Cropping2D": lambda layer, *_: {"kind": "crop", "cropping": layer.settings["cropping"]},
}


def _prior(
    archive: Archive, latent_dim: int, z: Array, widths: Array, origins: Array, arrays: dict[str, Array]
) -> dict[str, Any]:
    kind = archive.config["prior"]["class_name"]
    if kind == "AutoregressivePrior":
        return _autoregressive(archive.at("layers/autoregressive_prior"), z, widths, origins, arrays)
    if kind not in _MIXTURES:
        raise _refusal(f"a prior of the classes AutoregressivePrior, {', '.join(_MIXTURES)}", kind)
    if kind == "MixturePrior":
        logits, means, log_scales = (a.astype("float64") for a in archive.at("layers/mixture_prior"))
    else:
        logits, means, log_scales = np.zeros(1), np.zeros((1, latent_dim)), np.zeros((1, latent_dim))
    arrays |= {
        "shares": np.exp(logits - logits.max()),
        "prior_means": means,
        "prior_inverse_scales": np.exp(-log_scales),
    }
    return {"kind": "mixture"}


def _autoregressive(
    weights: Sequence[Array], z: Array, widths: Array, origins: Array, arrays: dict[str, Array]
) -> dict[str, Any]:
    latent_dim, hidden_units = weights[0].shape
    shown = masks(latent_dim, hidden_units, weights[2].shape[1])
    kernels = [kernel.astype("float64") * mask for kernel, mask in zip(weights[:3], shown, strict=True)]
    biases = [bias.astype("float64") for bias in weights[3:6]]
    components = weights[2].shape[1] // (3 * latent_dim)
    hidden, tops = z.astype("float64"), []
    for kernel, bias in zip(kernels[:2], biases[:2], strict=True):
        hidden = np.maximum(hidden @ kernel + bias, 0)
        tops.append(max(hidden.max(), 1e-6))
    dtype = "float32"
    scales = [1.0, *(top * _MARGIN / _LARGEST[dtype] for top in tops)]
    kernels[0], biases[0] = _Input(1.0, 128.0, widths, origins).folded(kernels[0], biases[0])
    # The parameters of each latent: logits, means in bins around the origin, raw scales.
    steps = np.empty((latent_dim, 3, components))
    steps[:, [0, 2]] = 1 / LOGIT_STEPS
    steps[:, 1] = widths[:, None] / MEAN_STEPS
    centre = np.zeros((latent_dim, 3, components))
    centre[:, 1] = origins[:, None]
    biases[2] = biases[2] - centre.ravel()
    outputs = [scales[1], scales[2], steps.ravel()]
    settings = [
        {"dtype": dtype, "largest": largest, "limit": limit}
        for largest, limit in (
            (128.0, _LARGEST[dtype]),
            (_LARGEST[dtype], _LARGEST[dtype]),
            (_LARGEST[dtype], _LARGEST_OUTPUT),
        )
    ]
    for i in range(3):
        product(f"prior{i}", kernels[i], biases[i], scales[i], outputs[i], settings[i], arrays)
    return {"kind": "autoregressive", "products": settings}
