"""The checks of a reference mask, by itself and beside the brain."""
import dataclasses

import cc3d
import numpy as np

from synergynet_tf.config import LesionConfig
from synergynet_tf.data import nifti
from synergynet_tf.data.check import images
from synergynet_tf.data.check.problem import SECOND, Findings
from synergynet_tf.data.identity import voxel_digest
from synergynet_tf.data.instances import check_room
from synergynet_tf.data.layouts import LESIONS, Case
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.preprocess import Box
from synergynet_tf.errors import InputError

OUTSIDE = 0.01      # of the lesions' voxels: 3 in 50 000 at most in the scans at hand
HUGE = 0.10         # of the brain: 5 % at most in the scans at hand
SPECKS = 0.5        # of the lesions are single voxels: 10 % at most in the scans at hand
MANY = 10           # lesions, for a share of them to mean something


def read_reference(case: Case, flair: Volume | None, findings: Findings) -> tuple[Volume | None, dict[str, str | None]]:
    """The mask that a training would take, and the digests of the files; none where one of them cannot be used."""
    masks: list[Volume] = []
    digests: dict[str, str | None] = {}
    for file in (LESIONS, SECOND) if case.combine else (LESIONS,):
        volume = images.read(file, findings)
        if volume is None:
            return None, digests
        try:
            mask = nifti.as_mask(volume)
        except InputError as error:
            findings.error("mask", file, str(error))
            return None, digests
        digests[file] = voxel_digest(mask.array)
        reference = masks[0] if flair is None and masks else flair
        if reference is not None and not images.same_grid(reference, mask, file, findings):
            return None, digests
        masks.append(mask)
    if case.combine and len(masks) == 2:
        return dataclasses.replace(masks[0], array=nifti.COMBINE[case.combine](masks[0].array, masks[1].array)), digests
    return masks[0], digests


def check_lesions(mask: Volume, config: LesionConfig, findings: Findings) -> tuple[int, float]:
    """How many lesions a mask holds, and their volume in ml; notes what is implausible."""
    voxels = np.count_nonzero(mask.array)
    if voxels == 0:
        findings.warn("lesions", LESIONS, "the mask is empty: is the patient without lesions, or not yet annotated?")
        return 0, 0.0
    labels = cc3d.connected_components(np.ascontiguousarray(mask.array), connectivity=config.connectivity)
    sizes = np.bincount(labels.ravel())[1:]
    try:
        check_room(len(sizes), config, "")
    except InputError as error:
        findings.error("lesions", LESIONS, str(error).removeprefix("case : "))
    single = np.count_nonzero(sizes == 1)
    if len(sizes) >= MANY and single > SPECKS * len(sizes):
        findings.warn("lesions", LESIONS, f"{single} of {len(sizes)} lesions are single voxels: is it noise, or resampled badly?")
    return len(sizes), float(voxels * np.prod(mask.spacing) / 1000)


def check_in_brain(mask: Volume, flair: Volume, brain: np.ndarray, box: Box, findings: Findings) -> None:
    """A mask on the FLAIR's grid: within the brain, not of its size, and brighter than it."""
    voxels = np.count_nonzero(mask.array)
    if voxels == 0:
        return
    outside = np.count_nonzero(mask.array & ~brain)
    if outside > OUTSIDE * voxels:
        inside = tuple(slice(low, high) for low, high in zip(box[:3], box[3:]))
        lost = voxels - np.count_nonzero(mask.array[inside])
        findings.warn("mask", LESIONS, f"{100 * outside / voxels:.0f} % of the lesions' voxels lie outside the brain in flair, "
                   f"and {lost} outside its box, which are left out: is it this scan's mask?")
    share = voxels / np.count_nonzero(brain)
    if share > HUGE:
        findings.warn("mask", LESIONS, f"covers {100 * share:.0f} % of the brain: is it a mask of lesions?")
    values = flair.array[brain & (flair.array != 0)]
    lesions = flair.array[mask.array & brain & (flair.array != 0)]
    if lesions.size and values.size and lesions.mean(dtype=np.float64) < values.mean(dtype=np.float64):
        findings.warn("lesions", LESIONS, "darker on flair than the brain's mean, but lesions are bright there: is it this "
                   "scan's mask, the right way round?")
