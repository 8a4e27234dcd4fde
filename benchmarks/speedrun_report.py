"""The table and the plot of a speed run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from report_files import write_report

from digitvae.figures import save
from digitvae.figures.canvas import INK, MUTED, PAD, TITLE_SIZE, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TARGET = 105.0
"""Nats that the peers' examples reach."""
HIGHEST, LOWEST = 130.0, 80.0
"""Nats between which the plot tells systems apart."""
# Okabe and Ito's colours, which the colour-blind tell apart too, without the yellow, too pale for lines; then
# four of Tol's.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F"),
    *("#882255", "#999933", "#332288", "#661100"),
)
WIDTH, HEIGHT = 8.0, 5.0  # inches
COLUMN = 1.03  # of the plot's width: where the labels are
LABEL_GAP = 0.045  # of the plot's height: what one label takes

Result = dict[str, Any]
Curve = tuple[list[float], list[float]]


def write(result: Result, folder: Path) -> None:
    """Write `speedrun.json`, `speedrun.md` and `speedrun.png`."""
    write_report(result, table(result), folder, "speedrun")
    if result["systems"]:
        save(plot(result), folder / "speedrun.png")
    else:
        (folder / "speedrun.png").unlink(missing_ok=True)


def table(result: Result) -> str:
    """Return the table of systems and the comparison with the default recipe, as Markdown."""
    machine, settings = result["machine"], result["settings"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB; "
        f"{result['date'][:10]}; {settings['train_images']:,} training images; -ELBO on "
        f"{settings['test_images']:,} test images, NLL {_nll_protocol(settings)}; nats.",
        "",
        *_rows(
            (
                "system",
                "what it is",
                "precision",
                "seeds",
                "epochs",
                "wall seconds",
                "-ELBO",
                f"NLL (k={settings['k']})",
                f"seconds to {TARGET:.0f} nats",
                "images/s",
                "peak memory, MB",
            ),
            [_system_row(name, system) for name, system in result["systems"].items()],
        ),
    ]
    if any(len(system["runs"]) > 1 for system in result["systems"].values()):
        lines += ["", "Medians over the seeds (least to most)."]
    comparison = _comparison(result["systems"])
    if comparison:
        header = ("peer", "its seconds", "its -ELBO", "recipe", "-ELBO by then", "difference")
        lines += ["", "What the best recipe had reached when a peer had its last weights:", ""]
        lines += _rows(header, comparison)
    lines += [
        f"\n{name}: {verb}, {reason}"
        for verb in ("skipped", "failed")
        for name, reason in result[verb].items()
    ]
    return "\n".join(lines)


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    texts = {"system", "what it is", "precision", "peer", "recipe"}
    numbers = ["---" if name in texts else "---:" for name in header]
    return [f"| {' | '.join(cells)} |" for cells in (header, numbers, *rows)]


def _system_row(name: str, system: Result) -> list[str]:
    runs = system["runs"]
    reached = [_seconds_to_target(run) for run in runs]
    return [
        name,
        system["what"],
        runs[0]["precision"],
        str(len(runs)),
        str(len(runs[0]["curve"])),
        _spread([run["wall_seconds"] for run in runs], "{:.0f}"),
        _spread([_last(run)["neg_elbo"] for run in runs], "{:.2f}"),
        _spread([run["nll"] for run in runs], "{:.2f}") + _error(runs),
        _spread([seconds for seconds in reached if seconds is not None], "{:.1f}")
        + (f" ({reached.count(None)} never)" if None in reached and any(reached) else ""),
        _spread([run["images_per_second"] for run in runs], "{:,.0f}"),
        _spread([run["peak_memory_bytes"] / 1e6 for run in runs], "{:,.0f}"),
    ]


def _nll_protocol(settings: Result) -> str:
    if settings["nll_images"] == settings["test_images"]:
        return "on the same"
    return (
        f"of the same, estimated from {settings['nll_images']:,} with -ELBO as control variate (the 95 % "
        "interval of one seed after +-)"
    )


def _error(runs: Sequence[Result]) -> str:
    """Write half of the interval of an estimated NLL, the widest of the seeds."""
    intervals = [run["nll_interval"] for run in runs]
    if None in intervals:
        return ""
    return f" +-{max(high - low for low, high in intervals) / 2:.2f}"


def _last(run: Result) -> Result:
    return run["curve"][-1]


def _seconds_to_target(run: Result) -> float | None:
    return next((row["seconds"] for row in run["curve"] if row["neg_elbo"] <= TARGET), None)


def _spread(values: Sequence[float], form: str) -> str:
    """Write the median, and least and most where there are several."""
    if not values:
        return "-"
    middle = form.format(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))} to {form.format(max(values))})"


