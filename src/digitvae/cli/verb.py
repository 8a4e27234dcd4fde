"""What the verbs on trained models share: model, inputs, output and what is printed."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import digitvae
from digitvae.cli.common import add_common_arguments, between, from_zero, start_backend
from digitvae.progress import progress_shown

PICTURES = (".png", ".gif", ".webp", ".npz", "/")
TABLES = (".csv", ".npz")
MOST_DIGITS = 1000
INPUTS = "files or photos, folders, .npy, .npz or IDX files, or test digits as mnist:17 or mnist:20-29"
_FORMS = {
    ".png": "a picture",
    ".gif": "or .webp an animation",
    ".npz": "arrays",
    ".csv": "a table",
    "/": "or no ending a folder of pictures",
}

if TYPE_CHECKING:
    import numpy as np

    from digitvae.onnx import Export
    from digitvae.writers import Result


@dataclass
class Task:
    """One call of a verb: its arguments, the model, and what was read."""

    arguments: argparse.Namespace
    model: digitvae.Run | Export
    seen: list[np.ndarray] = field(default_factory=list)

    def read(self, texts: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        """Read images, uint8 (n, height, width), of the model's size, and a name for each."""
        from digitvae.data import read_inputs

        images, names = read_inputs(texts, self.model.image_shape, self.arguments.raw)
        self.seen.append(images)
        return images, names

    @property
    def run(self) -> digitvae.Run:
        """The run.

        Raises:
            ValueError: the model is an exported one.
        """
        if not isinstance(self.model, digitvae.Run):
            wanted = "--backend" if self.arguments.backend else self.arguments.verb
            raise ValueError(f"Expected a run for {wanted}. Received: {self.model}, an exported model")
        return self.model

    def load(self, light: bool = True) -> Any:
        """Load the model, after all that can be wrong with arguments and inputs was said.

        Args:
            light: whether NumPy suffices, which starts faster; `--backend` asks for Keras.
        """
        if light and self.arguments.backend is None:
            if not isinstance(self.model, digitvae.Run):
                return self.model.load()
            from digitvae.light import NeedsKeras

            try:
                return self.run.load_light()
            except NeedsKeras:
                pass
        run = self.run
        start_backend(self.arguments.backend)
        return run.load_model()


@dataclass(frozen=True)
class Verb:
    """A verb that makes something with a trained model and writes it.

    Attributes:
        description: shown by `--help`.
        add_options: adds inputs and options to a parser that has MODEL already.
        find: does the work.
        kinds: endings that its output may have, and "/" for a folder.
        output: where it goes by default; None to print the table of the result instead.
        reads_images: whether it takes images.
    """

    description: str
    add_options: Callable[[argparse.ArgumentParser], None]
    find: Callable[[Task], Result]
    output: str | None
    kinds: Sequence[str] = PICTURES
    reads_images: bool = True

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add all options of the verb."""
        parser.description = self.description
        parser.add_argument(
            "model", metavar="MODEL", help="a run folder, latest, a shipped model, or one exported as onnx"
        )
        self.add_options(parser)
        forms = ", ".join(f"{ending} {what}" for ending, what in _FORMS.items() if ending in self.kinds)
        parser.add_argument(
            "-o",
            "--output",
            metavar="OUT",
            default=self.output,
            help=f"what to write, by its ending: {forms} (default: {self.output or 'a table on stdout'})",
        )
        if ".gif" in self.kinds:
            parser.add_argument(
                "--fps",
                type=between(0.1, 100, float),
                default=10,
                metavar="N",
                help="pictures per second of an animation, from 0.1 to 100 (default: 10)",
            )
        parser.add_argument(
            "--seed", type=from_zero, default=0, metavar="NUMBER", help="seed of all noise (default: 0)"
        )
        if self.reads_images:
            parser.add_argument(
                "--raw",
                action="store_true",
                help="take image files as they are: light on black, of the model's size",
            )
            parser.add_argument(
                "--show-input", action="store_true", help="also write what the model sees, as OUT-input.png"
            )
        parser.add_argument("--no-progress-bar", action="store_true", help="no progress on stderr")
        add_common_arguments(parser)

    def work(self, arguments: argparse.Namespace) -> None:
        """Check, compute, write, and say what was found."""
        began = time.perf_counter()
        import numpy as np

        from digitvae import writers
        from digitvae.exporting import find_model

        target = None if arguments.output is None else writers.check_target(arguments.output, self.kinds)
        shown = None
        if getattr(arguments, "show_input", False):
            base = Path(arguments.verb) if target is None else target.path
            shown = writers.check_target(str(base.with_name(f"{base.stem}-input.png")), (".png",))
        task = Task(arguments, find_model(arguments.model))
        with progress_shown(not arguments.no_progress_bar):
            result = self.find(task)
            if target is not None:
                writers.write(target, result, getattr(arguments, "fps", 1))
            if shown is not None:
                seen = np.concatenate(task.seen)
                writers.write(shown, writers.Result({}, lambda: writers.Pictures(seen, ())))
        if arguments.json:
            found = {
                "verb": arguments.verb,
                "model": arguments.model,
                "output": None if target is None else str(target.path),
                "input": None if shown is None else str(shown.path),
                "seed": arguments.seed,
                **result.numbers,
                **result.entries(),
                "seconds": round(time.perf_counter() - began, 3),
            }
            print(json.dumps(found, indent=2))
            return
        if self.output is None:
            print(_laid_out(result.table))
        for written in (target, shown):
            if written is not None:
                print(f"Written: {written.path}")


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add the positional argument of images."""
    parser.add_argument("inputs", nargs="+", metavar="IMAGE", help=f"images: {INPUTS}")


def add_pixels(parser: argparse.ArgumentParser) -> None:
    """Add the option of what a pixel shows."""
    parser.add_argument(
        "--pixels",
        choices=("mean", "sample"),
        default="mean",
        help="the mean of p(x|z), or a draw from it (default: mean)",
    )


def add_label(parser: argparse._ActionsContainer, text: str) -> None:
    """Add the option of one label."""
    parser.add_argument("--digit", "--label", dest="label", type=from_zero, metavar="DIGIT", help=text)


def digits(text: str) -> list[int]:
    """Read labels: `7`, `0123456789`, `0-9` or, for more than ten of them, `3,12,40`."""
    first, dash, last = text.partition("-")
    try:
        if dash:
            found = list(range(int(first), min(int(last), int(first) + MOST_DIGITS) + 1))
        else:
            found = [int(part) for part in (text.split(",") if "," in text else text)]
    except ValueError:
        found = []
    if not 0 < len(found) <= MOST_DIGITS or min(found) < 0:
        raise argparse.ArgumentTypeError(
            f"Expected digits such as 0123456789, 0-9 or 3,12. Received: {text or 'nothing'}"
        )
    return found


def _laid_out(table: dict[str, Sequence[Any]]) -> str:
    """Lay a table out in columns, numbers with four decimals."""
    columns = [
        [name, *(f"{value:.4f}" if _is_fraction(value) else str(value) for value in values)]
        for name, values in table.items()
    ]
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in lines)


def _is_fraction(value: Any) -> bool:
    return getattr(value, "dtype", type(value)) in (float, "float32", "float64")
