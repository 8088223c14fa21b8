"""Ways to find the brain in a FLAIR with skull; a new one is a function and a line in `METHODS`."""
from collections.abc import Callable, Mapping
from typing import NamedTuple

import nibabel as nib
import numpy as np

from synergynet_tf.data import preprocess
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.raw import edge, tools
from synergynet_tf.data.raw.grid import grid_of, resample, shrunk
from synergynet_tf.errors import InputError

LITRES = (0.4, 2.5)     # of a brain in the scan's field of view
OVERLAP = 0.85          # Dice, of the template's brain and the one that is found: below it one of them went astray


class Aligned(NamedTuple):
    """A case's scans, and the matrices, float64 [4, 4] in mm, that join them."""

    volumes: Mapping[str, Volume]           # by channel, flair among them
    from_flair: Mapping[str, np.ndarray]    # by channel: from the FLAIR's world to that channel's
    from_mni: np.ndarray | None             # affine: from MNI to the FLAIR's world; none: it is not needed


def brain(scans: Aligned, method: str) -> np.ndarray:
    """The brain, bool [X, Y, Z] on the FLAIR's canonical grid.

    Raises:
        InputError: what is found cannot be a brain by its size.
    """
    flair = scans.volumes["flair"]
    mask = METHODS[method](scans)
    litres = np.count_nonzero(mask) * np.prod(flair.spacing) / 1e6
    if not LITRES[0] <= litres <= LITRES[1]:
        raise InputError(f"{flair.path}: no brain found: {litres:.2f} litres were taken for one, but it has {LITRES[0]} to "
                         f"{LITRES[1]}; look at the scan, or try another --steps.skull")
    return mask


def _template(scans: Aligned) -> np.ndarray:
    """The template's brain, carried to the scan by the registration, and fitted to the scan's own edge.

    Raises:
        InputError: the two are too far from each other.
    """
    if scans.from_mni is None:
        raise ValueError("the template's brain needs the registration to it")
    flair = scans.volumes["flair"]
    array, grid = shrunk(flair.array, grid_of(flair), edge.SIDE_MM)
    found, template = edge.brain(array, grid, scans.from_mni), edge.template_on(grid, scans.from_mni)
    both = int(np.count_nonzero(found)) + int(np.count_nonzero(template))
    overlap = 2 * int(np.count_nonzero(found & template)) / max(both, 1)
    if overlap < OVERLAP:
        raise InputError(f"{flair.path}: no brain found: the scan's edge and MNI152's brain, as it was registered, overlap by "
                         f"{overlap:.2f} (Dice), but by {OVERLAP} at least are expected; look at the scan, or try another "
                         "--steps.skull")
    return resample(found, grid, grid_of(flair), np.eye(4)) > 0.5


def _deepbet(scans: Aligned) -> np.ndarray:
    """deepbet's network (Fisch et al. 2024), which was trained on T1, on the T1 scan, or on the FLAIR where there is none."""
    deepbet = tools.load("deepbet")
    flair, channel = scans.volumes["flair"], "t1" if "t1" in scans.volumes else "flair"
    scan = scans.volumes[channel]
    try:
        _, mask, _ = deepbet.BrainExtraction(no_gpu=True).run(nib.Nifti1Image(scan.array, scan.affine))
    except (AssertionError, ValueError, RuntimeError, IndexError) as error:
        raise InputError(f"{scan.path}: no brain found: deepbet fails ({error}); look at the scan, or try another "
                         "--steps.skull") from None
    brain_voxels = np.asarray(mask.dataobj) > 0
    if channel == "flair":
        return brain_voxels
    return resample(brain_voxels, grid_of(scan), grid_of(flair), scans.from_flair[channel]) > 0.5


def _none(scans: Aligned) -> np.ndarray:
    """The scan is stripped already: what is not 0."""
    flair = scans.volumes["flair"]
    inside, box = preprocess.brain_mask(flair)
    mask = np.zeros(flair.array.shape, bool)
    mask[tuple(slice(low, high) for low, high in zip(box[:3], box[3:]))] = inside
    return mask


METHODS: dict[str, Callable[[Aligned], np.ndarray]] = {"template": _template, "deepbet": _deepbet, "none": _none}
