"""Whether a FLAIR shows a whole brain, and nothing but a brain."""
import numpy as np

from synergynet_tf.data.check.images import check_intensities
from synergynet_tf.data.check.problem import Findings
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.preprocess import STRIPPED, Box, brain_mask

VOLUME_ML = (700, 2200)     # a small woman's brain with atrophy; the MNI152 brain, larger than life, and its fluid: 2040
FLAT_CM2 = 10.0             # of a brain's outermost slice: a round one has 4 at 1 mm, the cut end of the brain stem 8
ENDS = (("left", "right"), ("back", "front"), ("bottom", "top"))


def check_flair(flair: Volume, found: Findings) -> tuple[np.ndarray, Box] | None:
    """The brain, bool [X, Y, Z] of the whole grid, and its box; none where every voxel is 0. Notes what is amiss with it."""
    if not flair.array.any():
        found.error("intensities", "flair", f"no brain: all {flair.array.size} voxels are 0; give a skull-stripped FLAIR")
        return None
    cropped, box = brain_mask(flair)
    brain = np.zeros(flair.array.shape, bool)
    brain[tuple(slice(low, high) for low, high in zip(box[:3], box[3:]))] = cropped
    check_intensities(flair.array[brain & (flair.array != 0)], "flair", found)
    if _stripped(flair, cropped, found):
        _check_size(flair, cropped, found)
        _check_ends(flair, cropped, box, found)
    return brain, box


def brain_ml(brain: np.ndarray, flair: Volume) -> float:
    """Volume of a brain mask in ml."""
    return float(np.count_nonzero(brain) * np.prod(flair.spacing) / 1000)


def _stripped(flair: Volume, brain: np.ndarray, found: Findings) -> bool:
    """Whether the background is 0 and no skull is on; notes what is not."""
    share, volume = np.count_nonzero(flair.array) / flair.array.size, brain_ml(brain, flair)
    if share <= STRIPPED:
        if volume > VOLUME_ML[1]:
            found.warn("brain", "flair", f"a brain of {volume:.0f} ml, but at most {VOLUME_ML[1]} are expected: strip the skull")
        return volume <= VOLUME_ML[1]
    corners = flair.array[np.ix_(*[(0, -1)] * 3)]
    if corners.min() == corners.max() != 0:
        found.warn("intensities", "flair", f"the background is {corners.flat[0]:g}, but it must be 0 for the brain to be found")
    else:
        found.warn("brain", "flair", f"{100 * share:.0f} % of the voxels are not 0: strip the skull, and set the background to 0")
    return False


def _check_size(flair: Volume, brain: np.ndarray, found: Findings) -> None:
    volume = brain_ml(brain, flair)
    if volume < VOLUME_ML[0]:
        found.warn("brain", "flair", f"a brain of {volume:.0f} ml, but at least {VOLUME_ML[0]} are expected: is part of it "
                   "cut off, or the spacing wrong?")
    left, front, top = (side * mm for side, mm in zip(brain.shape, flair.spacing))
    if 1.05 * front < max(left, top):
        found.warn("orientation", "flair", f"the brain is {left:.0f} mm wide, {front:.0f} long and {top:.0f} high, but brains "
                   "are longest from back to front: are the header's axes right?")


def _check_ends(flair: Volume, brain: np.ndarray, box: Box, found: Findings) -> None:
    """A brain is round: an outermost slice of some size is a cut."""
    for axis, names in enumerate(ENDS):
        pixel = np.prod([mm for other, mm in enumerate(flair.spacing) if other != axis]) / 100
        for end, name in zip((0, -1), names):
            area = np.count_nonzero(np.take(brain, end, axis)) * pixel
            edge = box[axis] == 0 if end == 0 else box[axis + 3] == flair.array.shape[axis]
            if area > FLAT_CM2:
                where = "at the volume's face" if edge else "within the volume"
                found.warn("brain", "flair", f"ends flat at the {name} ({area:.0f} cm2, {where}): is part of the brain cut off?")
