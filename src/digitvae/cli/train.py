"""`digitvae train`: a model, its run folder, its quick evaluation and its figures."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import digitvae
from digitvae.cli.common import add_common_arguments, number, start_backend, whole
from digitvae.config import (
    ARCHITECTURES,
    BINARIZATIONS,
    LIKELIHOODS,
    OBJECTIVES,
    OPTIMIZERS,
    PRECISIONS,
    PRIORS,
    RECIPES,
    Config,
    ConfigError,
    resolve,
)

STARTED = time.perf_counter()


@dataclass(frozen=True)
class TrainOptions:
    """What `digitvae train` and `vae.py` were asked to do.

    Attributes:
        config: what to train; a resumed run has its own.
        run: the folder to write, None for a new name.
        resume: the run to go on with, None to begin.
        progress: whether a progress bar is wanted.
        tensorboard: whether TensorBoard events are wanted.
        json: whether stdout gets the machine-readable result.
    """

    config: Config
    run: str | None
    resume: str | None
    progress: bool
    tensorboard: bool
    json: bool


TrainSteps = Callable[[TrainOptions], dict[str, Any]]


def train_steps(options: TrainOptions) -> dict[str, Any]:
    """Train, measure, draw: what `digitvae train` does.

    Returns:
        The result as `evaluation.json` holds it.
    """
    if options.resume:
        dataset = digitvae.load_dataset(digitvae.Run.open(options.resume).config.data)
        run = digitvae.resume(options.resume, dataset, options.progress, options.tensorboard)
    else:
        dataset = digitvae.load_dataset(options.config.data)
        run = digitvae.train(options.config, dataset, options.run, options.progress, options.tensorboard)
    vae = digitvae.load(run.folder)
    drawn = digitvae.draw_figures(vae, dataset, run.history(), run.folder / "figures", seed=run.config.seed)
    result = digitvae.evaluate(vae, dataset, seed=run.config.seed, progress=options.progress)
    return finish(run, result, drawn, options)


def finish(
    run: digitvae.Run, result: dict[str, Any], drawn: dict[str, Any], options: TrainOptions
) -> dict[str, Any]:
    """Add the times, write `evaluation.json`, report, and show the figures where there is a screen.

    Args:
        run: the run.
        result: what `digitvae.evaluate` returned.
        drawn: what `digitvae.draw_figures` returned.
        options: says whether to print JSON.

    Returns:
        The completed result.
    """
    result = {
        **result,
        "train_seconds": round(sum(run.history().get("seconds", [])), 3),
        "wall_seconds": round(time.perf_counter() - STARTED, 3),
    }
    run.write_json("evaluation.json", result)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(report(result))
        print(f"\nRun folder: {run.folder} (figures in {run.folder / 'figures'})", flush=True)
        digitvae.show(list(drawn.values()))
    return result


def report(result: dict[str, Any]) -> str:
    """Lay the numbers of an evaluation out as a small table."""
    test = result["test"]
    kind = {
        "dynamic": "fixed bits of the grey pixels (dynamic binarization)",
        "grey-256": "grey pixels, 256 levels",
        "grey-density": "grey pixels, a density on [0, 1]",
    }[result["protocol"]]
    nll_note = f"k={test['nll_k']} draws, {test['nll_images']:,} images"
    rows = [
        ("-ELBO", f"{-test['elbo']:8.2f}", "nats per image"),
        ("  reconstruction", f"{test['reconstruction']:8.2f}", "nats per image"),
        ("  KL", f"{test['kl']:8.2f}", "nats per image"),
        (
            "NLL",
            f"{test['nll']:8.2f}",
            f"nats per image ({nll_note}), {test['bits_per_dim']:.4f} bits per dim",
        ),
        (
            "reconstruction MSE",
            f"{test['mse']:8.5f}",
            f"per pixel; PCA of the same size: {test['pca_mse']:.5f}",
        ),
        (
            "time",
            f"{result['wall_seconds']:8.0f}",
            f"seconds, {result['train_seconds']:.0f} of them training",
        ),
    ]
    lines = [f"\nTest set: {test['images']:,} images, {kind}"]
    return "\n".join(lines + [f"  {name:<20}{value} {unit}" for name, value, unit in rows])


TRAIN_TEXT = "Train a model, measure it on the test set and draw its figures into a run folder."
_WHOLE, _NUMBER = "a whole number", "a number"
# flag, config field, kind or choices, help
_CONFIG_FLAGS: list[tuple[str, str, Any, str]] = [
    ("--epochs", "epochs", _WHOLE, "passes over the training images"),
    ("--batch-size", "batch_size", _WHOLE, "images a training step"),
    ("--latent-dim", "latent_dim", _WHOLE, "size of the latent code"),
    ("--learning-rate", "learning_rate", _NUMBER, "peak learning rate"),
    ("--beta", "beta", _NUMBER, "weight of the KL"),
    ("--free-bits", "free_bits", _NUMBER, "nats a latent that are not penalised"),
    ("--warmup-epochs", "warmup_epochs", _NUMBER, "epochs over which beta grows from 0"),
    ("--draws", "draws", _WHOLE, "posterior draws an image in training"),
    ("--prior", "prior", PRIORS, "p(z)"),
    ("--likelihood", "likelihood", LIKELIHOODS, "p(x|z)"),
    ("--architecture", "architecture", ARCHITECTURES, "encoder and decoder"),
    ("--objective", "objective", OBJECTIVES, "what training maximises"),
    ("--optimizer", "optimizer", OPTIMIZERS, "what follows the gradient"),
    ("--binarization", "binarization", BINARIZATIONS, "fresh bits every step, or grey pixels"),
    ("--data", "data", "text", "mnist, or a path to IDX, .npy, .npz or a folder of images"),
    ("--precision", "precision", PRECISIONS, "arithmetic of the networks in training"),
    ("--seed", "seed", _WHOLE, "seed of everything random"),
]


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `digitvae train`."""
    default = Config()
    recipes = "; ".join(f"{name}: {reason}" for name, (reason, _) in RECIPES.items())
    parser.add_argument("--recipe", metavar="NAME", help=f"named settings. {recipes}")
    parser.add_argument(
        "--config", metavar="FILE", help="JSON file of settings; flags win over it, it over the recipe"
    )
    for flag, field, kind, text in _CONFIG_FLAGS:
        shown = f"{text} (default: {getattr(default, field)})"
        if isinstance(kind, tuple):
            parser.add_argument(flag, dest=field, choices=kind, help=shown)
        else:
            convert: Any = {_WHOLE: whole, _NUMBER: number, "text": str}[kind]
            parser.add_argument(flag, dest=field, type=convert, metavar=kind.split()[-1].upper(), help=shown)
    parser.add_argument("--run", metavar="DIR", help="run folder to write (default: runs/<time>-<recipe>)")
    parser.add_argument("--resume", metavar="RUN", help="go on with an unfinished run: its folder, or latest")
    parser.add_argument("--no-progress-bar", action="store_true", help="a line an epoch instead of a bar")
    parser.add_argument(
        "--tensorboard", action="store_true", help="also write TensorBoard events into the run folder"
    )
    add_common_arguments(parser)


def train(arguments: argparse.Namespace, steps: TrainSteps) -> None:
    """Check the arguments, start the backend and do the work."""
    given = {field: getattr(arguments, field) for _, field, _, _ in _CONFIG_FLAGS}
    settings = {"recipe": arguments.recipe, "config": arguments.config, "run": arguments.run, **given}
    if arguments.resume is not None:
        extra = [f"--{name.replace('_', '-')}" for name, value in settings.items() if value is not None]
        if extra:
            raise ConfigError(
                "Expected no other settings with --resume, because the run has its own. "
                f"Received: {', '.join(extra)}"
            )
    config = resolve(arguments.recipe, arguments.config, **given)
    start_backend(arguments.backend, to_train=True)
    options = TrainOptions(
        config,
        arguments.run,
        arguments.resume,
        not arguments.no_progress_bar,
        arguments.tensorboard,
        arguments.json,
    )
    steps(options)
