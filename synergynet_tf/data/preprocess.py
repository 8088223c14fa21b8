"""From a case's files to what the network sees: the brain box of the z-scored channels, and the way back to the whole grid."""
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cc3d
import numpy as np

from synergynet_tf.data import judgement, nifti
from synergynet_tf.data.judgement import Note
from synergynet_tf.data.layouts import LESIONS, Case
from synergynet_tf.data.nifti import Volume
from synergynet_tf.errors import InputError
from synergynet_tf.metrics.extent import bounding_box

SPECK = 0.01                # components below this share of the largest are dirt outside the brain

Box = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """A case cropped to the box of its brain, [X, Y, Z] being the box's sides."""

    case: Case
    image: np.ndarray           # float32 [X, Y, Z, C], z-scored, 0 outside the brain
    brain: np.ndarray           # bool [X, Y, Z]
    lesions: np.ndarray | None  # bool [X, Y, Z], where the case has a reference mask
    box: Box                    # of the brain on the canonical grid, half-open voxels
    grid: Volume                # the FLAIR, its background 0: the whole grid, and what writing a result needs
    notes: tuple[str, ...] = ()     # what in the files was mended, or is to be looked at, each beginning with its channel


def load_case(case: Case, channels: Sequence[str]) -> LoadedCase:
    """Read a case's channels and reference mask, judge them, z-score them inside the brain and crop them to its box (paper, 3).

    The brain is FLAIR != 0 (interpolation leaves up to 1 % of its voxels negative) without specks, holes filled. A channel's
    mean and standard deviation are those of its own voxels in the brain that are not exactly 0: channels that were
    skull-stripped one by one lack a few per cent of each other's brain, and such voxels stay 0, as all that was not measured.
    What the rules of `judgement` mend or find strange stands in the notes, and so do lesions outside the box.

    Raises:
        InputError: as `nifti.read`, or grids differ, the brain is empty, or the rules of `judgement` refuse the scan.
    """
    flair = read_scan(case.images["flair"])
    brain, box, values, findings = find_brain(flair)
    notes = [f"flair: {note.text}" for note in (*flair.notes, *findings)]
    scores = {"flair": _z_scored(values)}
    for channel in channels:
        if channel == "flair":
            continue
        volume = read_scan(case.images[channel])
        nifti.check_same_grid(flair, volume)
        values, findings = measured(volume, brain, box)
        scores[channel] = _z_scored(values)
        notes += [f"{channel}: {note.text}" for note in (*volume.notes, *findings)]
    image = np.stack([scores[channel] for channel in channels], axis=-1)
    lesions, findings = _lesions(case, flair, box)
    return LoadedCase(case, image, brain, lesions, box, flair, (*notes, *(f"{LESIONS}: {note.text}" for note in findings)))


def read_scan(path: Path) -> Volume:
    """Read a channel and settle its background.

    Raises:
        InputError: as `nifti.read` does.
    """
    return settled(nifti.read(path, finite=False))


def settled(volume: Volume) -> Volume:
    """A channel as read, with its background at 0 where it is certain what the background is.

    NaN may be the background where none lies within what is not NaN, holes filled.

    Raises:
        InputError: NaN or Inf.
    """
    value = judgement.background(volume.array)
    if value is not None and np.isnan(value):
        there = ~np.isnan(volume.array)
        value = value if np.array_equal(fill_holes(there), there) else None
    if value is not None:
        array, notes = judgement.without_background(volume.array, value)
        volume = dataclasses.replace(volume, array=array, notes=(*volume.notes, *notes))
    nifti.require_finite(volume)
    return volume


def find_brain(flair: Volume) -> tuple[np.ndarray, Box, np.ndarray, list[Note]]:
    """The brain of a FLAIR that was `settled`: `brain_mask`, what is `measured` in it, and notes.

    Raises:
        InputError: the rules of `judgement` refuse the scan.
    """
    with named(flair.path):
        notes = judgement.judge_spacing(flair.spacing)
        judgement.judge_background(flair.array)
    brain, box = brain_mask(flair)
    try:
        values, clipped = measured(flair, brain, box)
    except InputError:
        with named(flair.path):     # a head holds what no brain does: that it is one says more
            judgement.judge_brain(np.where(brain, flair.array[_slices(box)], np.float32(0)), brain, flair.spacing)
        raise
    with named(flair.path):
        return brain, box, values, [*notes, *clipped, *judgement.judge_brain(values, brain, flair.spacing)]


