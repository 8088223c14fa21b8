"""A picture of each prepared raw scan, to see at a glance whether its brain was found and lies where MNI152's does."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synergynet_tf.data import nifti
from synergynet_tf.data.raw import record
from synergynet_tf.data.raw.grid import MNI
from synergynet_tf.data.raw.record import Record
from synergynet_tf.data.raw.registration import template_brain
from synergynet_tf.errors import printable
from synergynet_tf.report.png import save_png

FOUND, TEMPLATE = "#ff9f1c", "#2ec4b6"
SLICES = (0.25, 0.45, 0.65, 0.85)       # of the brain's height


def preparation_picture(folder: Path, known: Record) -> Path:
    """Draw `qc.png` in a prepared case's folder: axial slices, one sagittal, one coronal.

    Above is the FLAIR in its own space with the brain mask outlined; below the prepared FLAIR, with MNI152's brain outlined where
    it lies on that grid.

    Raises:
        InputError: a file is gone, the raw FLAIR included, or the picture cannot be written.
    """
    flair, brain = nifti.read(known.sources["flair"]["path"]), nifti.read_mask(folder / record.OWN_BRAIN)
    prepared = nifti.read(folder / known.files["flair"])
    on_template = prepared.array.shape == MNI.shape and np.allclose(prepared.affine[:3, 3], (-91, -126, -72))
    outline = template_brain()[::-1] if on_template else prepared.array != 0      # the grid is LAS, what is read is RAS+
    figure = Figure(figsize=(15, 6.2), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(SLICES) + 2)
    _row(panels[0], flair, brain.array, brain.array, FOUND)
    _row(panels[1], prepared, outline, prepared.array != 0, TEMPLATE)
    panels[0, 0].set_title("own space, brain mask", color=FOUND, fontsize=10)
    panels[1, 0].set_title("MNI, template's brain" if on_template else "prepared, brain", color=TEMPLATE, fontsize=10)
    figure.suptitle(printable(folder.name), color="white", parse_math=False)
    save_png(figure, folder / record.PICTURE, 90)
    return folder / record.PICTURE


def _row(panels: Sequence, scan: nifti.Volume, outline: np.ndarray, brain: np.ndarray, colour: str) -> None:
    heights, middle = np.flatnonzero(brain.any(axis=(0, 1))), [int(np.mean(places)) for places in np.nonzero(brain)]
    axial = [(2, int(heights[0] + share * (len(heights) - 1))) for share in SLICES]
    low, high = np.percentile(scan.array[brain], (0.5, 99.5))
    for panel, (axis, index) in zip(panels, (*axial, (0, middle[0]), (1, middle[1]))):
        across, up = (scan.spacing[i] for i in range(3) if i != axis)
        panel.imshow(np.moveaxis(scan.array, axis, 0)[index].T, cmap="gray", origin="lower", vmin=min(low, 0), vmax=high,
                     aspect=up / across)
        plane = np.moveaxis(outline, axis, 0)[index].T
        if plane.any():
            panel.contour(plane, levels=[0.5], colors=[colour], linewidths=0.8)
        panel.set_axis_off()
