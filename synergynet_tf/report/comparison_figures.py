"""Figures that set several systems beside one another: the paper's figures 2 and 3, curves, bars."""
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from synergynet_tf.errors import printable
from synergynet_tf.metrics.scores import summarise_sizes
from synergynet_tf.report.comparison import Systems, by_source
from synergynet_tf.report.png import save_png

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442")     # Okabe and Ito
FOUND, FALSE, MISSED = (0.16, 0.72, 0.55), (1.0, 0.55, 0.0), (0.85, 0.25, 0.95)     # lesion voxels, by what became of them
DOTS_PER_INCH = 120
MOST_BESIDE = 2         # panels in a row


class SliceRow(NamedTuple):
    """One scan of the paper's figure 3, an axial slice [X, Y] of each array."""

    case: str
    flair: np.ndarray                       # float, 0 outside the brain
    reference: np.ndarray                   # bool
    predictions: dict[str, np.ndarray]      # bool, by system
    source: str = ""                        # shown beside the row


def dice_by_load(path: Path, systems: Systems) -> None:
    """The paper's figure 2: DSC against the logarithm of the reference's volume, a dot a case, with each system's trend line.

    Each source has a panel. Cases without a lesion have no place on the axis and are left out.
    """
    sources, colours = by_source(systems), _colours(systems)
    figure, panels = _panels((8, 5), sources)
    for panel, of_source in zip(panels, sources.values()):
        _dots_and_trends(panel, of_source, colours)
        panel.set(xscale="log", xlabel="lesion volume of the scan, ml", ylabel="DSC", ylim=(-0.02, 1.02))
    _legend(figure, panels)
    save_png(figure, path, DOTS_PER_INCH)


def _dots_and_trends(panel: Any, systems: Systems, colours: Mapping[str, str]) -> None:
    for name, scores in systems.items():
        loaded = [case for case in scores if case.volume_reference_ml > 0]
        volume, dsc = (np.array([getattr(case, field) for case in loaded]) for field in ("volume_reference_ml", "dsc"))
        panel.scatter(volume, dsc, s=14, color=colours[name], alpha=0.6, linewidths=0, label=name)
        if len(np.unique(volume)) > 1:
            ends = np.array([volume.min(), volume.max()])
            panel.plot(ends, np.polyval(np.polyfit(np.log(volume), dsc, 1), np.log(ends)), color=colours[name], linewidth=2)


def slices(path: Path, rows: Sequence[SliceRow]) -> None:
    """The paper's figure 3: the same slices by every system; found voxels green, false ones orange, missed ones purple.

    The place of a system that has nothing of a scan stays empty.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.predictions))
    figure = Figure(figsize=(2.3 * (len(names) + 2), 2.75 * len(rows) + 0.5), facecolor="black")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), len(names) + 2, squeeze=False)
    for row, line in zip(rows, panels):
        grey = _grey(row.flair)
        pictures = [(line[0], f"{row.case}, FLAIR", grey), (line[1], "reference", _painted(grey, ((row.reference, FOUND),)))]
        for name, mask in row.predictions.items():
            parts = ((row.reference & mask, FOUND), (mask & ~row.reference, FALSE), (row.reference & ~mask, MISSED))
            pictures.append((line[2 + names.index(name)], name, _painted(grey, parts)))
        for panel in line:
            panel.set_axis_off()
        for panel, title, picture in pictures:
            panel.imshow(picture.transpose(1, 0, 2), origin="lower", interpolation="nearest")
            panel.set_title(printable(title), color="white", fontsize=8, parse_math=False)
        line[0].text(-0.02, 0.5, printable(row.source), transform=line[0].transAxes, rotation=90, ha="right", va="center",
                     color="white", fontsize=8, parse_math=False)
    keys = [Line2D([], [], marker="s", linestyle="", color=colour, label=label)
            for colour, label in ((FOUND, "found"), (FALSE, "false"), (MISSED, "missed"))]
    figure.legend(handles=keys, loc="lower center", ncols=3, frameon=False, labelcolor="white")
    left, share = 0.03 if any(row.source for row in rows) else 0.01, min(1.0, 3.1 / len(rows))     # of many rows: a thinner rim
    figure.subplots_adjust(left=left, right=0.99, top=1 - 0.05 * share, bottom=0.06 * share, wspace=0.03, hspace=0.12)
    save_png(figure, path, DOTS_PER_INCH)


def precision_recall_curves(path: Path, curves: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]) -> None:
    """Precision over recall of each system's probability maps, by source, the voxels of all its scans pooled."""
    figure, panels = _panels((6, 5), curves)
    colours = _colours(name for of_source in curves.values() for name in of_source)
    for panel, of_source in zip(panels, curves.values()):
        for name, (precision, recall) in of_source.items():
            panel.plot(recall, precision, color=colours[name], label=name)
        panel.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)", xlim=(0, 1), ylim=(0, 1.02))
    if any(curves.values()):
        _legend(figure, panels)
    save_png(figure, path, DOTS_PER_INCH)


