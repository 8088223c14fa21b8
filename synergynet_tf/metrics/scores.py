"""The scores of one case, and what a cohort's come to.

To add a metric, write its function in metrics/ and its field in `CaseScores`: the tables, CSV and JSON take it from there.
"""
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.average_precision import average_precision
from synergynet_tf.metrics.extent import bounding_box
from synergynet_tf.metrics.lesion import SIZE_CLASSES, LesionMatch, LesionRule, Lesions, match_lesions
from synergynet_tf.metrics.surface import SurfaceDistances, surface_distances
from synergynet_tf.metrics.voxel import (
    absolute_volume_difference,
    as_mask,
    check_same_shape,
    dice,
    mask_average_precision,
    positive_predictive_value,
    sensitivity,
)

STRATUM_VOXELS = 2048       # of total lesion volume: the paper's small and large loads (paper, 3)


@dataclass(frozen=True)
class SizeScores:
    """What one size class of lesions is worth in one case, by the lesions of each side that are `low` to below `high` mm3.

    A lesion of the class is found, or true, by a lesion of the other side of whatever size. The rates of a class without lesions
    are nan.
    """

    low: float
    high: float
    n_reference: int
    n_detected: int
    n_predicted: int
    n_false: int
    ltpr: float
    lfpr: float
    sn: float                       # share of the voxels in the class's reference lesions that are predicted
    ppv: float                      # share of the voxels in the class's predicted lesions that lie in the reference

    @property
    def name(self) -> str:
        """As in `3-10 mm3`, `250 mm3 and more`."""
        return f"{self.low:g}-{self.high:g} mm3" if math.isfinite(self.high) else f"{self.low:g} mm3 and more"


class Comparison:
    """A case's two masks, and what several metrics need of them; each is computed when it is first asked for.

    Attributes:
        reference, prediction: bool [X, Y, Z].
        probability: [X, Y, Z], or none.
        near_reference, near_prediction: the same within the box about all that is marked, where every metric but AP is the same.
    """

    def __init__(self, reference: np.ndarray, prediction: np.ndarray, probability: np.ndarray | None, spacing: Sequence[float],
                 rule: LesionRule):
        self.reference, self.prediction, self.probability = reference, prediction, probability
        self._spacing, self._rule = spacing, rule
        box = bounding_box(reference | prediction)
        self.near_reference, self.near_prediction = reference[box], prediction[box]

    @functools.cached_property
    def lesions(self) -> LesionMatch:
        """Which lesions are found, and which are false."""
        return match_lesions(self.near_reference, self.near_prediction, self._spacing, self._rule)

    @functools.cached_property
    def distances(self) -> SurfaceDistances:
        """Between the surfaces, mm."""
        return surface_distances(self.near_reference, self.near_prediction, self._spacing)

    @functools.cached_property
    def ap_mask(self) -> float:
        """Average precision of the binary mask."""
        return mask_average_precision(self.reference, self.prediction)

    @property
    def ap(self) -> float:
        """Average precision of the probability map; without one, of the mask."""
        return self.ap_mask if self.probability is None else average_precision(self.reference, self.probability)


@dataclass(frozen=True)
class Metric:
    """A number for one case: how a table heads and rounds it, and how it is computed; nan where it is undefined."""

    heading: str
    decimals: int
    value: Callable[[Comparison], float]


def metric(heading: str, decimals: int, value: Callable[[Comparison], float]) -> Any:
    """A field of `CaseScores` that holds a metric."""
    return dataclasses.field(metadata={"metric": Metric(heading, decimals, value)})


