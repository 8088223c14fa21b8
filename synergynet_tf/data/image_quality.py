"""The image quality of a FLAIR scan: noise, fine detail, contrast, sharpness, slice thickness, field of view, motion.

All are of what the network sees: the voxels of the brain, skull stripped, near 1 mm. Of a scan that `prepare --raw` made, slice
thickness and field of view are those of the raw scan too, which the preparation keeps. What is worse is on one side of each
number (`MEASURES`); what is usual, `quality_range` says. docs/quality.md has the definitions in one table.
"""
import functools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import fft, ndimage

from synergynet_tf.data import judgement, nifti
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.phantom import atlas
from synergynet_tf.data.raw import record

Box = tuple[int, int, int, int, int, int]
Quality = dict[str, float | None]       # by the name of a measure; None where the scan does not allow it

MAD = 0.6745                # of the normal distribution: the median of |x|, in standard deviations
SILL_MM = 20.0              # so far apart, differences in tissue no longer grow with distance
BLOCK_MM = 7.0              # blocks whose tissue the template tells without a registration
WHOLE = 0.8                 # share of a block that is brain
STEPS = 10                  # of reweighted least squares
CELL_MM = 2.0               # of the autocorrelation
DETAIL = 1.5                # cells, sigma: what is smoother is no detail
NEAREST_MM = 16.0           # ghosts nearer than this are lost among what is alike in neighbours
CONE = 0.18                 # of a shift's length, which it may be off an axis: the scan may be tilted by 10 degrees
OVERLAP = 0.2               # share of the brain that a shifted brain overlaps at least


class Measure(NamedTuple):
    """What a number says."""

    unit: str
    worse: Literal["high", "low"]
    meaning: str
    remedy: str


MEASURES = {
    "noise": Measure("%", "high", "standard deviation, of the brain's median", "denoise it, or take another scan"),
    "fine_detail": Measure("%", "low", "of the brain's median", "take a scan that was not smoothed, without motion"),
    "contrast": Measure("%", "low", "grey over white matter", "see that it is a FLAIR, or take another scan"),
    "sharpness": Measure("mm", "high", "full width at half maximum of the smoothness",
                         "take a scan that was not smoothed"),
    "slice_thickness": Measure("mm", "high", "distance of the slices", "take a scan on thinner slices"),
    "field_of_view": Measure("%", "high", "cut face, of the brain's largest section",
                             "take a scan that shows the whole brain"),
    "motion": Measure("times chance", "high", "strongest ghost", "take a scan without motion"),
}


class Ghost(NamedTuple):
    """A copy of the image, shifted."""

    strength: float     # of the image
    chance: float       # what the strength of none is about, root mean square


def measure(flair: Volume, brain: np.ndarray, box: Box) -> Quality:
    """All of a scan.

    Noise and fine detail are one number: what a voxel has that its neighbours have not. Much of it is noise; a scan with next
    to none was blurred or smoothed.

    Args:
        flair: as `preprocess.read_scan` gives it, its background 0.
        brain: bool [x, y, z], of its box, as `preprocess.brain_mask` finds it.
        box: the box of the brain on the scan's grid.

    Raises:
        InputError: the record of its preparation is damaged.
    """
    values = np.where(brain, flair.array[tuple(slice(box[axis], box[axis + 3]) for axis in range(3))], np.float32(0))
    known, spacing = record.of_scan(flair), flair.spacing
    prepared = cut_face(brain)
    if known is None:
        thickness, cut = max(spacing), prepared
    else:
        thickness = max(np.linalg.norm(np.asarray(known.source_grid["affine"])[:3, :3], axis=0).max(), max(spacing))
        cut = max(prepared, cut_face(nifti.read_mask(flair.path.parent / record.OWN_BRAIN).array))
    finest = noise(values, brain)
    found = {"noise": finest, "fine_detail": finest, "contrast": contrast(values, brain, spacing),
             "sharpness": smoothness(values, brain, spacing), "slice_thickness": float(thickness), "field_of_view": 100 * cut,
             "motion": motion(values, brain, spacing)}
    return {name: None if value is None or not math.isfinite(value) else float(f"{value:.4g}") for name, value in found.items()}


