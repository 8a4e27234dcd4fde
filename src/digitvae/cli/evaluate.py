"""`digitvae evaluate`: full evaluations of runs and of any generator's samples, as table, JSON and page."""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import digitvae
from digitvae.cli.common import add_common_arguments, start_backend, whole
from digitvae.config import ConfigError
from digitvae.files import written_whole

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from digitvae.evaluation import Evaluation
    from digitvae.model import VAE
    from digitvae.report import ReportEntry

DESCRIPTION = (
    "Measure trained models in full: likelihood, latent code, reconstructions and samples. Each run folder "
    "gets evaluation.json, report.html and figures; several runs are also put side by side."
)
COMPARISON = "comparison.html"
EVALUATIONS = Path("evaluations")


class Measured(NamedTuple):
    """What was measured of a run or a file of samples."""

    entry: ReportEntry
    evaluation: Evaluation | None
    """The numbers image by image, None for samples."""
    page: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `digitvae evaluate`."""
    parser.description = DESCRIPTION
    parser.add_argument("runs", nargs="*", metavar="RUN", help="a run folder, latest, or a shipped model")
    parser.add_argument(
        "--samples", type=whole, default=128, metavar="K", help="posterior draws per image (default: 128)"
    )
    parser.add_argument(
        "--refine",
        type=whole,
        default=0,
        metavar="N",
        help="also fit the posteriors of 500 test images, each by N steps, and report the amortisation gap",
    )
    parser.add_argument(
        "--ais",
        action="store_true",
        help="also estimate the NLL of 100 test images by annealed importance sampling, to check the NLL",
    )
    parser.add_argument(
        "--samples-file",
        action="append",
        default=[],
        metavar="FILE",
        help="also score the images of an .npz or other file, made by any generator; may be given repeatedly",
    )
    parser.add_argument(
        "--data", metavar="DATA", help="measure on these data (default: the run's own, or mnist)"
    )
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="NUMBER", help="seed of all noise (default: 0)"
    )
    parser.add_argument(
        "--report",
        metavar="FILE",
        help=f"also write a page of all that was measured here (default for several: {COMPARISON})",
    )
    parser.add_argument("--no-progress-bar", action="store_true", help="no progress on stderr")
    add_common_arguments(parser)


def work(arguments: argparse.Namespace) -> None:
    """Check everything that can be checked, then measure, then write and print."""
    page = _checked_page(arguments)
    runs = [digitvae.find_run(name) for name in arguments.runs]
    folders = [_results_folder(run) for run in runs]
    sources = {arguments.data or run.config.data for run in runs}
    if arguments.samples_file:
        sources.add(arguments.data or "mnist")
    data = {source: digitvae.load_dataset(source) for source in sources}
    if arguments.data is None:
        for run in runs:
            run.check_data(data[run.config.data])
    files = [(Path(name), digitvae.read_images(name)[0]) for name in arguments.samples_file]
    start_backend(arguments.backend)

    from digitvae.evaluation import check
    from digitvae.report import table, write_report

    models = []
    for run in runs:
        dataset = data[arguments.data or run.config.data]
        models.append(run.load_model())
        check(models[-1], dataset)
        if dataset.test_labels is None:
            warnings.warn(
                f"{dataset.name} has no labels: probes, clustering and the table by class are left out",
                stacklevel=2,
            )
    measured = []
    for i, (run, folder, vae) in enumerate(zip(runs, folders, models, strict=True)):
        if len(runs) > 1 and not arguments.no_progress_bar:
            print(f"run {i + 1} of {len(runs)}: {run.folder}", file=sys.stderr)
        measured.append(_run(run, folder, vae, data[arguments.data or run.config.data], arguments))
    for path, images in files:
        measured.append(_samples(path, images, data[arguments.data or "mnist"], arguments))

    entries = _compared(measured)
    if page is not None:
        write_report(page, entries)
    if arguments.json:
        objects = [entry.evaluation for entry in entries]
        print(json.dumps(objects[0] if len(objects) == 1 else objects, indent=2))
        return
    print(table(entries))
    pages = [found.page for found in measured] + ([page] if page is not None else [])
    print("\n" + "\n".join(f"Page: {name}" for name in pages), flush=True)


def _checked_page(arguments: argparse.Namespace) -> Path | None:
    """Check the arguments, and return where the page of several runs goes."""
    count = len(arguments.runs) + len(arguments.samples_file)
    if count == 0:
        raise ConfigError("Expected at least one RUN or --samples-file. Received: none")
    for name, least in {"samples": 1, "refine": 0, "seed": 0}.items():
        if (value := getattr(arguments, name)) < least:
            raise ConfigError(f"Expected --{name} of at least {least}. Received: {value}")
    if arguments.report is None:
        return Path(COMPARISON) if count > 1 else None
    page = Path(arguments.report)
    if page.is_dir() or not page.parent.is_dir():
        raise ConfigError(f"Expected --report as a file in a folder that exists. Received: {page}")
    return page


def _results_folder(run: digitvae.Run) -> Path:
    """Say where evaluations go: into the run folder, but into `evaluations/NAME` for a shipped model."""
    from digitvae.runs import SHIPPED

    if run.folder.resolve().parent != SHIPPED.resolve():
        return run.folder
    folder = EVALUATIONS / run.folder.name
    for entry in folder.iterdir() if folder.is_dir() else ():
        if not entry.name.startswith(("evaluation", "figures", "report.html", ".")):
            raise FileExistsError(
                f"Expected nothing but evaluations of the shipped model in {folder}. Received: {entry}"
            )
    return folder


def _run(
    run: digitvae.Run, folder: Path, vae: VAE, dataset: digitvae.Dataset, arguments: argparse.Namespace
) -> Measured:
    """Measure a run and write its files into a folder, or below that if the data are not its own."""
    from digitvae.gallery import draw_evaluation

    began = time.perf_counter()
    own = dataset.sha256 == run.data_sha256
    if not own:
        folder /= f"evaluation-{Path(dataset.name).stem}"
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    evaluation = digitvae.evaluate_fully(
        vae,
        dataset,
        samples=arguments.samples,
        refine=arguments.refine,
        ais=arguments.ais,
        seed=arguments.seed,
        progress=not arguments.no_progress_bar,
    )
    pictures = {
        **digitvae.draw_figures(vae, dataset, run.history(), figures, seed=run.config.seed),
        **draw_evaluation(vae, dataset, evaluation, figures),
    }
    stored = run.read_json("config.json")
    config = {
        **stored,
        "config": {**stored["config"], "data": dataset.name if not own else stored["config"]["data"]},
        "data_sha256": dataset.sha256,
    }
    numbers = {
        "name": run.folder.resolve().name,
        **evaluation.numbers,
        **_training_times(run),
        "evaluation_seconds": round(time.perf_counter() - began, 3),
    }
    return _written(folder / "evaluation.json", folder / "report.html", numbers, config, pictures, evaluation)


def _samples(
    path: Path, images: np.ndarray, dataset: digitvae.Dataset, arguments: argparse.Namespace
) -> Measured:
    """Score the images of a file and write the results beside it."""
    from digitvae.gallery import draw_samples

    began = time.perf_counter()
    scores = digitvae.score_samples(images, dataset, seed=arguments.seed)
    numbers = {
        "name": path.name,
        "schema_version": digitvae.SCHEMA_VERSION,
        "protocol": "samples",
        "seed": arguments.seed,
        "samples": scores.numbers,
        "evaluation_seconds": round(time.perf_counter() - began, 3),
    }
    config = {
        "config": {"data": dataset.name},
        "data_sha256": dataset.sha256,
        "image_shape": list(dataset.image_shape),
    }
    stem = path.with_suffix("")
    return _written(
        Path(f"{stem}.evaluation.json"),
        Path(f"{stem}.report.html"),
        numbers,
        config,
        draw_samples(images, scores.nearest),
    )


def _written(
    result: Path,
    page: Path,
    numbers: dict[str, Any],
    config: dict[str, Any],
    pictures: dict[str, Figure],
    evaluation: Evaluation | None = None,
) -> Measured:
    from digitvae.report import ReportEntry, write_report

    with written_whole(result) as temporary:
        temporary.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    entry = ReportEntry(numbers["name"], numbers, config, pictures)
    write_report(page, [entry])
    return Measured(entry, evaluation, page)


def _training_times(run: digitvae.Run) -> dict[str, float | None]:
    """Keep the times of the training, which an earlier `evaluation.json` has."""
    try:
        wall = run.read_json("evaluation.json").get("wall_seconds")
    except (OSError, ValueError):
        wall = None
    return {"train_seconds": round(sum(run.history().get("seconds", [])), 3), "wall_seconds": wall}


def _compared(measured: list[Measured]) -> list[ReportEntry]:
    """Add to each run how it differs, image by image, from the first of the same protocol and data."""
    from digitvae.metrics import paired_difference

    first: dict[tuple[str, str], Measured] = {}
    entries = []
    for found in measured:
        entry, evaluation = found.entry, found.evaluation
        base = first.setdefault((entry.protocol, entry.data), found)
        if evaluation and base.evaluation and base is not found and len(evaluation.nll) > 1:
            paired: dict[str, Any] = {"to": base.entry.name}
            paired["nll"], *paired["nll_interval"] = paired_difference(evaluation.nll, base.evaluation.nll)
            paired["bound"], *paired["bound_interval"] = paired_difference(
                base.evaluation.elbo, evaluation.elbo
            )
            entry = replace(entry, evaluation={**entry.evaluation, "paired": paired})
        entries.append(entry)
    return entries
