"""Draw docs/phantoms.png: phantoms beside real scans, and their lesions' statistics beside those of 29 real patients.

    python docs/make_phantom_figure.py DATA [--anatomy FOLDER] [--shapes FILE] [--patients 24] [--out docs/phantoms.png]

DATA holds open_ms/ (Lesjak et al., Neuroinformatics 2018): patient07 and patient19 with {flair,t2,lesions}.nii.gz,
lesions.csv and lesion_components.csv. Real brains keep their native size; many wide phantoms' are larger, and the volumes of
their lesions are brought to a native one's.
"""
import argparse
import csv
from pathlib import Path

import matplotlib
import nibabel
import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom import Session, lesion_map, make_patient

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
NATIVE = 1.12e6     # voxels of a brain of open_ms


def _real(folder: Path) -> Session:
    images = [nibabel.load(folder / f"{name}.nii.gz") for name in ("flair", "t2", "lesions")]
    flair, t2, lesions = (np.asarray(image.dataobj) for image in images)
    return Session(flair.astype(np.float32), t2.astype(np.float32), (lesions > 0).astype(np.uint8), images[0].affine)


def _panels(axes: np.ndarray, session: Session, title: str) -> None:
    """Three axial FLAIR slices, the first three also with outlines, and one T2 slice, radiological convention."""
    inside = np.flatnonzero(session.flair.any(axis=(0, 1)))
    cut = [int(inside[0] + share * (inside[-1] - inside[0])) for share in (0.36, 0.52, 0.63)]
    bright = np.percentile(session.flair[session.flair > 0], 99.8)
    rows = np.flatnonzero(session.flair.any(axis=(0, 2)))
    columns = np.flatnonzero(session.flair.any(axis=(1, 2)))
    window = (slice(columns[0] - 2, columns[-1] + 3), slice(rows[0] - 2, rows[-1] + 3))
    for k, (axis, z) in enumerate(zip(axes, (*cut, cut[2], cut[1]))):
        volume, top = (session.t2, np.percentile(session.t2[session.t2 > 0], 99.5)) if k == 4 else (session.flair, bright)
        axis.imshow(volume[window][::-1, :, z].T, origin="lower", cmap="gray", vmin=0, vmax=top)
        outline = session.lesions[window][::-1, :, z].T
        if k in (0, 1, 3) and outline.any():
            axis.contour(outline, [0.5], colors=ORANGE, linewidths=0.6)
        axis.set(xticks=[], yticks=[])
        for side in axis.spines.values():
            side.set_visible(False)
        axis.set_facecolor("black")
    axes[0].set_ylabel(title, fontsize=9)


def _numbers(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count and total volume (ml) of every real patient, and the volume (mm3) of every lesion."""
    with open(folder / "lesions.csv", newline="") as file:
        patients = list(csv.DictReader(file))
    with open(folder / "lesion_components.csv", newline="") as file:
        components = np.array([float(row["volume_mm3"]) for row in csv.DictReader(file)])
    return (np.array([float(row["n_lesions"]) for row in patients]),
            np.array([float(row["total_mm3"]) for row in patients]) / 1000, components)


def _phantom_numbers(patients: int, wide: dict[str, Path | str | None] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = []
    for index in range(patients):
        if wide is None:
            lesions, scale = lesion_map(1, index), 1.0
        else:
            session = make_patient(1, index, 1, **wide)[0]
            lesions, scale = session.lesions, NATIVE / np.count_nonzero(session.flair)
        labels, _ = ndimage.label(lesions, np.ones((3, 3, 3)))
        sizes.append(np.bincount(labels.ravel())[1:] * scale)
    sizes = [s for s in sizes if s.size]
    return np.array([s.size for s in sizes]), np.array([s.sum() for s in sizes]) / 1000, np.concatenate(sizes)


def _distributions(axes: np.ndarray, named: dict[str, tuple[tuple[np.ndarray, ...], str]]) -> None:
    titles = ("lesions a patient", "lesion load a patient, ml", "volume of a lesion, mm³")
    for number, (axis, title) in enumerate(zip(axes, titles)):
        every = np.concatenate([numbers[number] for numbers, _ in named.values()])
        edges = np.geomspace(every.min(), every.max() * 1.01, 400)
        for name, (numbers, colour) in named.items():
            values = np.sort(numbers[number])
            axis.plot(edges, np.searchsorted(values, edges, side="right") / values.size, color=colour,
                      label=f"{name} (n = {values.size})", linewidth=1.5)
        axis.set_xscale("log")
        ticks = (5, 20, 50, 100, 200, 400) if "a patient" in title and "ml" not in title else (1, 10, 100, 1000, 10000)
        ticks = [t for t in ticks if edges[0] <= t <= edges[-1]]
        axis.set_xticks(ticks, labels=[str(t) for t in ticks])
        axis.minorticks_off()
        axis.set_ylim(0, 1.02)
        axis.set_xlabel(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3, linewidth=0.5)
        axis.legend(fontsize=8, frameon=False)
    axes[0].set_ylabel("share at or below", fontsize=9)


def main() -> None:
    """Draw the figure from the arguments that --help lists."""
    parser = argparse.ArgumentParser(description="Draw phantoms beside real scans.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--anatomy", type=Path)
    parser.add_argument("--shapes", type=Path)
    parser.add_argument("--patients", type=int, default=24, help="phantoms whose lesions are counted")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("phantoms.png"))
    given = parser.parse_args()
    wide = {"anatomy": given.anatomy, "variety": "wide", "shapes": given.shapes}
    rows = [(_real(given.data / "open_ms" / "patient19"), "real, open_ms 19"),
            (make_patient(1, 12, 1)[0], "narrow"),
            *((make_patient(5, index, 1, **wide)[0], "wide") for index in (1, 14, 6, 9))]
    figure = plt.figure(figsize=(11, 2.55 * len(rows) + 2.8))
    upper, lower = figure.subfigures(2, 1, height_ratios=(2.55 * len(rows), 2.8))
    axes = upper.subplots(len(rows), 5, gridspec_kw={"wspace": 0.02, "hspace": 0.03, "left": 0.03, "right": 1, "top": 0.975,
                                                     "bottom": 0})
    for row, (session, title) in zip(axes, rows):
        _panels(row, session, title)
    outlined = "FLAIR, lesions outlined"
    for axis, title in zip(axes[0], (outlined, outlined, "FLAIR", outlined, "T2")):
        axis.set_title(title, fontsize=9)
    bottom = lower.subplots(1, 3, gridspec_kw={"left": 0.06, "right": 0.99, "top": 0.95, "bottom": 0.2, "wspace": 0.15})
    _distributions(bottom, {"real": (_numbers(given.data / "open_ms"), BLUE),
                            "narrow": (_phantom_numbers(given.patients, None), ORANGE),
                            "wide": (_phantom_numbers(given.patients, wide), GREEN)})
    figure.savefig(given.out, dpi=110, facecolor="white")


if __name__ == "__main__":
    main()
