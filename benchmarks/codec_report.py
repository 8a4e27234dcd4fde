"""The table and the plot of coders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from coders import CODERS
from report_files import write_report

from digitvae.figures import save
from digitvae.figures.canvas import MUTED, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS, OTHERS = "#D55E00", "#0072B2"
NOTE = (
    "Bits per pixel: size x 8 / pixels, all overhead counted, the model's own size not. Images/s of "
    "digitvae: the whole commands on all cores, start-up counted; of the others: one thread, in memory. "
    "Memory: the peak of the process. Tools that know no rows and columns get bits packed eight to a byte."
)

Result = dict[str, Any]


def write(result: Result, folder: Path) -> None:
    """Write `codec.json`, `codec.md` and `codec.png`."""
    write_report(result, table(result), folder, "codec")
    save(plot(result), folder / "codec.png")


def table(result: Result) -> str:
    """Return the tables of all sets, as Markdown."""
    facts = result["machine"]
    lines = [f"{facts['cpu']}, {facts['cores']} cores. {NOTE}"]
    for name, found in result["sets"].items():
        lines += ["", f"**{name}**: {_images(found)}", "", *_rows(found), "", _parts(found)]
    return "\n".join(lines)


def _images(found: Result) -> str:
    return f"{found['images']:,} images of {found['height']} x {found['width']}"


def _pixels(found: Result) -> int:
    return found["images"] * found["height"] * found["width"]


def _rows(found: Result) -> list[str]:
    rows = {"**digitvae compress**": found["digitvae"]}
    for key, row in found["coders"].items():
        coder, manner = key.split(", ")
        rows[f"{CODERS[coder].title}, {manner}"] = row
    lines = [
        "| coder | bytes | bits per pixel | images/s in | out | memory, MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for title, row in sorted(rows.items(), key=lambda item: item[1]["bytes"]):
        rates = (found["images"] / row[f"{way}_seconds"] for way in ("encode", "decode"))
        lines.append(
            f"| {title} | {row['bytes']:,} | {8 * row['bytes'] / _pixels(found):.4f} "
            f"| {' | '.join(f'{rate:,.0f}' for rate in rates)} | {row['peak_bytes'] / 1e6:,.0f} |"
        )
    return lines


def _parts(found: Result) -> str:
    """Say what the file consists of, and how far it is from the model's bound."""
    own, cost = found["digitvae"], found["digitvae"]["cost"]
    total = 8 * own["bytes"] / _pixels(found)
    rest = total - (cost["pixels"] + cost["latents"] - cost["back"])
    text = (
        f"Of the {total:.4f}: pixels {cost['pixels']:.4f}, latents {cost['latents']:.4f}, bits got back "
        f"-{cost['back']:.4f}, all else {rest:.4f}, which is {rest * _pixels(found) / own['shards'] / 8:.0f} "
        f"bytes for each of {own['shards']} shards. The model takes {own['model_bytes']:,} bytes."
    )
    if own["bound"]:
        text += (
            f" Its -ELBO in floating point is {own['bound']:.4f}; the file is "
            f"{100 * (total / own['bound'] - 1):+.2f} % from it."
        )
    return text


def plot(result: Result) -> Figure:
    """Draw bits per pixel, a panel a set, each coder in its better manner."""
    with style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        sets = result["sets"]
        figure = Figure(figsize=(8.0, 0.6 + 2.3 * len(sets)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(sets), squeeze=False)[:, 0]
        for axes, (name, found) in zip(panels, sets.items(), strict=True):
            sizes = {"digitvae": found["digitvae"]["bytes"]}
            for key, row in found["coders"].items():
                title = CODERS[key.split(", ")[0]].title.split(" (")[0]
                sizes[title] = min(sizes.get(title, row["bytes"]), row["bytes"])
            ordered = sorted(sizes, key=sizes.__getitem__, reverse=True)
            values = [8 * sizes[title] / _pixels(found) for title in ordered]
            colours = [OURS if title == "digitvae" else OTHERS for title in ordered]
            bars = axes.barh(ordered, values, color=colours, height=0.7)
            axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=3, color=MUTED)
            axes.set_xlim(0, 1.12 * max(values))
            axes.set_title(f"{name}: {_images(found)}", loc="left")
        axes.set_xlabel("bits per pixel")
    return figure
