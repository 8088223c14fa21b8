"""From a case's files to what the network sees: the brain box of the z-scored channels, and the way back to the whole grid."""
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np

from synergynet_tf.data import nifti
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.nifti import Volume
from synergynet_tf.errors import InputError

log = logging.getLogger(__name__)

SPACING = (0.7, 1.4)        # mm: outside it the sizes in voxels (small lesions, anchors, patches) no longer mean what they say
STRIPPED = 0.75             # a brain fills half of its own box: more of the whole grid than this is a scan with its skull on
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
    grid: Volume                # the FLAIR as read: the whole grid, and what writing a result needs


def load_case(case: Case, channels: Sequence[str]) -> LoadedCase:
    """Read a case's channels and reference mask, z-score them inside the brain and crop them to its box (paper, 3).

    The brain is FLAIR != 0 (interpolation leaves up to 1 % of its voxels negative) without specks, holes filled. A channel's
    mean and standard deviation are those of its own voxels in the brain that are not exactly 0: channels that were
    skull-stripped one by one lack a few per cent of each other's brain, and such voxels stay 0, as all that was not measured.

    Raises InputError as `nifti.read` does, and where grids differ, the brain is empty or a channel is constant in it. Logs a
    warning where the spacing is far from 1 mm, the skull seems to be on, or lesions lie outside the box.
    """
    flair = nifti.read(case.images["flair"])
    _warn_of_spacing(flair)
    _warn_of_skull(flair)
    brain, box = brain_mask(flair)
    inside = _slices(box)
    image = np.zeros((*brain.shape, len(channels)), np.float32)
    for i, channel in enumerate(channels):
        volume = flair if channel == "flair" else nifti.read(case.images[channel])
        nifti.check_same_grid(flair, volume)
        _z_score(volume, inside, brain, image[..., i])
    return LoadedCase(case, image, brain, _lesions(case, flair, inside), box, flair)


def brain_mask(flair: Volume) -> tuple[np.ndarray, Box]:
    """The brain of a skull-stripped FLAIR: bool [X, Y, Z] cropped to its box, and the box on the canonical grid.

    Components (26-connected) below `SPECK` of the largest are dropped, holes (6-connected) filled.
    Raises InputError when every voxel is 0.
    """
    found = flair.array != 0
    if not found.any():
        raise InputError(f"{flair.path}: no brain: all {found.size} voxels are 0; give a skull-stripped FLAIR")
    outer = _bounds(found)
    labels = cc3d.connected_components(np.ascontiguousarray(found[_slices(outer)]), connectivity=26)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    brain = (sizes >= SPECK * sizes.max())[labels] & (labels > 0)
    inner = _bounds(brain)
    brain = _fill_holes(brain[_slices(inner)])
    start = outer[:3]
    return brain, tuple(int(side + start[i % 3]) for i, side in enumerate(inner))


def uncrop(array: np.ndarray, loaded: LoadedCase) -> np.ndarray:
    """Put an array [X, Y, Z, ...] of the brain box back on the whole canonical grid, 0 outside the box. Inverse of the crop."""
    if array.shape[:3] != loaded.brain.shape:
        raise ValueError(f"the array is {array.shape}, but the brain box of {loaded.case.name} is {loaded.brain.shape}")
    whole = np.zeros(loaded.grid.array.shape + array.shape[3:], array.dtype)
    whole[_slices(loaded.box)] = array
    return whole


def _z_score(volume: Volume, inside: tuple[slice, slice, slice], brain: np.ndarray, out: np.ndarray) -> None:
    """Write the channel's z-scores [X, Y, Z] into `out`, which holds zeros."""
    cropped = volume.array[inside]
    measured = brain & (cropped != 0)
    values = cropped[measured]
    if values.size == 0 or values.min() == values.max():
        value = 0 if values.size == 0 else values[0]
        raise InputError(f"{volume.path}: every voxel in the brain is {value:g}, so there is nothing to see; replace the file")
    mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    out[measured] = np.subtract(values, mean, dtype=np.float64) / deviation     # NumPy 1 would subtract in float32


def _lesions(case: Case, flair: Volume, inside: tuple[slice, slice, slice]) -> np.ndarray | None:
    if case.lesions is None:
        return None
    mask = nifti.read_reference(case.lesions, case.lesions2, case.combine)
    nifti.check_same_grid(flair, mask)
    cropped = np.ascontiguousarray(mask.array[inside])
    lost = np.count_nonzero(mask.array) - np.count_nonzero(cropped)
    if lost:
        log.warning("%s: %d lesion voxels lie outside the box of the brain in %s and are left out", mask.path, lost, flair.path)
    return cropped


def far_from_1mm(spacing: tuple[float, float, float]) -> bool:
    """Whether a side of the voxels lies outside `SPACING`, by more than a header's rounding."""
    return min(spacing) < SPACING[0] - 1e-3 or max(spacing) > SPACING[1] + 1e-3


def _warn_of_spacing(volume: Volume) -> None:
    if far_from_1mm(volume.spacing):
        log.warning("%s: the voxels are %s mm, but sizes are meant for 1 mm (%g to %g): resample to 1 mm for sound results",
                    volume.path, " x ".join(f"{mm:.3g}" for mm in volume.spacing), *SPACING)


def _warn_of_skull(flair: Volume) -> None:
    share = np.count_nonzero(flair.array) / flair.array.size
    if share > STRIPPED:
        log.warning("%s: %.0f %% of the voxels are not 0: is the skull stripped, and the background 0?", flair.path, 100 * share)


def _fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill what no path of faces joins to the outside: one labelling, where repeated dilation would take seconds."""
    outside = cc3d.connected_components(np.pad(~mask, 1, constant_values=True), connectivity=6)
    return (outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1]


def _bounds(mask: np.ndarray) -> Box:
    """The half-open box of a mask that is not empty."""
    low, high = [], []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        low.append(int(hit[0]))
        high.append(int(hit[-1]) + 1)
    return (*low, *high)


def _slices(box: Box) -> tuple[slice, slice, slice]:
    return tuple(slice(box[axis], box[axis + 3]) for axis in range(3))
