"""The command line. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

from collections.abc import Sequence

import digitvae
from digitvae.cli import evaluate, train
from digitvae.cli.common import Parser, guarded

__all__ = ["main", "run_script"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `digitvae VERB ...` and return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    parser = Parser(prog="digitvae", description="Variational autoencoders for handwritten digits.")
    parser.add_argument("--version", action="version", version=f"digitvae {digitvae.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    for name, module in {"train": train, "evaluate": evaluate}.items():
        verb = verbs.add_parser(name, help=module.HELP, description=module.DESCRIPTION)
        module.add_arguments(verb)
        verb.set_defaults(work=module.work)

    def work() -> None:
        arguments = parser.parse_args(argv)
        arguments.work(arguments)

    return guarded(work, argv)


def run_script(argv: Sequence[str] | None = None) -> int:
    """Run `python vae.py ...`, which is `digitvae train ...`, and return the exit code."""
    parser = Parser(prog="vae.py", description=train.DESCRIPTION)
    train.add_arguments(parser)
    return guarded(lambda: train.work(parser.parse_args(argv)), argv)