def noise(values: np.ndarray, brain: np.ndarray) -> float | None:
    """The standard deviation of the noise, % of the brain's median intensity.

    It is the median absolute value of the finest diagonal Haar wavelet coefficients in the brain, over 0.6745 (Donoho, IEEE
    Trans. Information Theory 41, 1995; in 3D, within the object: Coupé et al., Medical Image Analysis 14, 2010): anatomy hardly
    reaches them.
    Noise that was smoothed or interpolated reads lower.

    Args:
        values: float32 [X, Y, Z], 0 outside the brain.
        brain: bool [X, Y, Z].
    """
    details, inside = values, brain
    for axis in range(3):
        (above, below), (here, there) = _pairs(details, axis, 1), _pairs(inside, axis, 1)
        details, inside = above - below, here & there
    level = float(np.median(values[brain]))
    if not inside.any() or level <= 0:
        return None
    return 100 * float(np.median(np.abs(details[inside]))) / (MAD * math.sqrt(8) * level)


def smoothness(values: np.ndarray, brain: np.ndarray, spacing: Sequence[float]) -> float | None:
    """The full width at half maximum of the image's smoothness, mm, of the middle one of the three axes.

    Of a field whose correlation falls off as a Gaussian, differences of neighbours tell its width (Forman et al., Magnetic
    Resonance in Medicine 33, 1995; AFNI's 3dFWHMx, and MRIQC's fwhm). The field's variance is half the mean
    square of differences `SILL_MM` apart, so that a bias field does not count. Thick slices are one axis, and do not count
    either: `slice_thickness` tells them. Args as of `noise`; spacing: mm.
    """
    widths = []
    for axis in range(3):
        lag = min(round(SILL_MM / spacing[axis]), values.shape[axis] // 2)
        near, far = _mean_square(values, brain, axis, 1), _mean_square(values, brain, axis, lag)
        ratio = 1 - near / far if far else 0
        if lag < 4 or not 0 < ratio < 1:
            return None
        widths.append(spacing[axis] * math.sqrt(-2 * math.log(2) / math.log(ratio)))
    return sorted(widths)[1]


def contrast(values: np.ndarray, brain: np.ndarray, spacing: Sequence[float]) -> float | None:
    """How much brighter grey matter is than white, % of their mean (Salat et al., NeuroImage 48, 2009).

    Blocks of the brain are a sum of grey matter, white matter and fluid, by their shares in the MNI152 template, which is
    stretched to the brain's box; the three intensities are those that explain the blocks with the least absolute error. None of
    less than a whole brain. Args as of `smoothness`.
    """
    if np.count_nonzero(brain) * math.prod(spacing) < 1000 * judgement.BRAIN_ML[0]:
        return None
    count = tuple(round(n * side / BLOCK_MM) for n, side in zip(brain.shape, spacing))
    size, shares = _block_sums(np.ones(brain.shape, np.float32), count), _template_shares(count)
    filled = _block_sums(brain.astype(np.float32), count)
    whole = filled > WHOLE * size
    tissue, seen = shares[:, whole].T, _block_sums(values, count)[whole] / filled[whole]
    weights, grey, white = np.ones_like(seen), 0.0, 0.0
    for _ in range(STEPS):
        intensities = np.linalg.lstsq(tissue * weights[:, None], seen * weights, rcond=None)[0]
        grey, white = float(intensities[0]), float(intensities[1])
        errors = np.abs(seen - tissue @ intensities)
        weights = 1 / np.sqrt(np.maximum(errors, 0.1 * np.median(errors) + 1e-6))
    return 200 * (grey - white) / (grey + white) if grey + white > 0 else None


def cut_face(brain: np.ndarray) -> float:
    """The largest of the brain's six outermost slices, as a share of the largest slice along its axis: a brain's end is small.

    Args:
        brain: bool [X, Y, Z] of its box; of a whole grid: 0 where the brain does not reach the edge.
    """
    sections = [brain.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    return float(max(max(areas[0], areas[-1]) / max(areas.max(), 1) for areas in sections))


def motion(values: np.ndarray, brain: np.ndarray, spacing: Sequence[float]) -> float | None:
    """The strongest ghost, in times of what is alike by chance: the largest of the three axes. Args as of `smoothness`."""
    found = [ghost.strength / ghost.chance for ghost in ghosts(values, brain, spacing) if ghost.chance > 0]
    return max(found) if found else None


def ghosts(values: np.ndarray, brain: np.ndarray, spacing: Sequence[float]) -> list[Ghost]:
    """The strongest ghost along each axis, where any can be seen.

    Motion in time with the acquisition leaves copies of the image, shifted along the phase-encoding axis (Wood and Henkelman,
    Medical Physics 12, 1985). A copy of strength s makes the image's details correlate with themselves by s at its shift. So the
    strength is the largest absolute autocorrelation (Wiener-Khinchin, in the brain alone) at shifts of more than `NEAREST_MM`
    within a cone about the axis; the root mean square there is how much parts of a brain are alike by chance, which blur
    raises in both. Shifts so long that less than `OVERLAP` of the brain lies on itself are not seen. Args as of `smoothness`.
    """
    details, inside, sides = _details(values, brain, spacing)
    if not details.any():
        return []
    padded = [fft.next_fast_len(int(1.7 * n), True) for n in details.shape]
    alike, overlap = (fft.irfftn(np.abs(fft.rfftn(array, padded)) ** 2, padded) for array in (details, inside))
    share = overlap / overlap[0, 0, 0]
    correlation = np.abs(alike) / np.maximum(share, OVERLAP) / alike[0, 0, 0]
    shifts = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) * side for n, side in zip(padded, sides)), indexing="ij", sparse=True)
    length = sum(shift ** 2 for shift in shifts)
    cones = [(along > NEAREST_MM) & (length - along ** 2 <= (CONE * along) ** 2) & (share > OVERLAP) for along in shifts]
    found = [correlation[cone] for cone in cones if cone.any()]
    return [Ghost(float(values.max()), math.sqrt(np.mean(np.square(values)))) for values in found]


