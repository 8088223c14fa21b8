"""Lesions of other cases that may be pasted into a patch, and how they are read: NumPy on the host, no TensorFlow.

A donor is a small cube of another case's memory map, so memory does not grow with the number of cases. What travels is not its
greys but by how much the lesion differs from the tissue about it: the receiver keeps its own tissue.
"""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from synergynet_tf.data.cache import CachedCase
from synergynet_tf.data.crops import read_crop
from synergynet_tf.structures import Array

LONGEST = 16        # voxels: lesions whose box is longer on any side are not pasted
RIM = 4             # voxels read around the longest box: the tissue about the lesion
SIDE = LONGEST + 2 * RIM


class Donors(NamedTuple):
    """K lesions to be pasted into one patch; S = SIDE. A row whose label is 0 holds zeros and is not pasted."""

    contrast: Array         # float16 [K, S, S, S, C], z-score minus that of the tissue about the lesion
    depth: Array            # float16 [K, S, S, S], voxels from the lesion's edge, above 0 inside
    level: Array            # float32 [K, C], z-score of the tissue about the lesion
    label: Array            # int32   [K], the label the lesion gets; 0: none


def eligible(cases: Sequence[CachedCase], min_voxels: int) -> list[np.ndarray]:
    """For each case the rows of its lesion table that may be pasted: small (paper, 2.1), not too long, of enough voxels."""
    rows = []
    for table in (case.table for case in cases):
        longest = (table.boxes[:, 3:] - table.boxes[:, :3]).max(1, initial=0)
        rows.append(np.flatnonzero(table.is_small & (table.voxels >= min_voxels) & (longest <= LONGEST)))
    return rows


def read_donors(cases: Sequence[CachedCase], pool: Sequence[np.ndarray], receiver: int, fractions: np.ndarray, first_label: int,
                slots: int) -> Donors:
    """Read the lesions for one patch.

    Args:
        cases: of the split.
        pool: what `eligible` found in them.
        receiver: position of the patch's own case; it gives lesions only where no other case has any.
        fractions: float [K, 2], 0 to below 1: which case and which of its lesions; negative: none.
        first_label: of the first lesion; the others follow.
        slots: `lesions.max_lesions`; lesions beyond it are left out.
    """
    count, channels = len(fractions), len(cases[receiver].channels)
    read = Donors(np.zeros((count, SIDE, SIDE, SIDE, channels), np.float16), np.zeros((count, SIDE, SIDE, SIDE), np.float16),
                  np.zeros((count, channels), np.float32), np.zeros(count, np.int32))
    if fractions.max(initial=-1) < 0:
        return read
    giving = [n for n, rows in enumerate(pool) if len(rows)]
    giving = [n for n in giving if n != receiver] or giving
    for k, (which, lesion) in enumerate(fractions):
        if which >= 0 and giving and first_label + k <= slots:
            rows = pool[donor := giving[int(float(which) * len(giving))]]
            read.contrast[k], read.depth[k], read.level[k] = _read_donor(cases[donor], int(rows[int(float(lesion) * len(rows))]))
            read.label[k] = first_label + k
    return read


def _read_donor(case: CachedCase, lesion: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contrast, depth and level of row `lesion` of the case's table.

    Outside its edge a lesion only fades: the contrast there is held between none and the lesion's mean, so that a ventricle or
    the brain's border beside it is not pasted too.
    """
    box = case.table.boxes[lesion]
    start = (box[:3] + box[3:] - SIDE) // 2
    image = read_crop(case.image(), start, (SIDE,) * 3).astype(np.float32)
    labels = read_crop(case.instances(), start, (SIDE,) * 3)
    inside = labels == lesion + 1
    depth = np.where(inside, ndimage.distance_transform_edt(inside) - 0.5, 0.5 - ndimage.distance_transform_edt(~inside))
    about = (image != 0) & ((labels == 0) & (depth < -1) & (depth > -RIM))[..., None]
    level = image.mean((0, 1, 2), where=about) if about.any((0, 1, 2)).all() else np.zeros(image.shape[-1], np.float32)
    contrast = np.where(image != 0, image - level, 0)
    mean = contrast[inside].mean(0)
    held = np.clip(contrast, np.minimum(mean, 0), np.maximum(mean, 0))
    return np.where(inside[..., None], contrast, held), depth, level
