"""`digitvae train`: a model, its run folder, its quick evaluation and its figures."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import digitvae
from digitvae.cli.common import add_common_arguments, number, start_backend, whole
from digitvae.cli.exploring import Watch, add_server_arguments
from digitvae.cli.jobs import Job, add_job_arguments, job_of, watched
from digitvae.config import (
    ARCHITECTURES,
    BINARIZATIONS,
    CONDITIONS,
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
from digitvae.files import DiskFull
from digitvae.speed.process import tuned_for_training

STARTED = time.perf_counter()
DESCRIPTION = "Train a model, measure it on the test set and draw its figures into a run folder."


def work(arguments: argparse.Namespace) -> None:
    """Check the arguments, train, draw the figures and measure: all that `digitvae train` and `vae.py` do."""
    if (job := job_of(arguments)) is None:
        _work(arguments, None, None)
    else:
        watched(lambda started: _work(arguments, job, started), job)


def _work(
    arguments: argparse.Namespace, job: Job | None, started: Callable[[digitvae.Run], None] | None
) -> None:
    # Errors in the arguments or the data are reported before a backend is imported, which takes seconds.
    unfinished, config = _checked(arguments, job)
    # By default 60,000 training and 10,000 test digits, uint8, shipped inside the package.
    dataset = digitvae.load_dataset(config.data)
    if unfinished is not None:
        unfinished.check_data(dataset)
    with Watch(arguments) if arguments.watch else nullcontext() as watch:
        run = _trained(unfinished, config, dataset, arguments, job, watch.start if watch else started)
        if job is not None and job.index:
            return
        try:
            _draw_and_measure(run, dataset, arguments)
        except DiskFull as error:
            raise DiskFull(f"{error}; the model is kept, --resume {run} goes on from there") from None
        if watch is not None:
            watch.finish(run)


def _trained(
    unfinished: digitvae.Run | None,
    config: Config,
    dataset: digitvae.Dataset,
    arguments: argparse.Namespace,
    job: Job | None,
    started: Callable[[digitvae.Run], None] | None,
) -> digitvae.Run:
    with tuned_for_training():
        start_backend(arguments.backend if config.backend == "auto" else config.backend)

        # Maximise the evidence lower bound, E_q[log p(x|z)] - KL(q(z|x) || p(z)). The run folder keeps the
        # model, the history and all that --resume needs.
        progress, tensorboard = not arguments.no_progress_bar, arguments.tensorboard
        with nullcontext() if job is None else job.joined():
            if unfinished is not None:
                return digitvae.resume(unfinished, dataset, progress, tensorboard, started=started)
            return digitvae.train(config, dataset, arguments.run, progress, tensorboard, started=started)


def _draw_and_measure(run: digitvae.Run, dataset: digitvae.Dataset, arguments: argparse.Namespace) -> None:
    # An ordinary Keras model with encode, decode, reconstruct and generate.
    vae = run.load_model()

    # New digits, the latent plane, reconstructions, interpolations and the training curves, saved as PNGs.
    seed, history = run.config.seed, run.history()
    figures = digitvae.draw_figures(vae, dataset, history, run.folder / "figures", seed=seed)

    # Nats per image of the test set on fixed bits, and PCA to compare with.
    result = digitvae.evaluate(vae, dataset, seed=seed, progress=not arguments.no_progress_bar)
    result["train_seconds"] = round(sum(history.get("seconds", [])), 3)
    result["wall_seconds"] = round(time.perf_counter() - STARTED, 3)
    run.write_json("evaluation.json", result)

    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(report(result))
        print(f"\nRun folder: {run} (figures in {run.folder / 'figures'})", flush=True)
        if not arguments.watch:
            # Also in windows, where there is a screen.
            digitvae.show(list(figures.values()))


def _checked(arguments: argparse.Namespace, job: Job | None) -> tuple[digitvae.Run | None, Config]:
    """Return the run to go on with, if any, and what to train."""
    if not arguments.watch and (arguments.port or arguments.no_browser):
        raise ConfigError("Expected --port and --no-browser with --watch. Received: no --watch")
    given = {field: getattr(arguments, field) for _, field, _, _ in _CONFIG_FLAGS}
    if arguments.resume is None:
        config = resolve(arguments.recipe, arguments.config, backend=arguments.backend, **given)
        # Of a job the first process may have made the folder already.
        if arguments.run is not None and (job is None or job.index == 0):
            digitvae.Run.check_free(arguments.run)
        if config.start_from:
            digitvae.find_run(config.start_from)
        return None, config
    settings = {"recipe": arguments.recipe, "config": arguments.config, "run": arguments.run, **given}
    extra = [f"--{name.replace('_', '-')}" for name, value in settings.items() if value is not None]
    if extra:
        raise ConfigError(
            "Expected no other settings with --resume, because the run has its own. "
            f"Received: {', '.join(extra)}"
        )
    run = digitvae.find_run(arguments.resume)
    began = run.config.backend
    if arguments.backend is not None and began not in ("auto", arguments.backend):
        raise ConfigError(f"Expected backend {began}, on which {run} began. Received: {arguments.backend}")
    run.has_checkpoint()  # refuses a run that has lost it
    return run, run.config


def report(result: dict[str, Any]) -> str:
    """Lay the numbers of an evaluation out as a small table."""
    test = result["test"]
    kind = {
        "dynamic": "fixed bits of the grey pixels (dynamic binarization)",
        "grey-256": "grey pixels, 256 levels",
        "grey-density": "grey pixels, a density on [0, 1]",
    }[result["protocol"]]
    interval = test["nll_estimate_interval"]
    spread = f"{interval[0]:.2f} to {interval[1]:.2f}, " if interval else ""
    source = f"estimate from {test['nll_images']:,} images" if interval else f"{test['nll_images']:,} images"
    rows = [
        ("-ELBO", f"{-test['elbo']:8.2f}", "nats per image"),
        ("  reconstruction", f"{test['reconstruction']:8.2f}", "nats per image"),
        ("  KL", f"{test['kl']:8.2f}", "nats per image"),
        (
            "NLL",
            f"{test['nll']:8.2f}",
            f"nats per image ({spread}{source}, k={test['nll_k']}), {test['bits_per_dim']:.4f} bits per dim",
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


_WHOLE, _NUMBER = "a whole number", "a number"
# flag, config field, kind or choices, help
_CONFIG_FLAGS: list[tuple[str, str, Any, str]] = [
    ("--epochs", "epochs", _WHOLE, "passes over the training images"),
    ("--batch-size", "batch_size", _WHOLE, "images per training step"),
    ("--latent-dim", "latent_dim", _WHOLE, "number of latents"),
    ("--learning-rate", "learning_rate", _NUMBER, "peak learning rate"),
    (
        "--averaging-epochs",
        "averaging_epochs",
        _NUMBER,
        "epochs over which the weights are averaged, in place of a decay of the learning rate",
    ),
    ("--beta", "beta", _NUMBER, "weight of the KL"),
    ("--free-bits", "free_bits", _NUMBER, "nats per latent that are not penalised"),
    ("--warmup-epochs", "warmup_epochs", _NUMBER, "epochs over which beta grows from 0"),
    ("--draws", "draws", _WHOLE, "posterior draws per image in training"),
    (
        "--resampled",
        "resampled",
        _WHOLE,
        "draws from which objective iwae takes its gradient, drawn again by their weights; 0 takes all",
    ),
    ("--prior", "prior", PRIORS, "p(z)"),
    (
        "--condition",
        "condition",
        CONDITIONS,
        "what the prior depends on; auto: the label, where there are labels",
    ),
    ("--likelihood", "likelihood", LIKELIHOODS, "p(x|z)"),
    ("--architecture", "architecture", ARCHITECTURES, "encoder and decoder"),
    ("--objective", "objective", OBJECTIVES, "what training maximises"),
    ("--optimizer", "optimizer", OPTIMIZERS, "rule by which gradients change the weights"),
    ("--binarization", "binarization", BINARIZATIONS, "fresh bits every step, or grey pixels"),
    ("--data", "data", "text", "mnist, or a path to IDX, .npy, .npz or a folder of images"),
    ("--augment", "augment", _NUMBER, "strength of random distortions of training images"),
    ("--start-from", "start_from", "text", "run whose weights are the first"),
    ("--precision", "precision", PRECISIONS, "arithmetic of the networks in training"),
    ("--seed", "seed", _WHOLE, "seed of everything random"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `digitvae train`."""
    parser.description = DESCRIPTION
    default = Config()
    recipes = "; ".join(f"{name}: {reason}" for name, (reason, _) in RECIPES.items())
    parser.add_argument("--recipe", metavar="NAME", help=f"named settings. {recipes}")
    parser.add_argument(
        "--config", metavar="FILE", help="JSON file of settings; flags override it, it overrides the recipe"
    )
    for flag, field, kind, text in _CONFIG_FLAGS:
        shown = f"{text} (default: {'none' if getattr(default, field) == '' else getattr(default, field)})"
        if isinstance(kind, tuple):
            parser.add_argument(flag, dest=field, choices=kind, help=shown)
        else:
            convert: Any = {_WHOLE: whole, _NUMBER: number, "text": str}[kind]
            parser.add_argument(flag, dest=field, type=convert, metavar=kind.split()[-1].upper(), help=shown)
    parser.add_argument("--run", metavar="DIR", help="run folder to write (default: runs/<time>-<recipe>)")
    parser.add_argument("--resume", metavar="RUN", help="go on with an unfinished run: its folder, or latest")
    parser.add_argument("--no-progress-bar", action="store_true", help="one line per epoch instead of a bar")
    parser.add_argument(
        "--tensorboard", action="store_true", help="also write TensorBoard events into the run folder"
    )
    parser.add_argument(
        "--watch", action="store_true", help="show the training as a film in the browser, then the model"
    )
    add_server_arguments(parser)
    add_job_arguments(parser)
    add_common_arguments(parser)