def _details(values: np.ndarray, brain: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """What is no smooth part of an image in cells of about `CELL_MM`, clipped so that no edge outweighs all others.

    Returns:
        Float32 [x, y, z], of mean 0 in the brain and 0 outside; float32 [x, y, z], 1 in cells of the brain; the cells' sides, mm.
    """
    steps = [max(1, round(CELL_MM / side)) for side in spacing]
    count = tuple(max(n // step, 1) for n, step in zip(brain.shape, steps))
    whole = tuple(slice(0, n * step) for n, step in zip(count, steps))
    sides = [step * side for step, side in zip(steps, spacing)]
    if any(n < step for n, step in zip(brain.shape, steps)):
        return np.zeros((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32), sides
    size = math.prod(steps)
    inside = (_block_sums(brain[whole].astype(np.float32), count) > size - 0.5).astype(np.float32)
    cells = np.where(inside, _block_sums(values[whole], count) / size, np.float32(0))
    smooth, near = (ndimage.gaussian_filter(array, DETAIL, truncate=2.5) for array in (cells, inside))
    there = inside > 0
    if not there.any():
        return inside, inside, sides
    details = (cells - smooth / np.maximum(near, 1e-3))[there]
    limit = 1.5 * details.std()
    details = np.clip(details, -limit, limit)
    cells = np.zeros_like(cells)
    cells[there] = details - details.mean()
    return cells, inside, sides


def _pairs(array: np.ndarray, axis: int, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Each voxel that has another `lag` before it along an axis, and that one."""
    moved = np.moveaxis(array, axis, 0)
    return np.moveaxis(moved[lag:], 0, axis), np.moveaxis(moved[:len(moved) - lag], 0, axis)


def _mean_square(values: np.ndarray, brain: np.ndarray, axis: int, lag: int) -> float:
    """Of the differences of voxels in the brain `lag` apart along an axis; 0 where there are none."""
    (above, below), (here, there) = _pairs(values, axis, lag), _pairs(brain, axis, lag)
    differences = (above - below)[here & there]
    return float(np.mean(np.square(differences, dtype=np.float64))) if differences.size else 0.0


def _block_sums(array: np.ndarray, count: Sequence[int]) -> np.ndarray:
    """Sums [count] over blocks of nearly equal size."""
    for axis, parts in enumerate(count):
        edges = np.linspace(0, array.shape[axis], parts + 1).round().astype(int)
        array = np.add.reduceat(array, edges[:-1], axis=axis)
    return array


@functools.lru_cache(maxsize=64)
def _template_shares(count: tuple[int, ...]) -> np.ndarray:
    """The shares of grey matter, white matter and fluid in blocks of the MNI152 brain's box, float64 [3, *count], RAS+."""
    maps = _template_maps()
    grey, white, size = (_block_sums(array, count) for array in (*maps, np.ones(maps[0].shape, np.float32)))
    return np.stack([grey / size, white / size, 1 - (grey + white) / size]).astype(np.float64)


@functools.lru_cache(maxsize=1)
def _template_maps() -> list[np.ndarray]:
    """Grey and white matter in the box of the MNI152 brain, float32, 0 to 1, RAS+."""
    grey, white = (atlas.template_map(kind)[::-1].astype(np.float32) / 255 for kind in ("gm", "wm"))    # the grid is LAS
    (box,) = ndimage.find_objects((grey + white > 0.5).astype(np.uint8))
    return [grey[box], white[box]]