def measured(volume: Volume, brain: np.ndarray, box: Box) -> tuple[np.ndarray, list[Note]]:
    """What a channel measured in the brain, outliers clipped: float32 [X, Y, Z] of its box, 0 elsewhere; and notes.

    Raises:
        InputError: it is nothing, constant, a label map, or far off in many voxels.
    """
    values = np.where(brain, volume.array[_slices(box)], np.float32(0))
    there = values != 0
    with named(volume.path):
        clipped, notes = judgement.within_fences(values[there])
    if notes:
        values[there] = clipped
    return values, notes


@contextlib.contextmanager
def named(path: object) -> Iterator[None]:
    """Say of which file an InputError is."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{path}: {error}") from None


def brain_mask(flair: Volume) -> tuple[np.ndarray, Box]:
    """The brain of a skull-stripped FLAIR: bool [X, Y, Z] cropped to its box, and the box on the canonical grid.

    Components (26-connected) below `SPECK` of the largest are dropped, holes (6-connected) filled.

    Raises:
        InputError: every voxel is 0.
    """
    nonzero = flair.array != 0
    if not nonzero.any():
        raise InputError(f"{flair.path}: no brain: all {nonzero.size} voxels are 0; give a skull-stripped FLAIR")
    outer = _bounds(nonzero)
    labels = cc3d.connected_components(np.ascontiguousarray(nonzero[_slices(outer)]), connectivity=26)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    brain = (sizes >= SPECK * sizes.max())[labels] & (labels > 0)
    inner = _bounds(brain)
    brain = fill_holes(brain[_slices(inner)])
    x0, y0, z0, x1, y1, z1 = (int(side + outer[i % 3]) for i, side in enumerate(inner))
    return brain, (x0, y0, z0, x1, y1, z1)


def uncrop(array: np.ndarray, loaded: LoadedCase) -> np.ndarray:
    """Put an array [X, Y, Z, ...] of the brain box back on the whole canonical grid, 0 outside the box. Inverse of the crop."""
    if array.shape[:3] != loaded.brain.shape:
        raise ValueError(f"the array is {array.shape}, but the brain box of {loaded.case.name} is {loaded.brain.shape}")
    whole = np.zeros(loaded.grid.array.shape + array.shape[3:], array.dtype)
    whole[_slices(loaded.box)] = array
    return whole


def _z_scored(values: np.ndarray) -> np.ndarray:
    """The z-scores of what is not 0, float32; 0 elsewhere."""
    there = values != 0
    known = values[there]
    mean, deviation = known.mean(dtype=np.float64), known.std(dtype=np.float64)
    scores = np.zeros_like(values)
    scores[there] = np.subtract(known, mean, dtype=np.float64) / deviation      # NumPy 1 would subtract in float32
    return scores


def _lesions(case: Case, flair: Volume, box: Box) -> tuple[np.ndarray | None, list[Note]]:
    if case.lesions is None:
        return None, []
    mask = nifti.read_reference(case.lesions, case.lesions2, case.combine)
    nifti.check_same_grid(flair, mask)
    cropped = np.ascontiguousarray(mask.array[_slices(box)])
    lost = np.count_nonzero(mask.array) - np.count_nonzero(cropped)
    return cropped, [Note("mask", f"{lost} lesion voxels lie outside the box of the brain and are left out")] if lost else []


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill what no path of faces joins to the outside: one labelling, where repeated dilation would take seconds."""
    outside = cc3d.connected_components(np.pad(~mask, 1, constant_values=True), connectivity=6)
    return (outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1]


def _bounds(mask: np.ndarray) -> Box:
    """The half-open box of a mask that is not empty."""
    x, y, z = bounding_box(mask)
    return x.start, y.start, z.start, x.stop, y.stop, z.stop


def _slices(box: Box) -> tuple[slice, slice, slice]:
    x, y, z = (slice(box[axis], box[axis + 3]) for axis in range(3))
    return x, y, z