@dataclass(frozen=True, kw_only=True)       # by name: there are many, and a metric may be added anywhere among them
class CaseScores:
    """What one predicted mask is worth. Rates are 0 to 1, higher is better but for lfpr; avd, hd95 and assd: lower is better.

    With an empty reference ap, ap_mask, ltpr, sn, avd, hd95 and assd are nan, dsc, ppv and lesion_f1 are 0 and lfpr 1. With an
    empty prediction lfpr, ppv, hd95 and assd are nan, dsc, ltpr, lesion_f1 and sn are 0, avd is 1, and ap_mask is the share of
    lesion voxels in the grid. With both empty dsc and lesion_f1 are 1, avd, hd95 and assd 0, and the others nan.
    """

    case: str
    patient: str
    source: str = ""                # of the data that it is of, where that is said
    # Dice
    dsc: float = metric("DSC", 4, lambda pair: dice(pair.near_reference, pair.near_prediction))
    # average precision of the probability map; without one, of the mask (equal to ap_mask)
    ap: float = metric("AP", 4, lambda pair: pair.ap)
    # average precision of the binary mask
    ap_mask: float = metric("AP of mask", 4, lambda pair: pair.ap_mask)
    # lesion true and false positive rate
    ltpr: float = metric("LTPR", 4, lambda pair: pair.lesions.counts.ltpr)
    lfpr: float = metric("LFPR", 4, lambda pair: pair.lesions.counts.lfpr)
    # voxel sensitivity and positive predictive value
    sn: float = metric("Sn", 4, lambda pair: sensitivity(pair.near_reference, pair.near_prediction))
    ppv: float = metric("PPV", 4, lambda pair: positive_predictive_value(pair.near_reference, pair.near_prediction))
    lesion_f1: float = metric("Lesion F1", 4, lambda pair: pair.lesions.counts.f1)
    # absolute volume difference, a share of the reference's volume
    avd: float = metric("AVD", 4, lambda pair: absolute_volume_difference(pair.near_reference, pair.near_prediction))
    # 95th percentile and mean of the distances between the surfaces, mm
    hd95: float = metric("HD95, mm", 2, lambda pair: pair.distances.hd95)
    assd: float = metric("ASSD, mm", 2, lambda pair: pair.distances.assd)
    n_reference: int                # lesions
    n_detected: int                 # reference lesions found by the prediction
    n_predicted: int
    n_false: int                    # predicted lesions that meet no reference lesion
    voxels_reference: int
    voxels_predicted: int
    volume_reference_ml: float
    volume_predicted_ml: float
    has_probability: bool           # whether ap is of a probability map
    sizes: tuple[SizeScores, ...]   # of each of lesion.SIZE_CLASSES


def metrics_of(kind: type[CaseScores]) -> dict[str, Metric]:
    """The metrics of `CaseScores` by name, in order."""
    return {field.name: field.metadata["metric"] for field in dataclasses.fields(kind) if "metric" in field.metadata}


@dataclass(frozen=True)
class Statistic:
    """Mean and standard deviation of one score over the cases where it is defined."""

    mean: float             # nan where no case has the score
    sd: float               # of the sample (n - 1); nan with fewer than two cases
    median: float           # nan where no case has the score
    defined: int            # cases in the mean
    undefined: int          # cases left out: their score is nan


@dataclass(frozen=True)
class IsbiScore:
    """A cohort's score in the manner of the ISBI 2015 challenge, out of 100.

    raw = 100 (DSC / 8 + PPV / 8 + LTPR / 4 + (1 - LFPR) / 4 + Corr / 4), of the cohort's means; Corr is the volume correlation.
    """

    raw: float
    normalised: float       # inferred by us, not the challenge's own: 100 - 10 (100 - raw) / (100 - RATERS_RAW)


ISBI_FORMULA = "100 (DSC/8 + PPV/8 + LTPR/4 + (1 - LFPR)/4 + Corr/4)"
RATERS_RAW = 65.0           # inferred: the raw score that the challenge counts as a human rater's, to whom it gives 90


def score_case(reference: np.ndarray, prediction: np.ndarray, probability: np.ndarray | None = None, *,
               spacing: Sequence[float], rule: LesionRule = LesionRule(), case: str = "",       # noqa: B008 (frozen)
               patient: str | None = None) -> CaseScores:
    """Score a predicted mask, and its probability map where there is one.

    Args:
        reference: annotated mask [X, Y, Z], bool or all 0 and 1.
        prediction: predicted mask of the same shape.
        probability: map of the same shape, higher for lesion, finite; none: `ap` is that of the mask.
        spacing: voxel sides, mm, three numbers.
        rule: what one lesion is, and when it is found.
        case: the name that the scores carry.
        patient: whose the case is; none: the case's name.

    Raises:
        InputError: shapes differ, a mask is none, a score is not finite, or the spacing is not three positive numbers.
    """
    if len(spacing) != 3 or not all(math.isfinite(side) and side > 0 for side in spacing):
        raise InputError(f"spacing is {tuple(spacing)}, but three positive numbers (mm) are needed")
    check_same_shape(reference, prediction, "prediction")
    reference, prediction = as_mask(reference, "reference"), as_mask(prediction, "prediction")
    pair = Comparison(reference, prediction, probability, spacing, rule)
    voxels = int(np.count_nonzero(pair.near_reference)), int(np.count_nonzero(pair.near_prediction))
    voxel_ml = math.prod(float(side) for side in spacing) / 1000
    n_reference, n_detected, n_predicted, n_false = pair.lesions.counts
    values: dict[str, Any] = {name: metric.value(pair) for name, metric in metrics_of(CaseScores).items()}
    return CaseScores(
        case=case, patient=case if patient is None else patient,
        **values,
        n_reference=n_reference, n_detected=n_detected, n_predicted=n_predicted, n_false=n_false,
        voxels_reference=voxels[0], voxels_predicted=voxels[1],
        volume_reference_ml=voxels[0] * voxel_ml, volume_predicted_ml=voxels[1] * voxel_ml,
        has_probability=probability is not None,
        sizes=tuple(_size_scores(pair.lesions.of_size(*size), *size) for size in SIZE_CLASSES))