def rate_by_size(path: Path, systems: Systems) -> None:
    """LTPR by the lesions' size: a bar a system and class, the mean of the cases that have such lesions; a panel a source."""
    sources, colours = by_source(systems), _colours(systems)
    figure, panels = _panels((8, 4.5), sources)
    for panel, of_source in zip(panels, sources.values()):
        _bars(panel, of_source, colours)
        panel.set(ylabel="LTPR", ylim=(0, 1.02), xlabel="lesion size")
    _legend(figure, panels)
    save_png(figure, path, DOTS_PER_INCH)


def _bars(panel: Any, systems: Systems, colours: Mapping[str, str]) -> None:
    width = 0.8 / len(systems)
    for number, (name, scores) in enumerate(systems.items()):
        summary = summarise_sizes(scores)
        places = np.arange(len(summary)) + (number - (len(systems) - 1) / 2) * width
        panel.bar(places, [size["ltpr"].mean for size in summary.values()], width, color=colours[name], label=name)
        panel.set_xticks(range(len(summary)), summary)


def learning_curves(path: Path, logs: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """Training loss and validation DSC of each trained system, over the epochs of all its stages."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    loss, dsc = figure.subplots(1, 2)
    colours = _colours(logs)
    for name, entries in logs.items():
        ends = [entry for entry in entries if "validation" in entry]
        _curve(loss, ends, name, colours[name], lambda entry: entry["loss"])
        _curve(dsc, ends, name, colours[name], lambda entry: entry["validation"].get("dsc"))
    loss.set(title="training loss (each stage has its own terms)", xlabel="epoch", yscale="log")
    dsc.set(title="DSC of the validation scans", xlabel="epoch", ylim=(0, 1))
    for panel in (loss, dsc):
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize=8)
    save_png(figure, path, DOTS_PER_INCH)


def _curve(panel: Any, ends: Sequence[dict[str, Any]], name: str, colour: str,
           value: Callable[[dict[str, Any]], float | None]) -> None:
    points = [(epoch + 1, value(entry)) for epoch, entry in enumerate(ends) if value(entry) is not None]
    if points:
        panel.plot(*zip(*points), color=colour, marker=".", label=name)


def _colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, the same in all panels of a figure."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(dict.fromkeys(names))}


def _grey(flair: np.ndarray) -> np.ndarray:
    """[X, Y, 3], 0 to 1, by the brain's own percentiles."""
    brain = flair != 0
    low, high = np.percentile(flair[brain], (1, 99.5)) if brain.any() else (0.0, 1.0)
    scaled = np.where(brain, np.clip((flair - low) / max(high - low, 1e-6), 0, 1), 0)
    return np.repeat(scaled[..., None], 3, axis=-1)


def _painted(grey: np.ndarray, parts: Sequence[tuple[np.ndarray, tuple[float, float, float]]]) -> np.ndarray:
    picture = grey.copy()
    for mask, colour in parts:
        picture[mask] = 0.25 * picture[mask] + 0.75 * np.array(colour)
    return picture


def _panels(size: tuple[float, float], sources: Iterable[str]) -> tuple[Figure, list[Any]]:
    """A figure with a panel of this size, inches, for each source, named above it where there are several; axes are shared."""
    names = list(sources)
    columns = min(len(names), MOST_BESIDE)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for panel, name in itertools.zip_longest(panels, names):
        if name is None:
            panel.set_axis_off()
        elif len(names) > 1:
            panel.set_title(printable(name), parse_math=False)
            panel.tick_params(which="both", labelbottom=True, labelleft=True)       # also above a place without a panel
    return figure, panels


def _legend(figure: Figure, panels: Sequence[Any]) -> None:
    """Name the colours: within the one panel, or below several."""
    if len(panels) == 1:
        panels[0].legend(fontsize=8)
    else:
        shown = {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels())}
        figure.legend(shown.values(), shown, loc="outside lower center", ncols=len(shown), fontsize=8)
