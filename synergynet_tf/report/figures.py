"""Pictures of a segmentation and of a training run, drawn without a display and without pyplot's global state."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import ndimage

from synergynet_tf.errors import printable
from synergynet_tf.report.png import save_png

PREDICTED, REFERENCE = "#ff9f1c", "#2ec4b6"     # orange and teal: told apart by colour-blind readers, and on grey
STAGE_COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52")
NORMAL = "XYZ"
ENDS = (("P", "A"), ("L", "R"), ("L", "R"))     # left and right end of each picture, RAS+: planes Y-Z, X-Z, X-Y


def segmentation_figure(path: Path, flair: np.ndarray, mask: np.ndarray, reference: np.ndarray | None = None,
                        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), title: str = "") -> None:
    """Write three orthogonal slices through the largest lesion, to one scale, all lesions outlined, as a PNG.

    Args:
        path: of the PNG.
        flair: [X, Y, Z] intensities in RAS+ orientation, 0 outside the brain.
        mask: bool [X, Y, Z], predicted lesions.
        reference: bool [X, Y, Z], known lesions.
        spacing: voxel size in mm.
        title: above the picture.
    """
    point = viewpoint(flair, mask, reference)
    brain = flair != 0
    low, high = np.percentile(flair[brain], (1, 99.5)) if brain.any() else (0.0, 1.0)
    flair = np.where(brain, flair, low)     # of a z-scored scan, 0 is the brain's mean grey
    sides = np.multiply(flair.shape, spacing)
    widths, tallest = (sides[1], sides[0], sides[0]), max(sides[2], sides[1])
    figure = Figure(figsize=(12, min(12 * tallest / sum(widths), 12) + 1.1), facecolor="black")
    FigureCanvasAgg(figure)
    grid = {"width_ratios": widths, "wspace": 0.03, "left": 0.01, "right": 0.99, "bottom": 0.08, "top": 0.88}
    for axis, panel in enumerate(figure.subplots(1, 3, gridspec_kw=grid)):
        plane = [None if volume is None else np.moveaxis(volume, axis, 0)[point[axis]].T for volume in (flair, mask, reference)]
        width, height = (spacing[i] for i in range(3) if i != axis)
        panel.imshow(plane[0], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower", aspect=height / width)
        for lesions, colour in ((plane[1], PREDICTED), (plane[2], REFERENCE)):
            if lesions is not None and lesions.any():
                _outline(panel, lesions, colour)
        _label(panel, axis, point[axis])
    lines = [Line2D([], [], color=PREDICTED, label="predicted")]
    if reference is not None:
        lines.append(Line2D([], [], color=REFERENCE, label="reference"))
    figure.legend(handles=lines, loc="lower center", ncols=len(lines), frameon=False, labelcolor="white")
    figure.suptitle(printable(title), color="white", parse_math=False)
    save_png(figure, path, 110)


def viewpoint(flair: np.ndarray, mask: np.ndarray, reference: np.ndarray | None = None) -> tuple[int, int, int]:
    """The voxel to slice at: on each axis, where the largest predicted lesion has the most voxels.

    Without a predicted lesion the largest reference lesion is taken, and without any the middle of the brain.
    """
    for lesions in (mask, reference):
        if lesions is not None and lesions.any():
            labels, _ = ndimage.label(lesions, np.ones((3, 3, 3)))
            largest = labels == np.bincount(labels[lesions]).argmax()
            x, y, z = (_fullest(largest.sum(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
            return x, y, z
    brain = flair != 0
    if not brain.any():
        return flair.shape[0] // 2, flair.shape[1] // 2, flair.shape[2] // 2
    x, y, z = (int(np.flatnonzero(brain.any(axis=others)).mean()) for others in ((1, 2), (0, 2), (0, 1)))
    return x, y, z


def _fullest(counts: np.ndarray) -> int:
    ties = np.flatnonzero(counts == counts.max())
    return int(ties[len(ties) // 2])        # a plain argmax would look at the rim of a block


def _outline(panel: Any, lesions: np.ndarray, colour: str) -> None:
    padded = np.pad(lesions.astype(np.float32), 1)      # so that a lesion at the border has a closed outline
    rows, columns = (np.arange(-1, n + 1) for n in lesions.shape)
    panel.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.0)


def _label(panel: Any, axis: int, index: int) -> None:
    panel.set_axis_off()
    panel.set_title(f"{NORMAL[axis]} = {index}", color="white", fontsize=9)
    for text, x, align in zip(ENDS[axis], (0.01, 0.99), ("left", "right")):
        panel.text(x, 0.02, text, transform=panel.transAxes, color="white", ha=align, va="bottom", fontsize=9)


def loss_curves(entries: list[dict[str, Any]], png_path: Path) -> None:
    """Draw a training log: the total loss, its parts and the validation scores over the logged steps, stage by stage.

    Args:
        entries: at least one of {"stage", "epoch", "step", "loss", "parts": {name: value}, "validation": {name: value}};
            validation stands only at an epoch's end.
        png_path: the picture's.
    """
    figure = Figure(figsize=(15, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    total, parts, validation = figure.subplots(1, 3)
    for number, stage in enumerate(sorted({entry["stage"] for entry in entries})):
        colour = STAGE_COLOURS[number % len(STAGE_COLOURS)]
        at = [i for i, entry in enumerate(entries) if entry["stage"] == stage]
        total.plot(at, [entries[i]["loss"] for i in at], color=colour, alpha=0.3, linewidth=0.8)
        total.plot(*_epoch_means(entries, at), color=colour, marker=".", label=f"training loss, stage {stage}")
        for panel in (parts, validation):
            panel.axvspan(at[0] - 0.5, at[-1] + 0.5, color=colour, alpha=0.08, linewidth=0)
    _draw_named(total, entries, "validation", "x", ("loss",))
    _draw_named(parts, entries, "parts", None, _names(entries, "parts"))
    _draw_named(validation, entries, "validation", ".", [name for name in _names(entries, "validation") if name != "loss"])
    for panel, name in ((total, "loss"), (parts, "parts of the loss"), (validation, "validation scores")):
        panel.set(title=name, xlabel="logged step", xlim=(-0.5, len(entries) - 0.5))
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize=8)
    for panel in (total, parts):
        if all(np.min(line.get_ydata(), initial=np.inf) > 0 for line in panel.lines):
            panel.set_yscale("log")
    save_png(figure, png_path, 110)


def _epoch_means(entries: list[dict[str, Any]], at: list[int]) -> tuple[list[float], list[float]]:
    places, means = [], []
    for epoch in sorted({entries[i]["epoch"] for i in at}):
        inside = [i for i in at if entries[i]["epoch"] == epoch]
        places.append(float(np.mean(inside)))
        means.append(float(np.mean([entries[i]["loss"] for i in inside])))
    return places, means


def _names(entries: list[dict[str, Any]], key: str) -> list[str]:
    return sorted({name for entry in entries for name in entry.get(key) or {}})


def _draw_named(panel: Any, entries: list[dict[str, Any]], key: str, marker: str | None, names: Sequence[str]) -> None:
    for name in names:
        at = [i for i, entry in enumerate(entries) if name in (entry.get(key) or {})]
        if at:
            label = f"{key} {name}" if name == "loss" else name
            panel.plot(at, [float(entries[i][key][name]) for i in at], marker=marker, linewidth=1, label=label)
