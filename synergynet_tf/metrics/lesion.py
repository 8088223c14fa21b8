"""Scores that count lesions: connected components of a mask, found or missed whole.

What one lesion is, when it counts as found and how small it may be is a `LesionRule`; every number here depends on it, so every
report states it. On the public scans connectivities of 6, 18 and 26 give 4518, 3279 and 3099 lesions.
"""
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cc3d
import numpy as np

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.extent import bounding_box
from synergynet_tf.metrics.voxel import as_mask, check_same_shape
from synergynet_tf.structures import Connectivity

CONNECTIVITIES = (6, 18, 26)
SIZE_CLASSES = ((3.0, 10.0), (10.0, 50.0), (50.0, 250.0), (250.0, math.inf))      # mm3, from, to below


@dataclass(frozen=True)
class LesionRule:
    """What counts as a lesion, and as one that was found."""

    connectivity: Connectivity = 18      # 6: voxels that share a face are one lesion; 18: or an edge; 26: or a corner
    overlap: float = 0.0        # share of a lesion's voxels that the other mask must hold; 0: any touch
    min_mm3: float = 0.0        # smaller lesions are not counted, on either side; the other side may still touch them

    def __post_init__(self) -> None:
        if self.connectivity not in CONNECTIVITIES:
            raise InputError(f"connectivity is {self.connectivity!r}, but it must be 6, 18 or 26")
        if not 0 <= self.overlap <= 1:
            raise InputError(f"the overlap is {self.overlap!r}, but it must be 0 (any touch) to 1 (all of a lesion)")
        if not 0 <= self.min_mm3 < math.inf:
            raise InputError(f"the minimum lesion size is {self.min_mm3!r} mm3, but it must be 0 or more")

    def __str__(self) -> str:
        touched = "touched by one voxel" if self.overlap == 0 else f"covered to {self.overlap:.0%}"
        least = f", smaller ones than {self.min_mm3:g} mm3 not counted" if self.min_mm3 else ""
        return f"lesions are {self.connectivity}-connected and found when {touched}{least}"


class LesionCounts(NamedTuple):
    """Lesions of a reference and of a prediction, and how many of each the other one meets by the rule."""

    reference: int          # TPL + FNL
    detected: int           # of the reference, met by the prediction: TPL of LTPR
    predicted: int          # TPL + FPL
    false: int              # of the prediction, not met by the reference: FPL

    @property
    def ltpr(self) -> float:
        """Lesion true positive rate, the share of reference lesions that are found (paper, 3). No reference lesion: nan."""
        return self.detected / self.reference if self.reference else float("nan")

    @property
    def lfpr(self) -> float:
        """Lesion false positive rate, the share of predicted lesions that are false (paper, 3). No predicted lesion: nan.

        Carass et al., NeuroImage 148 (2017), 77-102: the ISBI 2015 challenge counts false positives among predicted lesions.
        """
        return self.false / self.predicted if self.predicted else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of LTPR and 1 - LFPR. No lesion on either side: 1; on one side only, or none found: 0.

        Commowick et al., Scientific Reports 8 (2018), 13650: the F1 score of the MSSEG 2016 challenge.
        """
        if self.reference == self.predicted == 0:
            return 1.0
        if not (self.detected and self.predicted > self.false):
            return 0.0
        return 2 * self.ltpr * (1 - self.lfpr) / (self.ltpr + 1 - self.lfpr)


class Lesions(NamedTuple):
    """The lesions of one mask, one a row, those below the rule's minimum left out."""

    mm3: np.ndarray         # float64 [n], volumes
    voxels: np.ndarray      # int64 [n]
    hit: np.ndarray         # int64 [n], voxels that lie in the other mask
    met: np.ndarray         # bool [n], by the rule: a reference lesion is found, a predicted one is true
    place: np.ndarray       # int64 [n, 3], index of the lesion's voxel that lies nearest its centroid

    def of_size(self, low: float, high: float) -> "Lesions":
        """Those of `low` to below `high` mm3."""
        inside = (self.mm3 >= low) & (self.mm3 < high)
        return Lesions(*(column[inside] for column in self))


class LesionMatch(NamedTuple):
    """Both sides' lesions."""

    reference: Lesions
    predicted: Lesions

    @property
    def counts(self) -> LesionCounts:
        """How many lesions of each mask there are, and how many meet the other one."""
        detected, true = int(self.reference.met.sum()), int(self.predicted.met.sum())
        return LesionCounts(len(self.reference.met), detected, len(self.predicted.met), len(self.predicted.met) - true)

    def of_size(self, low: float, high: float) -> "LesionMatch":
        """Each side's lesions of `low` to below `high` mm3, met by any lesion of the other side, of whatever size."""
        return LesionMatch(self.reference.of_size(low, high), self.predicted.of_size(low, high))


