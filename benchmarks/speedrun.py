"""digitvae beside its peers on this machine: nats reached against wall seconds since the process began.

    python benchmarks/speedrun.py                                     # everything, three seeds: an hour
    python benchmarks/speedrun.py --systems default numpyro --seeds 0
    python benchmarks/speedrun.py --python pythae=other/bin/python    # a peer in an environment of its own

README.md beside it says what is measured and what is not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import machine
import numpy as np
import speedrun_report
from contestants import OURS, PEERS, variant_of

from digitvae.data import fixed_bits, load_dataset

HERE = Path(__file__).parent
FEWEST_TRAIN_IMAGES = 128  # one batch of every peer
PROBE_IMAGES = 16
OUR_DEFAULTS = ("quick", "swift@2", "swift", "default", "classic", "classic@float32", "classic@jax")


class UsageError(ValueError):
    """The command line asks for what cannot be."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise what becomes one line and exit code 2."""
        raise UsageError(message)


def main() -> int:
    """Return the exit code: 0 done, 1 a system failed, 2 wrong usage, 130 interrupted."""
    # A shell's background jobs ignore Ctrl-C; and whoever ends this must not leave a training behind.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return run(_options())
    except KeyboardInterrupt:
        return _fail("interrupted; what is finished is kept, the same command goes on from there", 130)
    except UsageError as error:
        return _fail(str(error), 2)
    except (OSError, ValueError, RuntimeError) as error:
        return _fail(str(error), 1)


def _fail(message: str, code: int) -> int:
    print(f"speedrun: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def run(options: argparse.Namespace) -> int:
    """Do what the command line asks for."""
    work = options.out / "work"
    _claim(work, _settings(options))
    _write_images(work, options.train_images)
    # First, because the rest can be interrupted, and scoring needs no quiet machine.
    facts = _machine(work, options)
    skipped = {name: reason for name in options.systems if (reason := _missing(name, options))}
    for name, reason in skipped.items():
        _say(f"{name}: skipped, {reason}")
    failed: dict[str, str] = {}
    turns = [(name, seed) for seed in options.seeds for name in options.systems if name not in skipped]
    for stage in (_train, _score):
        for name, seed in turns:
            if name in failed:
                continue
            try:
                stage(work, name, seed, options)
            except RuntimeError as error:
                failed[name] = str(error)
                _say(f"{name}: failed, {error}")
    result = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        **facts,
        "settings": _settings(options),
        "systems": {
            name: {
                "what": OURS[variant.recipe] if (variant := variant_of(name)) else PEERS[name].what,
                "ours": variant is not None,
                "runs": [_result(work, name, seed) for seed in seeds],
            }
            for name, seeds in _finished(work).items()
        },
        "skipped": skipped,
        "failed": failed,
    }
    speedrun_report.write(result, options.out)
    print(json.dumps(result, indent=2) if options.json else speedrun_report.table(result))
    return 1 if failed else 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    names = ("epochs", "train_images", "test_images", "k", "nll_images")
    return {name: getattr(options, name) for name in names}


def _claim(work: Path, settings: dict[str, Any]) -> None:
    """Make the folder of unfinished business, or check that it was made with the same settings."""
    path = work / "settings.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name in settings if settings[name] != before.get(name)]
        if changed:
            raise UsageError(
                f"Expected the settings with which {work.parent} was begun, or another --out. Received: "
                + ", ".join(f"{name}={settings[name]} instead of {before.get(name)}" for name in changed)
            )
        return
    work.mkdir(parents=True, exist_ok=True)
    # Snapshots are many megabytes that no repository wants.
    (work / ".gitignore").write_text("*\n", encoding="utf-8")
    _write_json(path, settings)


def _write_images(work: Path, train_images: int) -> None:
    """Write what the peers read: they need not know digitvae."""
    dataset = load_dataset()
    np.save(work / "train.npy", dataset.train_images[:train_images])
    np.save(work / "probe.npy", fixed_bits(dataset.test_images[:PROBE_IMAGES]))


