"""A sheet of all cases of a cohort, to look at before training: PNG pages, cases framed in the colour of their worst problem."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synergynet_tf.data.check import ERROR, WARNING, CaseCheck, Problem
from synergynet_tf.report.figures import REFERENCE
from synergynet_tf.report.png import save_png

COLUMNS, ROWS = 3, 8        # cases across and down a page
PAGE = COLUMNS * ROWS
WIDTH = 5.0                 # inches of a case
BACKGROUND, QUIET = "black", "#9aa0a6"
COLOURS = {ERROR: "#ff5d5d", WARNING: "#ffc24b", None: "#6c757d"}
LEGEND = ("axial, coronal and sagittal slice through the largest lesion (through the middle where there is none); patient's left "
          "on the left; lesions outlined")
HEADROOM, BORDER = 34, 5    # mm above the slices, for two lines of text, and around them


def thumbnail_sheets(folder: Path, checks: Sequence[CaseCheck], problems: Sequence[Problem]) -> list[Path]:
    """Write the sheet's pages into a folder, check.png or check-1-of-3.png ..., and return their paths.

    Of each case the axial, the coronal and the sagittal slice through its largest lesion (its middle where there is none), front
    or top up, the patient's left on the left, all cases to one scale; lesions outlined; framed in the colour of its worst
    problem.

    Raises:
        InputError: the folder cannot be written.
    """
    pages, paths = [checks[start:start + PAGE] for start in range(0, len(checks), PAGE)], sheet_names(folder, len(checks))
    columns, rows = (max((check.views.picture.shape[axis] for check in checks if check.views), default=300) for axis in (1, 0))
    for number, (page, path) in enumerate(zip(pages, paths), start=1):
        save_png(_page(page, problems, (columns, rows), number, len(pages)), path, 100)
    return paths


def sheet_names(folder: Path, cases: int) -> list[Path]:
    """The files of a sheet of so many cases."""
    pages = -(-cases // PAGE)
    return [folder / ("check.png" if pages == 1 else f"check-{number}-of-{pages}.png") for number in range(1, pages + 1)]


def _page(checks: Sequence[CaseCheck], problems: Sequence[Problem], size: tuple[int, int], number: int, of: int) -> Figure:
    across = min(COLUMNS, len(checks))
    down = -(-len(checks) // across)
    width, height = size[0] + 2 * BORDER, size[1] + 2 * BORDER + HEADROOM
    tile, foot = WIDTH * height / width, 0.45
    figure = Figure(figsize=(WIDTH * across, tile * down + foot), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    bottom = foot / (tile * down + foot)
    panels = figure.subplots(down, across, squeeze=False, gridspec_kw={
        "wspace": 0.015, "hspace": 0.02, "left": 0.004, "right": 0.996, "bottom": bottom, "top": 0.996}).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, check in zip(panels, checks):
        panel.set(xlim=(-BORDER, size[0] + BORDER), ylim=(-BORDER, size[1] + BORDER + HEADROOM), aspect="equal")
        _draw(panel, check, [problem for problem in problems if problem.case == check.case.name], size)
    page = f"page {number} of {of}: " if of > 1 else ""
    figure.text(0.008, bottom / 2, f"{page}{LEGEND}", color=QUIET, fontsize=9 if across > 1 else 5, va="center")
    return figure


def _draw(panel: Axes, check: CaseCheck, problems: Sequence[Problem], size: tuple[int, int]) -> None:
    worst = next((severity for severity in (ERROR, WARNING) if any(p.severity == severity for p in problems)), None)
    colour = COLOURS[worst]
    frame = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) * (size[0] + 2 * BORDER - 2, size[1] + 2 * BORDER + HEADROOM - 2)
    panel.plot(*(frame + 1 - BORDER).T, color=colour, linewidth=2.2 if worst else 0.8)
    top = size[1] + BORDER + HEADROOM - 9
    panel.text(3, top, check.case.name, color="white", fontsize=10, weight="bold", va="top", parse_math=False)
    panel.text(size[0] - 3, top, _facts(check), color=QUIET, fontsize=8.5, va="top", ha="right")
    panel.text(3, top - 15, _named(problems) or "no problem found", color=colour if worst else QUIET, fontsize=8.5, va="top",
               parse_math=False)
    if check.views is None:
        panel.text(size[0] / 2, size[1] / 2, "FLAIR cannot be read", color=colour, fontsize=11, ha="center", va="center")
        return
    rows, columns = check.views.picture.shape
    left, low = (size[0] - columns) / 2, (size[1] - rows) / 2
    panel.imshow(check.views.picture, cmap="gray", vmin=0, vmax=255, origin="lower", interpolation="bilinear",
                 extent=(left, left + columns, low, low + rows))
    if check.views.lesions.any():
        padded = np.pad(check.views.lesions.astype(np.float32), 1)      # so that a lesion at the border has a closed outline
        panel.contour(left - 0.5 + np.arange(columns + 2), low - 0.5 + np.arange(rows + 2), padded, levels=[0.5],
                      colors=[REFERENCE], linewidths=0.8)


def _facts(check: CaseCheck) -> str:
    """Lesions and brain, as far as they are known."""
    parts = []
    if check.lesions is not None:
        parts.append(f"{check.lesions} lesion{'' if check.lesions == 1 else 's'}, {check.lesion_ml:.3g} ml")
    elif check.case.lesions is None:
        parts.append("no mask")
    if check.brain_ml is not None:
        parts.append(f"brain {check.brain_ml:.0f} ml")
    return "; ".join(parts)


def _named(problems: Sequence[Problem], most: int = 60) -> str:
    """The problems' checks and files, cut where they would not fit on a line."""
    names = dict.fromkeys(f"{problem.kind} ({problem.file})" if problem.file else problem.kind for problem in problems)
    text = ", ".join(names)
    return text if len(text) <= most else text[:most - 3].rsplit(",", 1)[0] + ", ..."
