"""What users do with a trained model, arrays in and arrays out, whatever computes it."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from digitvae import seeds
from digitvae.distributions import Distribution, Labelled, Likelihood, Tensor
from digitvae.markup import html_table
from digitvae.rows import checked_images, label_weights, padded_batches


class TrainedModel(abc.ABC):
    """Encodes, decodes and generates, a batch at a time.

    Images are taken as uint8 0..255, bool or float in [0, 1], (n, height, width), from any array, tensor or
    list; results are NumPy arrays. A seed gives the same noise whatever computes.

    Attributes:
        image_shape: (height, width) of the images.
        latent_dim: size of the code.
        labels: number of labels on which the prior depends, 0 for none.
        likelihood: class of p(x|z).
        prior_name: class of p(z).
    """

    image_shape: tuple[int, int]
    latent_dim: int
    labels: int
    likelihood: type[Likelihood]
    prior_name: str

    # What computes.

    @abc.abstractmethod
    def _encoded(self, x: npt.NDArray[np.float32]) -> np.ndarray:
        """Return mean and log-scale of q(z|x), (n, 2 * latent_dim), for x (n, height, width) in [0, 1]."""

    @abc.abstractmethod
    def _decoded(self, z: npt.NDArray[np.float32]) -> np.ndarray:
        """Return the likelihood's parameters (n, height, width, channels) for z (n, latent_dim)."""

    @abc.abstractmethod
    def _prior(self) -> Distribution | Labelled:
        """Return p(z), for functions that `_run` runs."""

    @abc.abstractmethod
    def _run(self, function: Callable[..., Tensor], *arrays: np.ndarray) -> np.ndarray:
        """Return a function of tensors for arrays."""

    # What users call.

    def encode(
        self, images: Any, batch_size: int = 256, sample: bool = False, seed: int = 0
    ) -> npt.NDArray[np.float32]:
        """Compress images to latents.

        Args:
            images: (n, height, width): uint8 0..255, bool, or float in [0, 1]; array, tensor or list.
            batch_size: images at a time.
            sample: draw from the posterior instead of taking its mean.
            seed: seed of the draw.

        Returns:
            float32 (n, latent_dim).

        Raises:
            ValueError: images of another size, or not images at all.
        """
        mean, log_scale = self.encode_posterior(images, batch_size)
        if not sample:
            return mean
        noise = seeds.stream(seed, "posterior").standard_normal(mean.shape, "float32")
        return np.asarray(mean + np.exp(log_scale) * noise, "float32")

    def encode_posterior(
        self, images: Any, batch_size: int = 256
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Compress images to the parameters of the posterior q(z|x).

        Args:
            images: as in `encode`.
            batch_size: images at a time.

        Returns:
            Mean and natural logarithm of the standard deviation, both float32 (n, latent_dim).

        Raises:
            ValueError: images of another size, or not images at all.
        """
        images = checked_images(images, self.image_shape)
        outputs = np.empty((len(images), 2 * self.latent_dim), "float32")
        for rows, batch in padded_batches(images, batch_size, "encoding"):
            values = self._encoded(batch.astype(np.float32) / np.float32(255))
            outputs[rows] = values[: rows.stop - rows.start]
        mean, log_scale = (np.ascontiguousarray(part) for part in np.split(outputs, 2, axis=1))
        return mean, log_scale

    def decode(
        self,
        latents: npt.ArrayLike,
        batch_size: int = 256,
        pixels: Literal["mean", "sample"] = "mean",
        seed: int = 0,
    ) -> npt.NDArray[np.uint8]:
        """Turn latents into images.

        Args:
            latents: float (n, latent_dim).
            batch_size: latents at a time.
            pixels: "mean" for the mean of p(x|z), "sample" for a draw from it.
            seed: seed of the draw.

        Returns:
            uint8 (n, height, width).

        Raises:
            ValueError: latents of another shape, or not finite; or `pixels` is neither.
        """
        if pixels not in ("mean", "sample"):
            raise ValueError(f"Expected pixels to be mean or sample. Received: pixels={pixels}")
        latents = self._checked_latents(latents)
        images = np.empty((len(latents), *self.image_shape), "uint8")
        uniforms = seeds.stream(seed, "pixels")
        for rows, batch in padded_batches(latents, batch_size, "decoding"):
            count = rows.stop - rows.start
            params = self._decoded(batch)[:count]
            if pixels == "mean":
                values = self._run(lambda p: self.likelihood(p).mean, params)
            else:
                uniform = uniforms.random((count, *self.image_shape, 2), "float32")
                values = self._run(lambda p, u: self.likelihood(p).sample(u), params, uniform)
            images[rows] = np.rint(values * 255)
        return images

    def reconstruct(self, images: Any, batch_size: int = 256) -> npt.NDArray[np.uint8]:
        """Encode to the posterior mean and decode to the mean of p(x|z).

        Args:
            images: as in `encode`.
            batch_size: images at a time.

        Returns:
            uint8 (n, height, width).
        """
        return self.decode(self.encode(images, batch_size), batch_size)

    def generate(
        self,
        n: int,
        seed: int = 0,
        batch_size: int = 256,
        pixels: Literal["mean", "sample"] = "mean",
        labels: npt.ArrayLike | None = None,
        temperature: float = 1.0,
    ) -> npt.NDArray[np.uint8]:
        """Draw new images: u ~ N(0, I), z = T(u), then p(x|z).

        Args:
            n: how many; the first m of n are those of `generate(m)` with the same seed.
            seed: seed of the noise, which is the same on every backend.
            batch_size: images at a time.
            pixels: as in `decode`.
            labels: a label for all, or one for each, (n,), for a prior that depends on them; by default they
                are drawn from p(y).
            temperature: factor of the noise; below 1 images are more typical and less varied.

        Returns:
            uint8 (n, height, width).

        Raises:
            ValueError: n is not a whole number of at least 1, `pixels` is unknown, the temperature is not
                above 0, or labels that the model does not have.
        """
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"Expected n to be a whole number of at least 1. Received: n={n}")
        if not 0 < temperature < np.inf:
            raise ValueError(f"Expected a temperature above 0. Received: temperature={temperature}")
        if labels is not None:
            labels = np.broadcast_to(np.asarray(labels), (n,)) if np.ndim(labels) == 0 else labels
        elif self.labels:
            labels = self.draw_labels(n, seed)
        noise = temperature * seeds.stream(seed, "prior").standard_normal((n, self.latent_dim), "float32")
        return self.decode(self.latents_from_noise(noise, labels), batch_size, pixels, seed)

    def draw_labels(self, n: int, seed: int = 0) -> npt.NDArray[np.int64]:
        """Draw labels from p(y), int64 (n,); the first m of n are those of `draw_labels(m)`.

        Raises:
            ValueError: the model's prior does not depend on labels.
        """
        shares = np.cumsum(self.label_shares())
        uniform = seeds.stream(seed, "labels").random(n)
        return np.minimum(np.searchsorted(shares, uniform, side="right"), self.labels - 1)

    def label_shares(self) -> npt.NDArray[np.float64]:
        """Return p(y), float64 (labels,).

        Raises:
            ValueError: the model's prior does not depend on labels.
        """
        self.check_labelled()
        prior: Any = self._prior
        logits = self._run(lambda: prior().log_probabilities).astype("float64")
        return np.exp(logits) / np.exp(logits).sum()

    def label_probabilities(self, latents: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return p(y|z) by Bayes' rule.

        Args:
            latents: float (n, latent_dim).

        Returns:
            float32 (n, labels), rows that sum to 1.

        Raises:
            ValueError: latents of another shape, or the model's prior does not depend on labels.
        """
        self.check_labelled()
        # p(y|z) = p(y) p(z|y) / sum_y' p(y') p(z|y')
        joint = self.log_joint(latents)
        shares = np.exp(joint - joint.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def log_prior(self, latents: npt.ArrayLike, batch_size: int = 4096) -> npt.NDArray[np.float32]:
        """Return log p(z) in nats, float32 (n,), for latents float (n, latent_dim), `batch_size` at a time.

        Raises:
            ValueError: latents of another shape.
        """
        latents = self._checked_latents(latents)
        return self._mapped(lambda z: self._prior().log_prob(z), latents, batch_size=batch_size)

    def log_joint(self, latents: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return log p(z, y) of every label in nats, float32 (n, labels), for latents float (n, latent_dim).

        Raises:
            ValueError: latents of another shape, or the model's prior does not depend on labels.
        """
        self.check_labelled()
        prior: Any = self._prior
        return self._mapped(lambda z: prior().log_joint(z), self._checked_latents(latents))

    def log_likelihood(
        self, images: Any, latents: npt.ArrayLike, batch_size: int = 256
    ) -> npt.NDArray[np.float32]:
        """Return log p(x|z) in nats, summed over pixels, float32 (n,).

        Args:
            images: (n, height, width), as in `encode`; pixels are taken as they are, no bits are drawn.
            latents: float (n, latent_dim), a code for each image.
            batch_size: images at a time.

        Raises:
            ValueError: images or latents of another shape, or not as many of one as of the other.
        """
        images, latents = checked_images(images, self.image_shape), self._checked_latents(latents)
        if len(images) != len(latents):
            raise ValueError(
                f"Expected a code for each image. Received: {len(images)} images, {len(latents)} codes"
            )
        found = np.empty(len(images), "float32")
        seen = padded_batches(images, batch_size, "likelihoods")
        for (rows, x), (_, z) in zip(seen, padded_batches(latents, batch_size), strict=True):
            values = self._run(
                lambda p, x: self.likelihood(p).log_prob(x), self._decoded(z), x.astype("float32") / 255
            )
            found[rows] = values[: rows.stop - rows.start]
        return found

    def latents_from_noise(
        self, noise: npt.ArrayLike, labels: npt.ArrayLike | None = None, batch_size: int = 4096
    ) -> npt.NDArray[np.float32]:
        """Map the prior's base noise u to latents z.

        Args:
            noise: float (n, latent_dim).
            labels: whole numbers (n,); or weights of the labels, float (n, labels), for maps between those of
                several labels. Required where the prior depends on labels.
            batch_size: rows at a time.

        Returns:
            float32 (n, latent_dim).

        Raises:
            ValueError: noise or labels of another shape, or labels that the model does not have.
        """
        noise = self._checked_latents(noise)
        if labels is None and self.labels:
            raise ValueError("Expected labels, on which the model's prior depends. Received: labels=None")
        weights = self._weights(labels, noise)
        return self._mapped(
            lambda u, *w: self._given(*w).from_noise(u), noise, *weights, batch_size=batch_size
        )

    def noise_from_latents(
        self, latents: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.float32]:
        """Map latents z to the prior's base noise u.

        Args:
            latents: float (n, latent_dim).
            labels: as in `latents_from_noise`; by default the most probable one of each where the prior
                depends on labels.

        Returns:
            float32 (n, latent_dim).

        Raises:
            ValueError: latents or labels of another shape, or labels that the model does not have.
        """
        latents = self._checked_latents(latents)
        if labels is None and self.labels:
            labels = self.label_probabilities(latents).argmax(axis=1)
        return self._mapped(
            lambda z, *w: self._given(*w).to_noise(z), latents, *self._weights(labels, latents)
        )

    def _given(self, *weights: Tensor) -> Distribution:
        """Return the prior, or p(z|y) for weights of the labels."""
        prior: Any = self._prior()
        return prior.given(*weights) if self.labels else prior

    def _weights(self, labels: npt.ArrayLike | None, rows: np.ndarray) -> list[npt.NDArray[np.float32]]:
        if labels is None:
            return []
        self.check_labelled()
        return [label_weights(labels, self.labels, len(rows))]

    def _repr_html_(self) -> str:
        """Say in a notebook what the model is."""
        height, width = self.image_shape
        facts = {
            "images": f"{height} x {width} pixels",
            "latents": self.latent_dim,
            "labels": self.labels or "none",
            "p(z)": self.prior_name,
            "p(x|z)": self.likelihood.__name__,
        }
        return html_table(type(self).__name__, facts.items())

    def check_labelled(self) -> None:
        """Refuse what needs labels.

        Raises:
            ValueError: the model's prior does not depend on labels.
        """
        if not self.labels:
            raise ValueError(
                "Expected a model that was trained with labels. Received: one whose prior depends on none"
            )

    def _mapped(
        self, function: Callable[..., Tensor], *arrays: np.ndarray, batch_size: int = 4096
    ) -> npt.NDArray[np.float32]:
        """Apply a function of tensors to the rows of arrays, a batch at a time."""
        first, *others = arrays
        out: Any = None
        if not len(first):
            # Only the function knows the shape of its rows.
            return self._run(function, *(np.zeros((1, *a.shape[1:]), "float32") for a in arrays))[:0]
        batches = zip(
            padded_batches(first, batch_size, "prior"),
            *(padded_batches(a, batch_size) for a in others),
            strict=True,
        )
        for (rows, values), *further in batches:
            found = self._run(function, values, *(part for _, part in further))
            if out is None:
                out = np.empty((len(first), *found.shape[1:]), "float32")
            out[rows] = found[: rows.stop - rows.start]
        return out

    def _checked_latents(self, latents: npt.ArrayLike) -> npt.NDArray[np.float32]:
        latents = np.asarray(latents, "float32")
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise ValueError(
                f"Expected latents of shape (n, {self.latent_dim}). Received: shape={latents.shape}"
            )
        if not np.isfinite(latents).all():
            raise ValueError("Expected finite latents. Received: NaN or infinite values")
        return latents
