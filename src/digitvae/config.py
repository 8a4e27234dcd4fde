"""What a run is made of: one frozen dataclass, its named recipes, and JSON both ways.

Precedence when a run is put together: command-line flags win over a config file, the file over the
recipe, the recipe over the defaults below.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from digitvae.files import read_json

ARCHITECTURES = ("conv", "dense")
PRIORS = ("normal", "mixture", "vamp", "flow", "autoregressive")
LABELLED_PRIORS = ("flow", "autoregressive")
"""Priors that can depend on the label."""
LIKELIHOODS = ("bernoulli", "continuous_bernoulli", "discretised_logistic")
CONDITIONS = ("auto", "label", "none")
ACTIVATIONS = ("auto", "relu", "swish")
OBJECTIVES = ("elbo", "iwae")
OPTIMIZERS = ("muon", "adam")
BINARIZATIONS = ("dynamic", "none")
PRECISIONS = ("auto", "float32", "bfloat16")
BACKENDS = ("auto", "tensorflow", "jax", "torch")

IWAE_DRAWS = 5
"""Draws when the objective is iwae and none are given: the smaller setting of Burda et al. 2016."""


class ConfigError(ValueError):
    """A setting that is unknown, out of range, or impossible together with another."""


@dataclass(frozen=True)
class Config:
    """Every choice that shapes a run; a recipe is a diff of these defaults.

    A run keeps what each "auto" became.

    Raises:
        ConfigError: a field has the wrong type, an unknown name or a value out of range, or fields contradict
            one another.
    """

    recipe: str = "default"
    """The name under which the run is filed; the diff itself is already applied."""

    # Data.
    data: str = "mnist"
    """The embedded MNIST, or a path to IDX, .npy, .npz or a folder of images."""
    binarization: str = "dynamic"
    """Fresh bits x ~ Bernoulli(pixel / 255) every step: the protocol of most published nats."""
    augment: float = 0.0
    """Strength of random rotations, shears and bends of training images, which keep the size and the place of
    the drawing: against overfitting in long trainings; in ten epochs there is little."""

    # Model.
    architecture: str = "conv"
    """Convolutions use the neighbourhood of pixels; dense layers are for comparison with textbooks."""
    width: int = 64
    """Channels (conv) or units (dense); 96 channels gained half a nat and cost a fifth of the time."""
    blocks: int = 1
    """Residual blocks in each network; a convolutional one has another on its finer grid. Two are no better
    after few epochs and take a third more time."""
    activation: str = "auto"
    """ReLU in convolutions, the cheapest; swish in dense networks, a nat better after one epoch."""
    latent_dim: int = 40
    """More than MNIST needs; unneeded latents cost nothing, their posterior stays at the prior."""
    prior: str = "flow"
    """A learned prior can match the latents of ten digits, so posteriors need not form a standard normal."""
    prior_components: int = 100
    """Components of the mixture and VampPrior priors; enough for ten digits with ten styles each."""
    condition: str = "auto"
    """What the prior depends on: the label where the prior can and the data have labels. Then digits come on
    demand, and the likelihood is better by 0.7 nats, for a twentieth more time."""
    flow_components: int = 10
    """Gaussians in the flow's noise where there are no labels: a flow cannot tear one into ten clusters."""
    flow_couplings: int = 12
    """Affine couplings of the flow prior, each moving half of the latents; in ten epochs eight are 0.3 nats
    worse and sixteen no better."""
    flow_hidden: int = 128
    """Units in the hidden layers of each coupling: small beside the networks."""
    autoregressive_hidden: int = 512
    """Units in both hidden layers of the autoregressive prior: a latent sees a part of them only."""
    autoregressive_components: int = 8
    """Gaussians in each conditional of the autoregressive prior."""
    likelihood: str = "bernoulli"
    """The exact likelihood of binarized pixels."""

    # Objective.
    objective: str = "elbo"
    """The evidence lower bound; "iwae" trains the importance-weighted bound with `draws` draws."""
    draws: int = 1
    """Posterior draws per image: one is unbiased and cheapest; IWAE needs more."""
    resampled: int = 0
    """Draws from which IWAE takes the gradient, drawn again by their importance weights; 0 takes that of all.
    One of eight costs less than all of five; off while few draws are enough."""
    beta: float = 1.0
    """Weight of the KL; 1 is the bound itself, more disentangles, less sharpens."""
    free_bits: float = 0.0
    """Nats per latent that are not penalised; prevents collapse of the posterior, off while none occurs."""
    warmup_epochs: float = 0.0
    """Epochs over which beta grows from 0; off while no posterior collapses."""

    # Optimisation.
    epochs: int = 10
    """What the project promises to show after a few minutes on a laptop."""
    start_from: str = ""
    """A run, or the name of a shipped model, of the same networks and prior, whose weights are the first; its
    networks may be narrower or have fewer blocks, the function is the same at first."""
    batch_size: int = 128
    """Small enough for many updates in ten epochs, large enough to fill two cores."""
    optimizer: str = "muon"
    """Muon is 7 to 10 nats ahead of Adam after one epoch and never collapsed; Adam is what others compare."""
    learning_rate: float = 4e-3
    """Peak rate, decayed to zero by a cosine; high, because ten epochs are few."""
    averaging_epochs: float = 0.0
    """Epochs over which the weights are averaged (with exponential weights), at a rate that stays as it is;
    the averages are what validates and is saved. Off, because a decay is as good where its end is known."""
    seed: int = 0
    """Seeds weights, batches, bits and noise."""
    precision: str = "auto"
    """bfloat16 for the networks where the CPU has instructions for it, else float32; training only."""
    backend: str = "auto"
    """The backend that Keras runs on; from one seed, each draws other weights and other noise."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_type(field.name, getattr(self, field.name), field.type)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"Expected {name} to be one of {', '.join(choices)}. Received: {getattr(self, name)}"
                )
        for name, least in _AT_LEAST.items():
            if getattr(self, name) < least:
                raise ConfigError(f"Expected {name} to be at least {least}. Received: {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ConfigError(f"Expected learning_rate to be above 0. Received: {self.learning_rate}")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"Expected seed to be from 0 to 2**31 - 1. Received: {self.seed}")
        self._check_combinations()

    def _check_combinations(self) -> None:
        """Refuse what cannot mean anything, with the reason."""
        if self.binarization == "dynamic" and self.likelihood != "bernoulli":
            raise self._refusal("likelihood bernoulli with binarization dynamic, because the pixels are bits")
        if self.binarization == "none" and self.likelihood == "bernoulli":
            likelihoods = "likelihood continuous_bernoulli or discretised_logistic"
            reason = "the Bernoulli has no density for grey pixels"
            raise self._refusal(f"{likelihoods} with binarization none, because {reason}")
        if self.prior == "flow" and self.latent_dim < 2:
            reason = "a coupling moves one part of the code by the other"
            raise self._refusal(f"latent_dim of at least 2 with prior flow, because {reason}")
        if self.condition == "label" and self.prior not in LABELLED_PRIORS:
            reason = "no other prior depends on labels"
            raise self._refusal(
                f"prior {' or '.join(LABELLED_PRIORS)} with condition label, because {reason}"
            )
        if self.free_bits and self.prior != "normal":
            raise self._refusal(
                "prior normal with free_bits, because only there the KL is a sum over latents"
            )
        if self.objective == "iwae" and (self.beta != 1 or self.free_bits or self.warmup_epochs):
            reason = "its bound has no separate KL to weigh"
            expected = f"beta 1, free_bits 0, warmup_epochs 0 with objective iwae, because {reason}"
            raise self._refusal(expected, "beta", "free_bits", "warmup_epochs")
        if self.objective == "iwae" and self.draws == 1:
            raise self._refusal("draws of at least 2 with objective iwae, because with one it is the elbo")
        if self.resampled and self.objective != "iwae":
            raise self._refusal("objective iwae with resampled draws, because only it weighs draws")

    def _refusal(self, expected: str, *names: str) -> ConfigError:
        # What is expected begins with the field.
        values = ", ".join(f"{name} {getattr(self, name)}" for name in names or [expected.split()[0]])
        return ConfigError(f"Expected {expected}. Received: {values}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Build a config from plain values.

        Args:
            values: field names and values; missing fields take their defaults.

        Raises:
            ConfigError: an unknown key, or a value that does not fit.
        """
        return cls(**_known(values))