def _comparison(systems: dict[str, Result]) -> list[list[str]]:
    """Compare each peer's end with what is ours and best by that time; medians over seeds."""
    rows = []
    for name, system in systems.items():
        if system["ours"]:
            continue
        end = statistics.median(_last(run)["seconds"] for run in system["runs"])
        theirs = statistics.median(_last(run)["neg_elbo"] for run in system["runs"])
        by_then = [
            (statistics.median(reached), recipe)
            for recipe, ours in systems.items()
            if ours["ours"] and (reached := _reached(ours, end))
        ]
        best = ["-", "-", "-"]
        if by_then:
            nats, recipe = min(by_then)
            best = [recipe, f"{nats:.2f}", f"{nats - theirs:+.2f}"]
        rows.append([name, f"{end:.0f}", f"{theirs:.2f}", *best])
    return rows


def _reached(system: Result, seconds: float) -> list[float]:
    """Return the -ELBO of every seed after so many seconds; nothing if one has no weights by then."""
    curves = [
        [row["neg_elbo"] for row in run["curve"] if row["seconds"] <= seconds] for run in system["runs"]
    ]
    return [curve[-1] for curve in curves] if all(curves) else []


def plot(result: Result) -> Figure:
    """Draw nats against wall seconds, a curve a system: the median over its seeds, epoch by epoch."""
    curves = {name: _median_curve(system["runs"]) for name, system in result["systems"].items()}
    colours = dict(zip(curves, COLOURS * len(curves), strict=False))
    values = [value for _, nats in curves.values() for value in nats]
    # A reduced run ends far above; then all of it is shown.
    top = HIGHEST if min(values) < HIGHEST else 1.05 * max(values)
    bottom = min(LOWEST, min(values) - 2) if top == HIGHEST else min(values) - 0.05 * (top - min(values))
    hidden = [name for name, (_, nats) in curves.items() if nats[-1] > top]
    with style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        figure = Figure(figsize=(WIDTH, HEIGHT))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.075, 0.105, 0.73, 0.755))
        axes.set_xscale("log")
        shown = {name: curve for name, curve in curves.items() if name not in hidden}
        every = [seconds for times, _ in curves.values() for seconds in times]
        axes.set_xlim(min(every) / 1.1, max(every) * 1.1)
        axes.set_ylim(bottom, top)
        for name, (times, nats) in shown.items():
            width = 2.4 if result["systems"][name]["ours"] else 1.4
            axes.plot(times, nats, color=colours[name], linewidth=width, marker="o", markersize=3.5)
        if bottom < TARGET < top:
            axes.axhline(TARGET, color=MUTED, linewidth=1.0, linestyle=(0, (5, 4)), zorder=0)
            axes.annotate(
                f"{TARGET:.0f} nats", (0, TARGET), (4, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", color=MUTED,
            )  # fmt: skip
        _label_ends(axes, shown, colours)
        axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("wall seconds since the start of the process")
        axes.set_ylabel("\N{MINUS SIGN}ELBO on the fixed test bits, nats per image")
        axes.grid(color="#e6e9ed", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        machine = result["machine"]
        figure.text(
            PAD / WIDTH, 1 - 0.1 / HEIGHT, "Nats against wall time",
            fontsize=TITLE_SIZE, color=INK, va="top", ha="left",
        )  # fmt: skip
        count = max(len(system["runs"]) for system in result["systems"].values())
        notes = [f"{machine['cpu']}, {machine['cores']} cores; a point an epoch"]
        if count > 1:
            notes.append(f"medians of up to {count} seeds")
        if hidden:
            ends = [f"{name} ends at {curves[name][1][-1]:.0f} nats" for name in hidden]
            axes.text(
                1,
                0.99,
                f"above: {', '.join(ends)}",
                transform=axes.transAxes,
                ha="right",
                va="top",
                color=MUTED,
            )
        figure.text(PAD / WIDTH, 1 - 0.4 / HEIGHT, "; ".join(notes), color=MUTED, va="top", ha="left")
    return figure


def _median_curve(runs: Sequence[Result]) -> Curve:
    def medians(key: str) -> list[float]:
        rows = zip(*(run["curve"] for run in runs), strict=True)
        return [statistics.median(point[key] for point in row) for row in rows]

    return medians("seconds"), medians("neg_elbo")


def _label_ends(axes: Axes, curves: dict[str, Curve], colours: dict[str, str]) -> None:
    """Name the curves in a column beside the plot, with a thin line from where each ends to its name."""
    bottom, top = axes.get_ylim()
    places: list[float] = []
    for name, (times, nats) in sorted(curves.items(), key=lambda item: item[1][1][-1]):
        end = (nats[-1] - bottom) / (top - bottom)
        places.append(max(end, places[-1] + LABEL_GAP) if places else end)
        for where, text in ((COLUMN, f"{name} {nats[-1]:.1f}"), (COLUMN - 0.01, "")):
            axes.annotate(
                text,
                (times[-1], nats[-1]),
                (where, places[-1]),
                textcoords="axes fraction",
                color=colours[name],
                fontweight="bold",
                va="center",
                annotation_clip=False,
                arrowprops=None
                if text
                else {
                    "arrowstyle": "-",
                    "color": colours[name],
                    "linewidth": 0.8,
                    "alpha": 0.5,
                    "relpos": (0, 0.5),
                    "shrinkA": 0,
                    "shrinkB": 4,
                },
            )
