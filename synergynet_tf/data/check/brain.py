"""Whether a FLAIR shows a whole brain, and nothing but a brain."""
import numpy as np

from synergynet_tf.data import judgement
from synergynet_tf.data.check.images import check_intensities
from synergynet_tf.data.check.problem import Findings
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.preprocess import Box, brain_mask

FLAT_CM2 = 10.0             # of a brain's outermost slice: a round one has 4 at 1 mm, the cut end of the brain stem 8
ENDS = (("left", "right"), ("back", "front"), ("bottom", "top"))


def check_flair(flair: Volume, findings: Findings) -> tuple[np.ndarray, Box] | None:
    """The brain, bool [X, Y, Z] of the whole grid, and its box; None where every voxel is 0. Notes what is wrong with it."""
    with findings.judging("spacing", "flair"):
        findings.notes("flair", judgement.judge_spacing(flair.spacing))
    if not flair.array.any():
        findings.error("intensities", "flair", f"no brain: all {flair.array.size} voxels are 0; give a skull-stripped FLAIR")
        return None
    cropped, box = brain_mask(flair)
    brain = np.zeros(flair.array.shape, bool)
    brain[tuple(slice(low, high) for low, high in zip(box[:3], box[3:]))] = cropped
    values = check_intensities(flair, "flair", brain, box, findings)
    with findings.judging("brain", "flair"):
        judgement.judge_background(flair.array)
        findings.notes("flair", judgement.judge_brain(cropped if values is None else values, cropped, flair.spacing))
        _check_shape(flair, cropped, findings)
        _check_ends(flair, cropped, box, findings)
    return brain, box


def brain_ml(brain: np.ndarray, flair: Volume) -> float:
    """Volume of a brain mask in ml."""
    return float(np.count_nonzero(brain) * np.prod(flair.spacing) / 1000)


def _check_shape(flair: Volume, brain: np.ndarray, findings: Findings) -> None:
    left, front, top = (side * mm for side, mm in zip(brain.shape, flair.spacing))
    if 1.05 * front < max(left, top):
        findings.warn("orientation", "flair", f"the brain is {left:.0f} mm wide, {front:.0f} long and {top:.0f} high, but brains "
                   "are longest from back to front: are the header's axes right?")


def _check_ends(flair: Volume, brain: np.ndarray, box: Box, findings: Findings) -> None:
    """A brain is round: an outermost slice of some size is a cut."""
    for axis, names in enumerate(ENDS):
        pixel = np.prod([mm for other, mm in enumerate(flair.spacing) if other != axis]) / 100
        for end, name in zip((0, -1), names):
            area = np.count_nonzero(np.moveaxis(brain, axis, 0)[end]) * pixel
            edge = box[axis] == 0 if end == 0 else box[axis + 3] == flair.array.shape[axis]
            if area > FLAT_CM2:
                where = "at the volume's face" if edge else "within the volume"
                findings.warn("brain", "flair", f"ends flat at the {name} ({area:.0f} cm2, {where}): is part of the brain cut "
                              "off?")