def _size_scores(lesions: LesionMatch, low: float, high: float) -> SizeScores:
    def share(side: Lesions) -> float:
        return float(side.hit.sum() / side.voxels.sum()) if len(side.voxels) else float("nan")

    counts = lesions.counts
    return SizeScores(low, high, *counts, ltpr=counts.ltpr, lfpr=counts.lfpr, sn=share(lesions.reference),
                      ppv=share(lesions.predicted))


def statistic(values: Sequence[float]) -> Statistic:
    """Mean, sample standard deviation and median of the values that are not nan."""
    numbers = np.asarray(values, np.float64)
    defined = numbers[~np.isnan(numbers)]
    mean = float(defined.mean()) if len(defined) else float("nan")
    sd = float(defined.std(ddof=1)) if len(defined) > 1 else float("nan")
    median = float(np.median(defined)) if len(defined) else float("nan")
    return Statistic(mean, sd, median, len(defined), len(values) - len(defined))


def summarise(scores: Sequence[CaseScores]) -> dict[str, Statistic]:
    """A `Statistic` for each plain number of `CaseScores`, by its name. Every case counts alike, whatever its load."""
    return {name: statistic([getattr(case, name) for case in scores]) for name in numbers_of(kind_of(scores))}


def numbers_of(kind: type[CaseScores]) -> tuple[str, ...]:
    """The names of the plain numbers of `CaseScores`."""
    return tuple(field.name for field in dataclasses.fields(kind) if field.type in (float, int))


def kind_of(scores: Sequence[CaseScores]) -> type[CaseScores]:
    """Their class, whose fields say what there is of each case."""
    return type(scores[0]) if scores else CaseScores


def summarise_sizes(scores: Sequence[CaseScores]) -> dict[str, dict[str, Statistic]]:
    """For each size class, by its name, a `Statistic` for each number of `SizeScores`."""
    names = [f.name for f in dataclasses.fields(SizeScores) if f.name not in ("low", "high")]
    classes = zip(*(case.sizes for case in scores))
    return {cases[0].name: {name: statistic([getattr(size, name) for size in cases]) for name in names} for cases in classes}


def volume_correlation(scores: Sequence[CaseScores]) -> float:
    """Pearson's correlation of the reference and the predicted volumes over a cohort, -1 to 1.

    Fewer than two cases, or volumes that are all the same on one side: nan.
    """
    volumes = np.array([(case.volume_reference_ml, case.volume_predicted_ml) for case in scores]).reshape(-1, 2)
    if len(volumes) < 2 or (np.ptp(volumes, axis=0) == 0).any():
        return float("nan")
    return float(np.corrcoef(volumes.T)[0, 1])


def isbi_score(scores: Sequence[CaseScores]) -> IsbiScore:
    """The ISBI 2015 challenge's kind of score; nan where one of its parts is defined in no case.

    The raw formula is that of Carass et al., NeuroImage 148 (2017), 77-102. The challenge then scales it so that 90 stands for a
    human rater. How, it does not print; `normalised` is our inference: what a rater misses of 100 counts as 10 points.
    """
    means = {name: statistic([getattr(case, name) for case in scores]).mean for name in ("dsc", "ppv", "ltpr", "lfpr")}
    raw = 100 * (means["dsc"] / 8 + means["ppv"] / 8 + means["ltpr"] / 4 + (1 - means["lfpr"]) / 4
                 + volume_correlation(scores) / 4)
    return IsbiScore(raw, 100 - 10 * (100 - raw) / (100 - RATERS_RAW))


def strata(scores: Sequence[CaseScores], limit: int = STRATUM_VOXELS) -> dict[str, list[CaseScores]]:
    """The cases whose reference has fewer than `limit` lesion voxels in all, and the others; keys are headings for a table.

    The paper's limit counts voxels of 1 mm; on another grid give the number of voxels that is 2.048 ml.
    """
    return {
        f"under {limit} voxels": [case for case in scores if case.voxels_reference < limit],
        f"{limit} voxels and more": [case for case in scores if case.voxels_reference >= limit],
    }
