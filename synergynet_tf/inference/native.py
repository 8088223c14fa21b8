"""A prediction on a prepared scan, carried back to the space that the scan was taken in."""
import math
from pathlib import Path

import numpy as np

from synergynet_tf.data import nifti
from synergynet_tf.data.raw import record
from synergynet_tf.data.raw.grid import grid_of
from synergynet_tf.inference.lesions import LesionLimits, least_voxels, lesion_mask
from synergynet_tf.inference.predictor import CasePrediction


def write_native(folder: Path, prediction: CasePrediction) -> Path | None:
    """Write `<case>_mask_native.nii.gz` (uint8) on the raw FLAIR's own grid, where the case came from `prepare --raw`.

    The probability is carried, and then thresholded: a mask carried as such would lose more of its small lesions. What is above
    the threshold and no lesion is left out before, since a carried probability is lower than `infer.min_peak` asks for.

    Returns:
        The file, or None where the scan was not prepared here.

    Raises:
        InputError: the prepared case is damaged, or the file cannot be written.
    """
    flair = prediction.loaded.grid
    known = record.of_scan(flair)
    if known is None:
        return None
    segmentation = prediction.segmentation
    dropped = (segmentation.probability > segmentation.threshold) & ~segmentation.mask
    probability = prediction.on_grid(np.where(dropped, np.float32(0), segmentation.probability))
    carried, grid = record.to_own_space(probability, grid_of(flair), flair.path.parent, known)
    path = folder / f"{prediction.case.name}_mask_native.nii.gz"
    least = least_voxels(prediction.config.infer.min_lesion, math.prod(grid.spacing))
    mask = lesion_mask(carried, segmentation.threshold, LesionLimits(least, connectivity=prediction.config.lesions.connectivity))
    nifti.write_like(path, mask, grid, np.uint8)
    return path