_CHOICES = {
    "architecture": ARCHITECTURES,
    "activation": ACTIVATIONS,
    "prior": PRIORS,
    "condition": CONDITIONS,
    "likelihood": LIKELIHOODS,
    "objective": OBJECTIVES,
    "optimizer": OPTIMIZERS,
    "binarization": BINARIZATIONS,
    "precision": PRECISIONS,
    "backend": BACKENDS,
}
_FROM_ONE = ("width", "latent_dim", "draws", "epochs", "batch_size")
_PRIOR_FROM_ONE = (
    *("prior_components", "flow_components", "flow_couplings", "flow_hidden"),
    *("autoregressive_hidden", "autoregressive_components"),
)
_AT_LEAST: dict[str, float] = {
    **dict.fromkeys((*_FROM_ONE, *_PRIOR_FROM_ONE), 1),
    **dict.fromkeys(
        ("augment", "blocks", "beta", "free_bits", "warmup_epochs", "averaging_epochs", "resampled"), 0
    ),
}

RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("the best digits for a few minutes of two CPU cores", {}),
    "quick": (
        "one epoch of a small dense network: good digits in the least time, most of it start-up",
        {
            # A step costs a quarter of the default's; with a high rate and a learned prior one epoch reaches
            # what the textbook model reaches in ten.
            "architecture": "dense",
            "width": 256,
            "blocks": 0,
            "latent_dim": 24,
            "flow_couplings": 4,
            "flow_hidden": 64,
            "learning_rate": 2e-2,
            "epochs": 1,
        },
    ),
    "swift": (
        "three epochs of a network half as wide: digits of nearly the default's quality in half a minute",
        {
            # A step costs half of the default's, and in few epochs more steps are worth more than channels.
            "width": 32,
            "latent_dim": 32,
            "flow_couplings": 8,
            "flow_hidden": 96,
            "learning_rate": 6e-3,
            "epochs": 3,
        },
    ),
    "best": (
        "the lowest NLL, for a night or a GPU; the shipped model mnist began as a run of it",
        {
            # Several draws train the bound nearest to the likelihood, at two and a half times the cost of a
            # step; the longer schedule pays off only where time does not count.
            "objective": "iwae",
            "draws": 5,
            "learning_rate": 3e-3,
            "epochs": 60,
        },
    ),
    "mnist": (
        "digits on demand of the lowest bound: --start-from a run of best; so did the shipped model mnist",
        {
            # Distorted digits against overfitting, which begins where `best` ends; a short run without them
            # afterwards is worth 0.3 nats of NLL, see the shipped model. Twelve couplings more than `best`,
            # which begin as the identity: labels give the prior more to tell apart.
            "objective": "iwae",
            "draws": 5,
            "flow_couplings": 24,
            "augment": 0.5,
            "learning_rate": 1.2e-3,
            "epochs": 20,
        },
    ),
    "classic": (
        "the textbook model 784-400-20 with a standard normal prior, for comparison with others' numbers",
        {
            "architecture": "dense",
            "width": 400,
            "blocks": 0,
            "activation": "relu",
            "latent_dim": 20,
            "prior": "normal",
            "optimizer": "adam",
            "learning_rate": 1e-3,
        },
    ),
    "manifold": (
        "two latents under a standard normal prior, so that the whole code fits in one picture",
        {"latent_dim": 2, "prior": "normal"},
    ),
    "grey": (
        "grey pixels as they are: a 256-level likelihood instead of bits",
        {"binarization": "none", "likelihood": "discretised_logistic"},
    ),
}


