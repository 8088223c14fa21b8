"""Scores of a case and of a cohort, by hand; and that the module stays free of TensorFlow."""
import math
import pathlib
import statistics
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import (
    CaseScores,
    isbi_score,
    numbers_of,
    score_case,
    statistic,
    strata,
    summarise,
    summarise_sizes,
    volume_correlation,
)

ROOT = pathlib.Path(__file__).parents[2]
SPACING = (0.5, 1.0, 2.0)       # 1 mm3, by unlike sides


def case_arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two reference lesions (8 and 1 voxels), two predicted (6 voxels, 4 of them right, and 1 false), and a map."""
    reference, prediction = np.zeros((10, 8, 8), bool), np.zeros((10, 8, 8), bool)
    reference[1:3, 1:3, 1:3] = True
    reference[8, 6, 6] = True
    prediction[2, 1:4, 1:3] = True
    prediction[5, 5, 5] = True
    probability = np.where(prediction, .9, np.where(reference, .3, .1)).astype(np.float32)
    return reference, prediction, probability


def test_by_hand():
    reference, prediction, probability = case_arrays()
    scores = score_case(reference, prediction, probability, spacing=SPACING, rule=LesionRule(6), case="p_1")
    assert (scores.case, scores.has_probability) == ("p_1", True)
    assert (scores.n_reference, scores.n_detected, scores.n_predicted, scores.n_false) == (2, 1, 2, 1)
    assert (scores.ltpr, scores.lfpr, scores.sn, scores.dsc) == (1 / 2, 1 / 2, 4 / 9, 8 / 16)
    assert (scores.voxels_reference, scores.voxels_predicted) == (9, 7)
    assert (scores.volume_reference_ml, scores.volume_predicted_ml) == pytest.approx((.009, .007))
    assert scores.ap == pytest.approx(average_precision_score(reference.ravel(), probability.ravel()), abs=1e-12)
    assert scores.ap_mask == pytest.approx(average_precision_score(reference.ravel(), prediction.ravel()), abs=1e-12)
    assert scores.ap != scores.ap_mask


def test_what_stands_beside_the_paper_s_by_hand():
    reference, prediction, _ = case_arrays()
    scores = score_case(reference, prediction, spacing=SPACING, patient="p")
    assert (scores.patient, scores.ppv, scores.avd) == ("p", 4 / 7, 2 / 9)
    assert scores.lesion_f1 == 1 / 2        # harmonic mean of 1/2 and 1/2
    small, *others = scores.sizes
    # Of 3 to 10 mm3: the reference's lesion of 8, found; the predicted one of 6, true. The single voxels belong to no class.
    assert small.name == "3-10 mm3" and (small.n_reference, small.n_detected, small.n_predicted, small.n_false) == (1, 1, 1, 0)
    assert (small.ltpr, small.lfpr, small.sn, small.ppv) == (1, 0, 4 / 8, 4 / 6)
    assert [size.name for size in others] == ["10-50 mm3", "50-250 mm3", "250 mm3 and more"]
    for size in others:
        assert size.n_reference == size.n_predicted == 0 and math.isnan(size.ltpr) and math.isnan(size.ppv)


def test_classes_and_rule_are_in_mm3():
    mask = np.zeros((30, 8, 8), bool)
    mask[:5, 0, 0] = mask[10:20, 0, 0] = True
    counted = {spacing: [size.n_reference for size in score_case(mask, mask, spacing=spacing).sizes]
               for spacing in ((1, 1, 1), (1, 1, 2), (5, 5, 1))}
    assert counted == {(1, 1, 1): [1, 1, 0, 0], (1, 1, 2): [0, 2, 0, 0], (5, 5, 1): [0, 0, 1, 1]}
    assert score_case(mask, mask, spacing=(1, 1, 1), rule=LesionRule(min_mm3=6)).n_reference == 1


def test_without_a_map_ap_is_of_the_mask():
    reference, prediction, _ = case_arrays()
    scores = score_case(reference, prediction, spacing=SPACING)
    assert not scores.has_probability and scores.ap == scores.ap_mask > 0


def test_connectivity_is_used():
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert [score_case(mask, mask, spacing=SPACING, rule=LesionRule(c)).n_reference for c in (6, 18, 26)] == [2, 2, 1]


@pytest.mark.parametrize("annotated, predicted, expected", [
    # dsc, ap, ap_mask, ltpr, lfpr, sn, ppv, lesion_f1, avd, hd95, assd
    (False, False, (1, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 1, 0, 0, 0)),
    (False, True, (0, np.nan, np.nan, np.nan, 1, np.nan, 0, 0, np.nan, np.nan, np.nan)),
    (True, False, (0, 1, 9 / 640, 0, np.nan, 0, np.nan, 0, 1, np.nan, np.nan)),       # the map alone still ranks lesions first
    (True, True, (1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0)),
])
def test_what_is_empty(annotated, predicted, expected):
    reference, _, _ = case_arrays()
    _, predicted_mask, _ = case_arrays()
    prediction = (reference if annotated else predicted_mask) & predicted
    scores = score_case(reference & annotated, prediction, reference * .4, spacing=SPACING)
    found = (scores.dsc, scores.ap, scores.ap_mask, scores.ltpr, scores.lfpr, scores.sn, scores.ppv, scores.lesion_f1, scores.avd,
             scores.hd95, scores.assd)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, 1, -1), (1, 1, math.nan), (1, 1, math.inf)])
def test_spacing_is_three_positive_numbers(spacing):
    with pytest.raises(InputError, match="spacing"):
        score_case(np.ones((2, 2, 2)), np.ones((2, 2, 2)), spacing=spacing)


@pytest.mark.parametrize("which", [1, 2])
def test_shapes_must_agree(which):
    arrays = list(case_arrays())
    arrays[which] = arrays[which][1:]
    with pytest.raises(InputError, match=r"\(10, 8, 8\).*\(9, 8, 8\)"):
        score_case(*arrays, spacing=SPACING)


def test_mean_and_sample_deviation():
    found = statistic([.2, math.nan, .9, .4])
    assert found.mean == pytest.approx(statistics.mean([.2, .9, .4]))
    assert found.sd == pytest.approx(statistics.stdev([.2, .9, .4]))
    assert found.median == .4
    assert (found.defined, found.undefined) == (3, 1)


@pytest.mark.parametrize("values, mean, defined", [([], math.nan, 0), ([math.nan] * 2, math.nan, 0), ([.7, math.nan], .7, 1)])
def test_too_few_for_a_deviation(values, mean, defined):
    found = statistic(values)
    np.testing.assert_equal((found.mean, found.sd), (mean, math.nan))
    assert (found.defined, found.undefined) == (defined, len(values) - defined)


def with_load(voxels: int, dsc: float) -> CaseScores:
    case, = cohort(voxels_reference=[voxels], dsc=[dsc])
    return case


def test_summary_is_of_each_number():
    summary = summarise([with_load(10, .5), with_load(30, .7)])
    assert set(summary) == set(numbers_of(CaseScores))
    assert summary["dsc"].mean == pytest.approx(.6)
    assert summary["voxels_reference"].mean == 20
    assert summary["voxels_reference"].sd == pytest.approx(math.sqrt(200))


def test_strata_part_at_2048_voxels():
    cases = [with_load(voxels, 0) for voxels in (0, 2047, 2048, 9000)]
    small, large = strata(cases).values()
    assert [case.voxels_reference for case in small] == [0, 2047]
    assert [case.voxels_reference for case in large] == [2048, 9000]
    assert list(strata(cases)) == ["under 2048 voxels", "2048 voxels and more"]


def cohort(**columns: list[float]) -> list[CaseScores]:
    """Cases with these numbers, and 0 for the others."""
    zero = dict.fromkeys(numbers_of(CaseScores), 0) | {"case": "", "patient": "", "sizes": (), "has_probability": False}
    return [CaseScores(**{**zero, **dict(zip(columns, row))}) for row in zip(*columns.values())]


def test_volume_correlation_by_hand():
    def of(reference, predicted):
        return volume_correlation(cohort(volume_reference_ml=reference, volume_predicted_ml=predicted))

    assert of([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert of([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert of([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(.8)
    assert math.isnan(of([1], [1])) and math.isnan(of([], [])) and math.isnan(of([1, 1], [1, 2]))


def test_isbi_score_by_hand():
    score = isbi_score(cohort(dsc=[.5, .7], ppv=[.8, math.nan], ltpr=[.4, .4], lfpr=[.1, .3], volume_reference_ml=[1, 2],
                              volume_predicted_ml=[1, 3]))
    assert score.raw == pytest.approx(100 * (.6 / 8 + .8 / 8 + .4 / 4 + .8 / 4 + 1 / 4))
    rater = 100 - score.raw
    assert score.normalised == pytest.approx(100 - 10 * rater / 35)      # a raw 65 is a rater's, and 90
    assert math.isnan(isbi_score(cohort(dsc=[1])).raw)


def test_sizes_are_summarised_class_by_class():
    reference, prediction, _ = case_arrays()
    one, two = (score_case(reference, mask, spacing=SPACING) for mask in (prediction, prediction & False))
    summary = summarise_sizes([one, two])["3-10 mm3"]
    assert (summary["ltpr"].mean, summary["ltpr"].defined) == (.5, 2)
    assert (summary["ppv"].mean, summary["ppv"].undefined) == (4 / 6, 1)
    assert summarise_sizes([]) == {}


def test_no_tensorflow():
    code = ("import sys, synergynet_tf.metrics.scores, synergynet_tf.report.tables, synergynet_tf.evaluate; "
            "print([name for name in ('tensorflow', 'keras') if name in sys.modules])")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == "[]"
