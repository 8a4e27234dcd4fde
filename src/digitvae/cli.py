"""The command line. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import digitvae
from digitvae.config import (
    ARCHITECTURES,
    BINARIZATIONS,
    LIKELIHOODS,
    OBJECTIVES,
    PRECISIONS,
    PRIORS,
    RECIPES,
    Config,
    ConfigError,
    resolve,
)

BACKENDS = ("tensorflow", "jax", "torch")
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run `digitvae VERB ...` and return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    parser = _Parser(prog="digitvae", description="Variational autoencoders for handwritten digits.")
    parser.add_argument("--version", action="version", version=f"digitvae {digitvae.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    verb = verbs.add_parser(
        "train", help="train a model, measure it and draw its figures", description=TRAIN_TEXT
    )
    _add_train_arguments(verb)
    return _guarded(lambda: _train(parser.parse_args(argv), train_steps), argv)


def run_script(steps: TrainSteps, argv: Sequence[str] | None = None) -> int:
    """Run a script that takes the options of `digitvae train`; returns the exit code.

    Args:
        steps: does the work and returns the result as `evaluation.json` holds it.
        argv: the arguments, by default the process's own.
    """
    parser = _Parser(prog="vae.py", description=TRAIN_TEXT)
    _add_train_arguments(parser)
    return _guarded(lambda: _train(parser.parse_args(argv), steps), argv)


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


def finish(run: digitvae.Run, result: dict[str, Any], drawn: list, options: TrainOptions) -> dict[str, Any]:
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
        digitvae.show(drawn)
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
    ("--binarization", "binarization", BINARIZATIONS, "fresh bits every step, or grey pixels"),
    ("--data", "data", "text", "mnist, or a path to IDX, .npy, .npz or a folder of images"),
    ("--precision", "precision", PRECISIONS, "arithmetic of the networks in training"),
    ("--seed", "seed", _WHOLE, "seed of everything random"),
]


def _add_train_arguments(parser: argparse.ArgumentParser) -> None:
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
            convert: Any = {_WHOLE: _whole, _NUMBER: _number, "text": str}[kind]
            parser.add_argument(flag, dest=field, type=convert, metavar=kind.split()[-1].upper(), help=shown)
    parser.add_argument("--backend", choices=BACKENDS, help="default: KERAS_BACKEND, else tensorflow")
    parser.add_argument("--run", metavar="DIR", help="run folder to write (default: runs/<time>-<recipe>)")
    parser.add_argument("--resume", metavar="RUN", help="go on with an unfinished run: its folder, or latest")
    parser.add_argument("--no-progress-bar", action="store_true", help="a line an epoch instead of a bar")
    parser.add_argument(
        "--tensorboard", action="store_true", help="also write TensorBoard events into the run folder"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable result on stdout")
    parser.add_argument("--debug", action="store_true", help="full traceback when something fails")


def _train(arguments: argparse.Namespace, steps: TrainSteps) -> None:
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
    _start_backend(arguments.backend)
    options = TrainOptions(
        config,
        arguments.run,
        arguments.resume,
        not arguments.no_progress_bar,
        arguments.tensorboard,
        arguments.json,
    )
    steps(options)


def _start_backend(name: str | None) -> None:
    """Import Keras on the wanted backend, without the lines that TensorFlow prints at every start."""
    if name is not None:
        os.environ["KERAS_BACKEND"] = name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Keras imports Matplotlib, which fails on a bad MPLBACKEND; a run needs no windows.
    from digitvae.figures import load_matplotlib

    load_matplotlib()
    # TensorFlow writes them to the file descriptor before its log level counts, so that is where they are
    # held back; they come out when the import fails.
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import keras
        except ModuleNotFoundError as error:
            wanted = name or os.environ.get("KERAS_BACKEND", "tensorflow")
            raise ConfigError(
                f"Expected the backend {wanted} to be installed (pip install 'digitvae[{wanted}]'). "
                f"Received: no module {error.name}"
            ) from error
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    if name is not None and keras.backend.backend() != name:
        raise ConfigError(
            f"Expected backend {name}, but Keras is loaded already. "
            f"Received: backend {keras.backend.backend()}"
        )


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others."""

    def __init__(self, **kwargs):
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} ({self.prog} --help lists what there is)")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"Expected a whole number. Received: {text}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"Expected a number. Received: {text}") from None


def _guarded(work: Callable[[], None], argv: Sequence[str] | None) -> int:
    """Turn exceptions into one line on stderr and an exit code."""
    debug = "--debug" in (sys.argv[1:] if argv is None else argv)
    warnings.showwarning = _show_warning
    try:
        work()
    except KeyboardInterrupt as error:
        return _fail(str(error) or "interrupted", 130, debug)
    except ConfigError as error:
        return _fail(str(error), 2, debug)
    except (ValueError, OSError, RuntimeError, ImportError, MemoryError) as error:
        # A reader that went away (`... | head`) is no error worth a line.
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        return _fail(str(error) or type(error).__name__, 1, debug)
    except Exception as error:
        return _fail(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1, debug)
    return 0


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    line = " ".join(message.split())
    print(f"digitvae: {'' if code == 130 else 'error: '}{line}", file=sys.stderr)
    return code


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, RuntimeWarning | UserWarning):
        print(f"digitvae: warning: {message}", file=sys.stderr)
