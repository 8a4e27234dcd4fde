"""The command line. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

from collections.abc import Sequence

import digitvae
from digitvae.cli.common import Parser, guarded
from digitvae.cli.evaluate import EVALUATE_TEXT, add_evaluate_arguments, evaluate
from digitvae.cli.train import (
    TRAIN_TEXT,
    TrainOptions,
    TrainSteps,
    add_train_arguments,
    finish,
    train,
    train_steps,
)

__all__ = ["TrainOptions", "finish", "main", "run_script", "train_steps"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `digitvae VERB ...` and return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    parser = Parser(prog="digitvae", description="Variational autoencoders for handwritten digits.")
    parser.add_argument("--version", action="version", version=f"digitvae {digitvae.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    verb = verbs.add_parser(
        "train", help="train a model, measure it and draw its figures", description=TRAIN_TEXT
    )
    add_train_arguments(verb)
    verb.set_defaults(work=lambda arguments: train(arguments, train_steps))
    verb = verbs.add_parser(
        "evaluate", help="measure trained models, or anyone's samples, in full", description=EVALUATE_TEXT
    )
    add_evaluate_arguments(verb)
    verb.set_defaults(work=evaluate)

    def work() -> None:
        arguments = parser.parse_args(argv)
        arguments.work(arguments)

    return guarded(work, argv)


def run_script(steps: TrainSteps, argv: Sequence[str] | None = None) -> int:
    """Run a script that takes the options of `digitvae train`; returns the exit code.

    Args:
        steps: does the work and returns the result as `evaluation.json` holds it.
        argv: the arguments, by default the process's own.
    """
    parser = Parser(prog="vae.py", description=TRAIN_TEXT)
    add_train_arguments(parser)
    return guarded(lambda: train(parser.parse_args(argv), steps), argv)
