"""The command line. A verb's module is imported when the verb is called, heavy modules when it works."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

import digitvae
from digitvae.cli.common import Parser, guarded

__all__ = ["main", "run_script"]

# Group, verb, the module of this package that has it, what it does.
VERBS = {
    "train and measure": {
        "train": ("train", "train a model, measure it and draw its figures"),
        "evaluate": ("evaluate", "measure trained models, or any generator's samples, in full"),
        "info": ("info", "say what a trained model is: recipe, data, numbers, files"),
    },
    "make new digits": {
        "generate": ("making", "draw new digits, of any label asked for"),
        "decode": ("making", "turn latents into digits"),
        "traverse": ("making", "change one latent at a time"),
        "manifold": ("making", "lay a plane of the latent space out as digits"),
    },
    "change images": {
        "reconstruct": ("changing", "encode images and decode them again"),
        "encode": ("changing", "compress images to latents"),
        "interpolate": ("changing", "walk from image to image through the latent space"),
        "restyle": ("changing", "write other digits in the hand of an image"),
        "arithmetic": ("changing", "add the difference of two sets of images to others"),
        "denoise": ("completing", "remove noise from images"),
        "inpaint": ("completing", "complete images of which a part is hidden"),
    },
    "compress images": {
        "compress": ("compressing", "compress images without loss"),
        "decompress": ("compressing", "get the images of an archive back"),
    },
    "judge images": {
        "classify": ("judging", "say which digit an image shows, by Bayes' rule"),
        "score": ("judging", "say how likely images are, and how unusual"),
        "neighbours": ("judging", "find the training images most like an image"),
    },
    "work on data of any size": {
        "shard": ("mapping", "cut images into shards: files of so many rows"),
        "map": ("mapping", "encode, score, reconstruct, generate or compress all shards"),
    },
    "play with a model": {
        "explore": ("exploring", "open a page in which digits change as one drags and draws"),
    },
    "take a model elsewhere": {
        "export": ("exporting", "write a model for use without this package"),
    },
}
_ALIASES = {"neighbours": ["neighbors"]}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `digitvae VERB ...` and return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    return guarded(lambda: _work(sys.argv[1:] if argv is None else argv), argv)


def _work(argv: Sequence[str]) -> None:
    parser = Parser(
        prog="digitvae",
        usage="digitvae [-h] [--version] VERB ...",
        description="Variational autoencoders for handwritten digits.",
        epilog=f"verbs:{_listed()}\n\n`digitvae VERB --help` says more about each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"digitvae {digitvae.__version__}")
    verbs = parser.add_subparsers(
        dest="verb",
        metavar="VERB",
        prog="digitvae",
        required=True,
        parser_class=Parser,
        help=argparse.SUPPRESS,
    )
    for group in VERBS.values():
        for name, (module_name, _) in group.items():
            names = [name, *_ALIASES.get(name, [])]
            verb = verbs.add_parser(name, aliases=names[1:])
            # Only the verb that is called needs its options.
            if not set(names).isdisjoint(argv):
                module = importlib.import_module(f"digitvae.cli.{module_name}")
                # A module of one verb is itself the verb.
                called = module.VERBS[name] if hasattr(module, "VERBS") else module
                called.add_arguments(verb)
                verb.set_defaults(verb=name, work=called.work)
    arguments = parser.parse_args(argv)
    arguments.work(arguments)


def _listed() -> str:
    """List the verbs in their groups."""
    lines = []
    for title, group in VERBS.items():
        lines += ["", f"  to {title}:"]
        lines += [f"    {name:<12} {text}" for name, (_, text) in group.items()]
    return "\n".join(lines)


def run_script(argv: Sequence[str] | None = None) -> int:
    """Run `python vae.py ...`, which is `digitvae train ...`, and return the exit code."""
    from digitvae.cli import train

    parser = Parser(prog="vae.py")
    train.add_arguments(parser)
    return guarded(lambda: train.work(parser.parse_args(argv)), argv)
