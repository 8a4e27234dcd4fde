"""Labels and styles of images: what the prior's dependence on the label gives for free."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from digitvae import seeds
from digitvae.latent.points import Floats, Images, as_latents, check_at_least
from digitvae.latent.points import own_labels as _own_labels
from digitvae.progress import progress_bar
from digitvae.trained import TrainedModel


def restyle(
    vae: TrainedModel, images: Any, labels: npt.ArrayLike | None = None, own: npt.ArrayLike | None = None
) -> Images:
    """Write other labels in the style of each image: the same base noise u under another label.

    Args:
        vae: a model whose prior depends on labels.
        images: uint8 (n, height, width), or latents, float (n, latent_dim).
        labels: the labels asked for, whole numbers (m,); by default all.
        own: the labels of the images, (n,) or one for all; by default the most probable ones.

    Returns:
        uint8 (n, m, height, width); under its own label an image is its reconstruction.

    Raises:
        ValueError: a model without labels, labels that it does not have, or neither images nor latents.
    """
    vae.check_labelled()
    wanted = np.arange(vae.labels) if labels is None else np.atleast_1d(labels)
    latents = as_latents(vae, images)
    noise = vae.noise_from_latents(latents, _own_labels(vae, latents, own))
    out = np.empty((len(noise), len(wanted), *vae.image_shape), "uint8")
    for column, label in enumerate(wanted):
        out[:, column] = vae.decode(vae.latents_from_noise(noise, np.full(len(noise), label)))
    return out


def classify(vae: TrainedModel, images: Any, draws: int | None = None, seed: int = 0) -> Floats:
    """Return the probability of each label by Bayes' rule.

    The label depends on the image through the code alone, hence p(y|x) = E[p(y|z)] over the true posterior
    p(z|x). By default this is p(y|z) at the mean of q(z|x); draws from q(z|x) with importance weights
    come as near to the expectation as there are draws.

    Args:
        vae: a model whose prior depends on labels.
        images: uint8 (n, height, width), taken as they are: no bits are drawn from grey levels.
        draws: from q(z|x), for each image; None takes its mean.
        seed: seed of the draws.

    Returns:
        float32 (n, labels), rows that sum to 1.

    Raises:
        ValueError: a model without labels, draws below 1, or images of another size.
    """
    vae.check_labelled()
    if draws is None:
        return vae.label_probabilities(vae.encode(images))
    check_at_least(1, draws=draws)
    mean, log_scale = vae.encode_posterior(images)
    log_joint = np.full((len(mean), vae.labels), -np.inf)
    with progress_bar(draws, "classifying", " draws") as bar:
        for draw in range(draws):
            # Of a stream of its own, so that the first images get the same whatever comes after them.
            noise = seeds.stream(seed, "posterior", draw).standard_normal(mean.shape, "float32")
            z = mean + np.exp(log_scale) * noise
            # log q(z|x), but for a constant
            log_q = -(noise**2 / 2 + log_scale).sum(axis=1)
            # p(x, y) = E_q[p(x|z) p(z, y) / q(z|x)]
            weight = vae.log_likelihood(images, z) - log_q
            log_joint = np.logaddexp(log_joint, weight[:, None] + vae.log_joint(z))
            bar.update()
    shares = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), "float32")
