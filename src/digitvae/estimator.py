"""A VAE as a scikit-learn estimator: rows of numbers in, latents, labels, samples and likelihoods out."""

from __future__ import annotations

import math
import zlib
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d, gen_batches
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from digitvae.batches import ArrayRows, ShuffledBatches
from digitvae.building import build, resolve_auto
from digitvae.callbacks import TrainingDiverged
from digitvae.config import Config, ConfigError, resolve, with_changes
from digitvae.data import draw_bits
from digitvae.data.arrays import MAX_SIZE, MIN_SIZE, check_size
from digitvae.evaluation.likelihood import image_bounds
from digitvae.model import VAE
from digitvae.seeds import image_streams

EAGER_STEPS = 20
"""Up to this many training steps TensorFlow needs longer to trace a graph than to do without one."""
_ROWS_AT_ONCE = 4096
# What the estimator's own arguments, or nothing, decide.
_NOT_SETTINGS = ("data", "recipe", "seed", "start_from")


def _has_labels(estimator: VAEEstimator) -> bool:
    """Tell whether there are classes to predict; before `fit` there may be."""
    if hasattr(estimator, "vae_") and not estimator.vae_.labels:
        raise AttributeError(
            "Expected an estimator that was fitted with labels, y, and a prior that depends on them. "
            "Received: one whose prior depends on none"
        )
    return True


class VAEEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator):
    """A variational autoencoder (Kingma & Welling 2013) with the interface of scikit-learn.

    The rows of X are images where they have a shape (`image_shape`); black and white are the smallest and the
    largest number in the X of `fit`. Other rows are modelled by dense networks, each feature between its own
    smallest and largest number. Either way the model sees 256 levels, and numbers beyond the range count as
    its ends.

    Labels make the prior conditional where it is a flow and there are 2 to 100 of them (`condition` in
    `settings`, as in `Config`). -1 is a row without a label, as in sklearn.semi_supervised. A `y` that holds
    no classes, like the target of a regression at the end of a pipeline, is then ignored.

    Args:
        recipe: a name in `digitvae.RECIPES`. By default "default" for images, whose pixels are modelled as
            random bits, and "grey" for other rows, whose levels are modelled as they are.
        latent_dim: size of the code; by default the recipe's, as for the next three.
        epochs: passes over X.
        batch_size: rows per training step.
        learning_rate: the highest, of a schedule that ends at zero.
        settings: further fields of `digitvae.Config` by name, such as {"architecture": "dense"}.
        image_shape: (height, width) of the rows; "auto" for a square where the number of features has a whole
            root from 8 to 128, and else for no images; None for rows that are no images. An X of shape
            (n, height, width) says it itself.
        score_draws: posterior draws per row for `score_samples` and `score`.
        random_state: seeds weights, batches and noise; as everywhere in scikit-learn.

    Attributes:
        vae_: the model, a `digitvae.VAE`.
        config_: the `digitvae.Config` that it was trained by.
        history_: loss, elbo, reconstruction and kl of every epoch, in nats.
        image_shape_: (height, width), or None for rows that are no images.
        data_min_: the number that became black; one for all pixels, or one for each feature of other rows.
        data_max_: the number that became white, likewise.
        classes_: the labels in the order of `predict_proba`, where the prior depends on them.
        n_features_in_: number of features.
        feature_names_in_: their names, where X had any.
    """

    def __init__(
        self,
        recipe: str | None = None,
        latent_dim: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        settings: dict[str, Any] | None = None,
        image_shape: tuple[int, int] | Literal["auto"] | None = "auto",
        score_draws: int = 16,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.recipe = recipe
        self.latent_dim = latent_dim
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.settings = settings
        self.image_shape = image_shape
        self.score_draws = score_draws
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> VAEEstimator:
        """Train a model.

        Args:
            X: numbers (n, features) or images (n, height, width).
            y: labels of any kind, (n,), or None.

        Returns:
            The estimator.

        Raises:
            ConfigError: parameters that do not fit (a ValueError).
            TrainingDiverged: the loss is not finite.
            ValueError: X or y cannot be used.
        """
        rows = self._validated(X, reset=True)
        self.image_shape_ = self._chosen_shape(X)
        self._row_shape: tuple[int, ...] = (
            X.shape[1:] if getattr(X, "ndim", 2) == 3 else (self.n_features_in_,)
        )
        axis = None if self.image_shape_ else 0
        # As exact as the numbers are, and at least float32.
        dtype = np.result_type(rows.dtype, np.float32)
        self.data_min_, self.data_max_ = (np.asarray(f(axis=axis), dtype) for f in (rows.min, rows.max))
        images = self._images(rows)
        config = self._config()
        classes, labels = _encoded(y, config.condition, len(rows))
        self.config_ = config = resolve_auto(config, labels)
        if config.condition == "label":
            self.classes_: Any = classes
        else:
            labels = None
            self.__dict__.pop("classes_", None)  # of a fit before
        bits = config.binarization == "dynamic"
        source = ArrayRows(images, labels)
        batches = ShuffledBatches(source, config.batch_size, config.seed, bits, augment=config.augment)
        parts = images.shape[1:], len(batches), images, labels
        vae = build(config, *parts)
        self._run_eagerly(vae, training=config.epochs * len(batches) <= EAGER_STEPS)
        shuffle = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: batches.start_epoch(epoch))
        history = vae.fit(
            batches.for_fit(), epochs=config.epochs, shuffle=False, callbacks=[shuffle], verbose=0
        )
        self.history_: dict[str, list[float]] = history.history
        if not np.isfinite(self.history_["loss"]).all():
            raise TrainingDiverged(
                f"Expected a finite loss. Received: loss={self.history_['loss']}; a lower learning rate (now "
                f"{config.learning_rate}) or a larger batch (now {config.batch_size}) usually helps"
            )
        if config.precision != "float32":
            twin = build(with_changes(config, precision="float32"), *parts)
            twin.set_weights(vae.get_weights())
            vae = twin
        self._run_eagerly(vae, training=True)
        self.vae_ = vae
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """Return the means of the posteriors q(z|x), float32 (n, latent_dim); X as in `fit`."""
        images = self._checked(X)
        return self.vae_.encode(images)

    def inverse_transform(self, X: npt.ArrayLike) -> np.ndarray:
        """Decode latents, float (n, latent_dim), to means of p(x|z), in the shape and range of `fit`."""
        check_is_fitted(self)
        return self._rows(self.vae_.decode(check_array(X, input_name="X")))

    def sample(
        self,
        n_samples: int = 1,
        labels: Any = None,
        temperature: float = 1.0,
        pixels: Literal["mean", "sample"] = "mean",
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray:
        """Draw new rows.

        Args:
            n_samples: how many.
            labels: one of `classes_` for all, or one for each, (n_samples,); by default drawn from p(y).
            temperature: factor of the noise; below 1 rows are more typical and less varied.
            pixels: "mean" of p(x|z), or "sample" for a draw from it.
            random_state: by default that of the estimator.

        Returns:
            Numbers in the shape and range of the X of `fit`, n_samples of them.

        Raises:
            ValueError: a label that is not among the classes, or a value that `VAE.generate` refuses.
        """
        check_is_fitted(self)
        if labels is not None:
            known = list(getattr(self, "classes_", []))
            wanted = np.broadcast_to(np.asarray(labels), (n_samples,))
            if unknown := [label for label in wanted if label not in known]:
                raise ValueError(f"Expected labels among the classes {known}. Received: {unknown[0]}")
            labels = np.array([known.index(label) for label in wanted])
        seed = _seed(self.random_state if random_state is None else random_state)
        return self._rows(
            self.vae_.generate(n_samples, seed, pixels=pixels, labels=labels, temperature=temperature)
        )

    def score_samples(self, X: Any) -> npt.NDArray[np.float32]:
        """Return the importance-weighted lower bound of log p(x) of every row (Burda et al. 2016).

        It is the log-probability of the row's levels or, where the recipe draws bits, of bits drawn from
        them. Noise and bits belong to the row itself: equal rows have equal scores, wherever they stand.

        Args:
            X: as in `fit`.

        Returns:
            Nats, float32 (n,).
        """
        images = self._checked(X)
        scores = np.empty(len(images), "float32")
        for part in gen_batches(len(images), _ROWS_AT_ONCE):
            seen = images[part]
            names = np.array([zlib.crc32(image) for image in seen])
            if self.config_.binarization == "dynamic":
                streams = image_streams(0, names, purpose=1)
                drawn = [draw_bits(image, stream) for image, stream in zip(seen, streams, strict=True)]
                seen = np.stack(drawn) * np.uint8(255)
            scores[part] = image_bounds(self.vae_, seen, self.score_draws, indices=names).bound
        return scores

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`, in nats per row; y is ignored."""
        return float(np.mean(self.score_samples(X), dtype="float64"))

    @available_if(_has_labels)
    def predict_proba(self, X: Any) -> npt.NDArray[np.float32]:
        """Return p(y|z) at the posterior's mean by Bayes' rule, float32 (n, classes), as in `classes_`."""
        images = self._checked(X)
        return self.vae_.label_probabilities(self.vae_.encode(images))

    @available_if(_has_labels)
    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of every row, (n,)."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    @property
    def _n_features_out(self) -> int:
        return self.vae_.latent_dim

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # Numbers to images and back.

    def _validated(self, X: Any, reset: bool) -> np.ndarray:
        """Return X as scikit-learn checks it, (n, features)."""
        if getattr(X, "ndim", 2) == 3:
            if not reset and X.shape[1:] != self.image_shape_:
                raise ValueError(f"Expected images of {self.image_shape_}. Received: shape={X.shape}")
            X = np.reshape(X, (len(X), math.prod(X.shape[1:])))
        return validate_data(self, X, reset=reset, dtype="numeric")

    def _chosen_shape(self, X: Any) -> tuple[int, int] | None:
        """Return the image shape of rows, (height, width), or None where they are no images."""
        features, shape = self.n_features_in_, self.image_shape
        root = math.isqrt(features)
        if getattr(X, "ndim", 2) == 3:
            if shape not in ("auto", None, X.shape[1:]):
                raise ConfigError(f"Expected images of image_shape={shape}. Received: shape={X.shape}")
            height, width = X.shape[1:]
        elif shape == "auto":
            return (root, root) if root**2 == features and MIN_SIZE <= root <= MAX_SIZE else None
        elif shape is None:
            return None
        else:
            height, width = shape
            if height * width != features:
                raise ConfigError(
                    f"Expected image_shape of as many pixels as X has features, {features}. "
                    f"Received: image_shape={shape}"
                )
        check_size(height, width, f"{height}x{width}")
        return height, width

    def _config(self) -> Config:
        given = ("latent_dim", "epochs", "batch_size", "learning_rate")
        settings = dict(self.settings or {})
        if refused := [name for name in _NOT_SETTINGS if name in settings]:
            raise ConfigError(f"Expected settings without {', '.join(refused)}. Received: {settings}")
        settings |= {name: getattr(self, name) for name in given if getattr(self, name) is not None}
        # Grids of parameters are arrays of NumPy.
        settings = {k: v.item() if isinstance(v, np.generic) else v for k, v in settings.items()}
        if self.image_shape_ is None:
            # Features are no neighbours in a grid.
            settings |= {"architecture": "dense", "augment": 0.0}
        recipe = self.recipe or ("default" if self.image_shape_ else "grey")
        return resolve(recipe, **settings, seed=_seed(self.random_state))

    def _checked(self, X: Any) -> npt.NDArray[np.uint8]:
        check_is_fitted(self)
        return self._images(self._validated(X, reset=False))

    def _images(self, rows: np.ndarray) -> npt.NDArray[np.uint8]:
        images = np.empty(rows.shape, "uint8")
        span = self.data_max_ - self.data_min_
        span = np.where(span > 0, span, 1).astype(span.dtype)
        for part in gen_batches(len(rows), _ROWS_AT_ONCE):
            images[part] = np.rint(255 * np.clip((rows[part] - self.data_min_) / span, 0, 1))
        height, width = self.image_shape_ or (1, self.n_features_in_)
        return images.reshape(-1, height, width)

    def _rows(self, images: npt.NDArray[np.uint8]) -> np.ndarray:
        levels = images.reshape(len(images), self.n_features_in_).astype(self.data_min_.dtype) / 255
        rows = self.data_min_ + (self.data_max_ - self.data_min_) * levels
        return rows.reshape(-1, *self._row_shape)

    @staticmethod
    def _run_eagerly(vae: VAE, training: bool) -> None:
        """Spare TensorFlow the graphs: always those of the networks, which serve any number of rows."""
        if keras.backend.backend() == "tensorflow":
            vae.encoder.run_eagerly = vae.decoder.run_eagerly = True
            if training:
                vae.run_eagerly, vae.steps_per_execution = True, 1

    # Pickles hold settings and arrays of numbers in place of the model: no code, alike on every backend.

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "vae_" in state:
            vae = state["vae_"]
            state["vae_"] = keras.saving.serialize_keras_object(vae), vae.get_weights()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "vae_" in state:
            description, weights = state["vae_"]
            vae = keras.saving.deserialize_keras_object(description, safe_mode=True)
            vae.set_weights(weights)
            self._run_eagerly(vae, training=True)
            state = {**state, "vae_": vae}
        super().__setstate__(state)


def _seed(random_state: int | np.random.RandomState | None) -> int:
    return int(check_random_state(random_state).randint(2**31 - 1))


def _encoded(y: Any, condition: str, rows: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the classes and for each row the index of its class, -1 where it has none; or None twice.

    Raises:
        ValueError: there are not as many labels as rows, or no classes with condition "label".
    """
    if y is None or condition == "none":
        return None, None
    if condition == "label":
        check_classification_targets(y)
    elif type_of_target(y, input_name="y") not in ("binary", "multiclass"):
        return None, None
    y = column_or_1d(y, warn=True)
    check_consistent_length(np.empty(rows), y)
    known = y != -1 if y.dtype.kind in "if" else np.ones(len(y), bool)
    classes, indices = np.unique(y[known], return_inverse=True)
    labels = np.full(len(y), -1)
    labels[known] = indices
    return classes, labels