def label_lesions(mask: np.ndarray, connectivity: Connectivity = 18) -> tuple[np.ndarray, int]:
    """Number the lesions of a mask.

    Args:
        mask: [X, Y, Z], bool or all 0 and 1.
        connectivity: 6 (faces), 18 (and edges) or 26 (and corners).

    Returns:
        Labels, unsigned integers [X, Y, Z], 0 for background and 1..n for the lesions; and n.

    Raises:
        InputError: no mask of three axes, or another connectivity.
    """
    if connectivity not in CONNECTIVITIES:
        raise InputError(f"connectivity is {connectivity!r}, but it must be 6, 18 or 26")
    mask = as_mask(mask, "mask")
    if mask.ndim != 3:
        raise InputError(f"the mask has shape {mask.shape}, but three axes are needed to label lesions")
    if not mask.any():
        return np.zeros(mask.shape, np.uint16), 0
    return cc3d.connected_components(mask, connectivity=connectivity, return_N=True, binary_image=True)


def lesion_voxels(mask: np.ndarray, connectivity: Connectivity = 18) -> tuple[np.ndarray, np.ndarray, int]:
    """The voxels of a mask, by its lesions.

    Args:
        mask: as of `label_lesions`.
        connectivity: 6, 18 or 26.

    Returns:
        int64 [n, 3], the voxels, X slowest and Z fastest; int64 [n], the lesion of each, 0, 1, ... in the order of their first
        voxels; and how many lesions there are.

    Raises:
        InputError: as `label_lesions`.
    """
    labels, count = label_lesions(mask, connectivity)
    voxels = np.argwhere(labels)
    label = labels[tuple(voxels.T)].astype(np.int64) - 1
    _, first = np.unique(label, return_index=True)
    order = np.empty(count, np.int64)
    order[np.argsort(first)] = np.arange(count)
    return voxels, order[label], count


def match_lesions(reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0),
                  rule: LesionRule = LesionRule()) -> LesionMatch:        # noqa: B008 (frozen)
    """Label both masks [X, Y, Z], and count for each lesion how much of it the other mask covers.

    Args:
        reference: mask [X, Y, Z], bool or all 0 and 1.
        prediction: mask of the same shape.
        spacing: voxel sides, mm.
        rule: what one lesion is, and when it is found.

    Raises:
        InputError: shapes differ, or one is no mask of three axes.
    """
    check_same_shape(reference, prediction, "prediction")
    reference, prediction = as_mask(reference, "reference"), as_mask(prediction, "prediction")
    box = bounding_box(reference | prediction)
    reference, prediction = reference[box], prediction[box]
    both, voxel_mm3 = reference & prediction, math.prod(float(side) for side in spacing)
    start = np.array([side.start or 0 for side in box])
    return LesionMatch(*(_lesions(mask, both, voxel_mm3, rule, start) for mask in (reference, prediction)))


def count_lesions(reference: np.ndarray, prediction: np.ndarray, connectivity: Connectivity = 18) -> LesionCounts:
    """Count which lesions touch the other mask by one voxel or more.

    Raises:
        InputError: as `match_lesions`.
    """
    return match_lesions(reference, prediction, rule=LesionRule(connectivity)).counts


def central_voxels(places: np.ndarray, owner: np.ndarray, n: int) -> np.ndarray:
    """Of each of `n` sets of voxels, the one nearest the set's centroid; unlike the centroid, it lies in the set.

    Args:
        places: int [m, 3], voxel indices.
        owner: int [m], the set, 0 to n - 1, that each belongs to.
        n: number of sets.

    Returns:
        int64 [n, 3]; the first in the order of `places` among equals, zeros for a set without a voxel.
    """
    counts = np.maximum(np.bincount(owner, minlength=n), 1)
    centroids = np.stack([np.bincount(owner, places[:, axis], n) for axis in range(3)], axis=-1) / counts[:, None]
    distance = ((places - centroids[owner]) ** 2).sum(axis=1)
    order = np.lexsort((distance, owner))
    present, first = np.unique(owner[order], return_index=True)
    central = np.zeros((n, 3), np.int64)
    central[present] = places[order[first]]
    return central


def _lesions(mask: np.ndarray, both: np.ndarray, voxel_mm3: float, rule: LesionRule, start: np.ndarray) -> Lesions:
    labels, n = label_lesions(mask, rule.connectivity)
    owner = labels[mask].astype(np.int64) - 1
    voxels = np.bincount(owner, minlength=n)
    hit = np.bincount(labels[both], minlength=n + 1)[1:]
    met = (hit > 0) & (hit >= rule.overlap * voxels)
    counted = voxels * voxel_mm3 >= rule.min_mm3
    place = central_voxels(np.argwhere(mask), owner, n) + start
    return Lesions(*(column[counted] for column in (voxels * voxel_mm3, voxels, hit, met, place)))