def _missing(name: str, options: argparse.Namespace) -> str:
    """Say which package a system lacks; nothing if it has all."""
    if name not in PEERS:
        return ""
    peer = PEERS[name]
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({peer.module!r}) is None)"
    done = subprocess.run([_interpreter(name, options), "-c", find], env=_environment(), check=False)
    return f"{peer.module} is not installed (pip install {peer.package})" if done.returncode else ""


def _interpreter(name: str, options: argparse.Namespace) -> str:
    return options.python.get(name, sys.executable)


def _environment(backend: str = "tensorflow") -> dict[str, str]:
    """Return the same environment for all: the CPU, no windows."""
    return {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "KERAS_BACKEND": backend,
        "MPLBACKEND": "agg",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _folder(work: Path, name: str, seed: int) -> Path:
    return work / f"{name}-{seed}"


def _train(work: Path, name: str, seed: int, options: argparse.Namespace) -> None:
    """Train in a fresh process, unless that is done.

    Raises:
        RuntimeError: it failed.
    """
    folder = _folder(work, name, seed)
    if (folder / "wall.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    variant = variant_of(name)
    script = "digitvae_recipe" if variant else PEERS[name].script
    command = [_interpreter(name, options), str(HERE / "systems" / f"{script}.py"), "--seed", str(seed)]
    command += ["--images", str(work / "train.npy"), "--probe", str(work / "probe.npy")]
    command += ["--folder", str(folder)]
    epochs = str(options.epochs or "")
    if variant:
        command += ["--recipe", variant.recipe]
        command += ["--precision", variant.precision] if variant.precision else []
        epochs = variant.epochs or epochs
    if epochs:
        command += ["--epochs", epochs]
    wall = _child(command, folder / "train.log", variant.backend if variant else "tensorflow")
    _write_json(
        folder / "wall.json", {"seconds": wall - _read_json(folder / "record.json")["excluded_seconds"]}
    )
    _say(f"{name}, seed {seed}: trained in {wall:.0f} s")


def _score(work: Path, name: str, seed: int, options: argparse.Namespace) -> None:
    """Score a training's snapshots in a fresh process, unless that is done.

    Raises:
        RuntimeError: it failed.
    """
    folder = _folder(work, name, seed)
    if not (folder / "scores.json").exists():
        command = [sys.executable, str(HERE / "evaluator.py"), str(folder), "--system", name]
        for option in ("test_images", "k", "nll_images"):
            command += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
        _child(command, folder / "score.log")
    scores = _read_json(folder / "scores.json")
    _say(
        f"{name}, seed {seed}: -ELBO {scores['neg_elbo'][-1]:.2f}, NLL {scores['nll']:.2f} (k={scores['k']})"
    )


def _child(command: list[str], log: Path, backend: str = "tensorflow") -> float:
    """Run a process to its end and return its seconds; what it says goes into the log.

    Raises:
        RuntimeError: it failed, with its last line.
    """
    with log.open("wb") as file:
        began = time.time()
        environment = {**_environment(backend), "SPEEDRUN_BEGAN": repr(began)}
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        try:
            code = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        seconds = time.time() - began
    if code:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise RuntimeError(f"exit code {code}: {lines[-1] if lines else 'it said nothing'} (see {log})")
    return seconds


def _result(work: Path, name: str, seed: int) -> dict[str, Any]:
    """Put together what is known of one training."""
    folder = _folder(work, name, seed)
    record, scores = _read_json(folder / "record.json"), _read_json(folder / "scores.json")
    curve = [
        {"epoch": row["epoch"], "seconds": row["seconds"], "neg_elbo": value}
        for row, value in zip(record["epochs"], scores["neg_elbo"], strict=True)
    ]
    # The first epoch warms up: it compiles and fills caches.
    steady = record["epochs"][1:] or record["epochs"]
    return {
        "seed": seed,
        "wall_seconds": _read_json(folder / "wall.json")["seconds"],
        "curve": curve,
        **{key: scores[key] for key in ("nll", "nll_interval", "k", "images", "nll_images")},
        "images_per_second": float(np.median([row["images"] / row["train_seconds"] for row in steady])),
        "peak_memory_bytes": record["peak_memory_bytes"],
        "precision": record["precision"],
        "versions": record["versions"],
    }


def _finished(work: Path) -> dict[str, list[int]]:
    """Return the systems, in the order of the help, and the seeds of which the folder holds the scores."""
    order = list(OURS) + list(PEERS)
    finished: dict[str, list[int]] = {}
    for path in work.glob("*-*/scores.json"):
        name, _, seed = path.parent.name.rpartition("-")
        finished.setdefault(name, []).append(int(seed))
    names = sorted(finished, key=lambda name: (order.index(name.partition("@")[0]), name))
    return {name: sorted(finished[name]) for name in names}


def _machine(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the machine once."""
    path = work / "machine.json"
    if options.no_machine:
        return {"machine": machine.facts()}
    if not path.exists():
        _child([sys.executable, str(HERE / "machine.py"), "--out", str(path)], work / "machine.log")
    return _read_json(path)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(path: Path, value: Any) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def _options() -> argparse.Namespace:
    parser = Parser(prog="speedrun", description="Measure digitvae beside its peers.", allow_abbrev=False)
    known = [*OURS, *PEERS]
    parser.add_argument(
        "--systems",
        nargs="+",
        default=[*OUR_DEFAULTS, *PEERS],
        help=f"of {', '.join(known)}; a recipe can have options, RECIPE@BACKEND, RECIPE@EPOCHS and "
        "RECIPE@PRECISION, or several of them; default: %(default)s",
    )
    parser.add_argument("--seeds", nargs="+", type=_whole, default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--epochs", type=_whole, help="for all; default: each one's own")
    parser.add_argument("--train-images", type=_whole, default=60_000, help="of 60,000")
    parser.add_argument("--test-images", type=_whole, default=10_000, help="for -ELBO, of 10,000")
    parser.add_argument("--k", type=_whole, default=1000, help="draws an image for NLL; default: 1000")
    parser.add_argument("--nll-images", type=_whole, default=1000, help="test images for NLL; default: 1000")
    parser.add_argument(
        "--out", type=Path, help="default: the folder of this processor, results/PROCESSOR beside this file"
    )
    parser.add_argument(
        "--python",
        nargs="+",
        default=[],
        metavar="NAME=PATH",
        help="interpreters of systems that need another",
    )
    parser.add_argument("--no-machine", action="store_true", help="leave out machine.py's measurements")
    parser.add_argument("--json", action="store_true", help="print all numbers instead of the table")
    options = parser.parse_args()
    options.out = options.out or HERE / "results" / machine.facts()["processor"]
    for name in options.systems:
        if name not in PEERS and variant_of(name) is None:
            raise UsageError(f"Expected systems among {', '.join(known)}. Received: {name}")
    options.systems, options.seeds = list(dict.fromkeys(options.systems)), list(dict.fromkeys(options.seeds))
    for name, least, most in (
        ("epochs", 1, None),
        ("train_images", FEWEST_TRAIN_IMAGES, 60_000),
        ("test_images", 1, 10_000),
        ("k", 1, None),
        ("nll_images", 1, options.test_images),
    ):
        value = getattr(options, name)
        if value is not None and not least <= value <= (most or value):
            upto = f" to {most}" if most else " or more"
            raise UsageError(f"Expected --{name.replace('_', '-')} of {least}{upto}. Received: {value}")
    options.python = _interpreters(options.python, known)
    return options


def _interpreters(pairs: list[str], known: list[str]) -> dict[str, str]:
    interpreters = {}
    for pair in pairs:
        name, _, path = pair.partition("=")
        if name not in known or shutil.which(path) is None:
            raise UsageError(
                f"Expected --python NAME=PATH, a system and an interpreter that can be run. Received: {pair}"
            )
        interpreters[name] = path
    return interpreters


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"Expected a whole number. Received: {text}") from None


if __name__ == "__main__":
    sys.exit(main())
