"""The scores of one case, and their mean and standard deviation over a cohort."""
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.lesion import count_lesions
from synergynet_tf.metrics.voxel import (
    as_mask,
    average_precision,
    check_same_shape,
    dice,
    mask_average_precision,
    sensitivity,
)

STRATUM_VOXELS = 2048       # of total lesion volume: the paper's small and large loads (paper, 3)


@dataclass(frozen=True)
class CaseScores:
    """What one predicted mask is worth. Rates are 0 to 1, higher is better but for lfpr.

    With an empty reference ap, ap_mask, ltpr and sn are nan, dsc is 0 and lfpr 1. With an empty prediction lfpr is nan, dsc, ltpr
    and sn are 0, and ap_mask is the share of lesion voxels in the grid. With both empty dsc is 1 and the five others are nan.
    """

    case: str
    dsc: float                      # Dice
    ap: float                       # average precision of the probability map; without one, of the mask (equal to ap_mask)
    ap_mask: float                  # average precision of the binary mask
    ltpr: float                     # lesion true positive rate
    lfpr: float                     # lesion false positive rate
    sn: float                       # voxel sensitivity
    n_reference: int                # lesions
    n_detected: int                 # reference lesions touched by the prediction
    n_predicted: int
    n_false: int                    # predicted lesions that touch no reference lesion
    voxels_reference: int
    voxels_predicted: int
    volume_reference_ml: float
    volume_predicted_ml: float
    has_probability: bool           # whether ap is of a probability map


@dataclass(frozen=True)
class Statistic:
    """Mean and standard deviation of one score over the cases where it is defined."""

    mean: float             # nan where no case has the score
    sd: float               # of the sample (n - 1); nan with fewer than two cases
    defined: int            # cases in the mean
    undefined: int          # cases left out: their score is nan


SUMMARISED = tuple(f.name for f in dataclasses.fields(CaseScores) if f.name not in ("case", "has_probability"))


def score_case(reference: np.ndarray, prediction: np.ndarray, probability: np.ndarray | None = None, *,
               spacing: Sequence[float], connectivity: int = 18, case: str = "") -> CaseScores:
    """Score a predicted mask, and its probability map where there is one.

    Args:
        reference: annotated mask [X, Y, Z], bool or all 0 and 1.
        prediction: predicted mask of the same shape.
        probability: map of the same shape, higher for lesion, finite; none: `ap` is that of the mask.
        spacing: voxel sides, mm, three numbers.
        connectivity: 6, 18 or 26; what one lesion is.
        case: the name that the scores carry.

    Raises:
        InputError: shapes differ, a mask is none, a score is not finite, or the spacing is not three positive numbers.
    """
    if len(spacing) != 3 or not all(math.isfinite(side) and side > 0 for side in spacing):
        raise InputError(f"spacing is {tuple(spacing)}, but three positive numbers (mm) are needed")
    check_same_shape(reference, prediction, "prediction")
    reference, prediction = as_mask(reference, "reference"), as_mask(prediction, "prediction")
    lesions = count_lesions(reference, prediction, connectivity)
    ap_mask = mask_average_precision(reference, prediction)
    voxels = int(np.count_nonzero(reference)), int(np.count_nonzero(prediction))
    voxel_ml = math.prod(float(side) for side in spacing) / 1000
    return CaseScores(
        case=case, dsc=dice(reference, prediction),
        ap=ap_mask if probability is None else average_precision(reference, probability), ap_mask=ap_mask,
        ltpr=lesions.ltpr, lfpr=lesions.lfpr, sn=sensitivity(reference, prediction),
        n_reference=lesions.reference, n_detected=lesions.detected, n_predicted=lesions.predicted, n_false=lesions.false,
        voxels_reference=voxels[0], voxels_predicted=voxels[1],
        volume_reference_ml=voxels[0] * voxel_ml, volume_predicted_ml=voxels[1] * voxel_ml,
        has_probability=probability is not None)


def statistic(values: Sequence[float]) -> Statistic:
    """Mean and sample standard deviation of the values that are not nan."""
    values = np.asarray(values, np.float64)
    defined = values[~np.isnan(values)]
    mean = float(defined.mean()) if len(defined) else float("nan")
    sd = float(defined.std(ddof=1)) if len(defined) > 1 else float("nan")
    return Statistic(mean, sd, len(defined), len(values) - len(defined))


def summarise(scores: Sequence[CaseScores]) -> dict[str, Statistic]:
    """A `Statistic` for each number of `CaseScores`, by its name. Every case counts alike, whatever its load."""
    return {name: statistic([getattr(case, name) for case in scores]) for name in SUMMARISED}


def strata(scores: Sequence[CaseScores], limit: int = STRATUM_VOXELS) -> dict[str, list[CaseScores]]:
    """The cases whose reference has fewer than `limit` lesion voxels in all, and the others; keys are headings for a table.

    The paper's limit counts voxels of 1 mm; on another grid give the number of voxels that is 2.048 ml.
    """
    return {
        f"under {limit} voxels": [case for case in scores if case.voxels_reference < limit],
        f"{limit} voxels and more": [case for case in scores if case.voxels_reference >= limit],
    }
