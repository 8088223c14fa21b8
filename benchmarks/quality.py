"""Image quality: the ranges of a cohort, and which flags clean and degraded scans raise (docs/quality.md).

    python -m benchmarks.quality learn flair/all.csv flair_quality.json     # a training does it itself
    python -m benchmarks.quality flags flair_quality.json SCAN... --degrade  # a table; --degrade: each scan made worse, too

Ghosts are made in k-space: every second, fourth ... line along the second axis is weighted otherwise. The brain's mask is kept.
"""
import argparse
import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from synergynet_tf.data import image_quality, layouts, preprocess, quality_range
from synergynet_tf.data.image_quality import MEASURES, Quality
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.preprocess import Box

NOISE = (0.1, 0.2)          # sigma, of the brain's median
BLUR = (4.0, 8.0)           # mm, full width at half maximum
GHOST = (0.05, 0.1)         # strength of each copy
CUT = (20.0, 40.0)          # mm, from the top
FWHM = 2.3548


def measured(path: pathlib.Path) -> tuple[Volume, np.ndarray, Box]:
    """A scan, its brain, the brain's box."""
    flair = preprocess.read_scan(path)
    brain, box, _, _ = preprocess.find_brain(flair)
    return flair, brain, box


def noisy(array: np.ndarray, brain: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian noise added in the brain; sigma of its median."""
    drawn = np.random.default_rng(0).standard_normal(array.shape, dtype=np.float32)
    return np.where(brain, array + np.float32(sigma * np.median(array[brain])) * drawn, np.float32(0))


def blurred(array: np.ndarray, brain: np.ndarray, voxels: float) -> np.ndarray:
    """Smoothed by a Gaussian of so many voxels at half maximum."""
    return np.where(brain, ndimage.gaussian_filter(array, voxels / FWHM), np.float32(0))


def ghosted(array: np.ndarray, brain: np.ndarray, strength: float, every: int = 4) -> np.ndarray:
    """Each `every`-th line of k-space along axis 1 is (1 + every * strength) times as strong: copies of that strength result."""
    lines = np.fft.fft(array, axis=1)
    numbers = np.rint(np.fft.fftfreq(array.shape[1], 1 / array.shape[1])).astype(int)
    lines[:, numbers % every == 0] *= 1 + every * strength
    return np.where(brain, np.fft.ifft(lines, axis=1).real.astype(np.float32), np.float32(0))


def cut(array: np.ndarray, brain: np.ndarray, voxels: float) -> np.ndarray:
    """Without what lies less than so many voxels below the top of the brain."""
    top = np.flatnonzero(brain.any(axis=(0, 1)))[-1]
    kept = np.arange(array.shape[2]) <= top - voxels
    return np.where(brain & kept, array, np.float32(0))


def degraded(flair: Volume, brain: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """A scan made worse in each way, twice."""
    side = flair.spacing[2]
    for sigma in NOISE:
        yield f"noise, {100 * sigma:g} %", noisy(flair.array, brain, sigma)
    for width in BLUR:
        yield f"blur, {width:g} mm", blurred(flair.array, brain, width / side)
    for strength in GHOST:
        yield f"ghosts, {100 * strength:g} %", ghosted(flair.array, brain, strength)
    for depth in CUT:
        yield f"cut by {depth:g} mm", cut(flair.array, brain, depth / side)


def _line(name: str, quality: Quality, ranges: quality_range.Ranges) -> str:
    judged = quality_range.judge(quality, ranges)
    cells = ["-" if row.value is None else f"**{row.value:.3g}**" if row.flagged else f"{row.value:.3g}" for row in judged]
    return f"| {name} | {' | '.join(cells)} | {', '.join(row.name for row in judged if row.flagged)} |"


def flags(ranges: quality_range.Ranges, scans: list[pathlib.Path], degrade: bool) -> None:
    """Print a row for each scan, and for each way that it is made worse."""
    print(f"| scan | {' | '.join(f'{name}, {about.unit}'.replace('_', ' ') for name, about in MEASURES.items())} | flags |")
    print("|---" * (len(MEASURES) + 2) + "|")
    for path in scans:
        flair, brain, box = measured(path)
        print(_line(f"{path.parent.name}/{path.name}", image_quality.measure(flair, brain, box), ranges), flush=True)
        whole = np.zeros(flair.array.shape, bool)
        whole[tuple(slice(box[axis], box[axis + 3]) for axis in range(3))] = brain
        for name, array in degraded(flair, whole) if degrade else ():
            worse = dataclasses.replace(flair, array=array)
            print(_line(name, image_quality.measure(worse, *preprocess.brain_mask(worse)), ranges), flush=True)


def main() -> None:
    """See the module's head."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    learning = commands.add_parser("learn")
    learning.add_argument("data", help="a manifest or folder of the training scans")
    learning.add_argument("out", type=pathlib.Path, help="the file to write")
    flagging = commands.add_parser("flags")
    flagging.add_argument("ranges", type=pathlib.Path, help="what `learn` or a training wrote")
    flagging.add_argument("scans", nargs="+", type=pathlib.Path)
    flagging.add_argument("--degrade", action="store_true")
    options = parser.parse_args()
    if options.command == "learn":
        cases = [case for case in layouts.discover(options.data) if case.split in (None, "train")]
        scans = []
        for case in cases:
            scans.append(image_quality.measure(*measured(case.images["flair"])))
            print(case.name, scans[-1], flush=True)
        quality_range.write(options.out, scans)
    else:
        flags(quality_range.read_file(options.ranges), options.scans, options.degrade)


if __name__ == "__main__":
    main()