def resolve(recipe: str | None = None, file: str | Path | None = None, **overrides: Any) -> Config:
    """Put a config together: overrides over file over recipe over defaults.

    Args:
        recipe: a name in `RECIPES`; None takes the file's "recipe", else "default".
        file: a JSON file with an object of config fields.
        **overrides: fields; those that are None are passed over.

    Raises:
        ConfigError: an unknown recipe or key, an unreadable file, or a value that does not fit.
    """
    from_file = _read(Path(file)) if file is not None else {}
    name = recipe if recipe is not None else from_file.get("recipe", "default")
    if not isinstance(name, str) or name not in RECIPES:
        raise ConfigError(f"Expected recipe to be one of {', '.join(RECIPES)}. Received: {name}")
    given = {key: value for key, value in overrides.items() if value is not None}
    values = {**RECIPES[name][1], **_known(from_file), **_known(given), "recipe": name}
    if values.get("objective") == "iwae":
        values.setdefault("draws", IWAE_DRAWS)
    return Config.from_dict(values)


def with_changes(config: Config, **changes: Any) -> Config:
    """Return a copy of `config` with some fields changed (and checked again)."""
    return replace(config, **_known(changes))


def _known(values: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(Config)}
    unknown = sorted(set(values) - names)
    if unknown:
        raise ConfigError(
            f"Expected config keys among {', '.join(sorted(names))}. Received: {', '.join(unknown)}"
        )
    return values


def _read(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except OSError as error:
        raise ConfigError(
            f"Expected a readable JSON config file. Received: {path} ({error.strerror})"
        ) from error
    except ValueError as error:
        raise ConfigError(f"Expected a JSON object of config fields. Received: {path} ({error})") from error
    # A run's own config.json wraps the fields together with versions and hashes.
    if isinstance(values, dict) and isinstance(values.get("config"), dict):
        values = values["config"]
    if not isinstance(values, dict):
        raise ConfigError(
            f"Expected a JSON object of config fields. Received: {path} holding a {type(values).__name__}"
        )
    return values


def _check_type(name: str, value: Any, annotation: Any) -> None:
    kind: Any = {"int": int, "float": (int, float), "str": str}[annotation]
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ConfigError(f"Expected {name} to be {annotation}. Received: {value!r}")
    if annotation == "float" and not math.isfinite(value):
        raise ConfigError(f"Expected {name} to be finite. Received: {value}")
