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
from synergynet_tf.metrics.scores import SUMMARISED, CaseScores, score_case, statistic, strata, summarise

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
    scores = score_case(reference, prediction, probability, spacing=SPACING, connectivity=6, case="p_1")
    assert (scores.case, scores.has_probability) == ("p_1", True)
    assert (scores.n_reference, scores.n_detected, scores.n_predicted, scores.n_false) == (2, 1, 2, 1)
    assert (scores.ltpr, scores.lfpr, scores.sn, scores.dsc) == (1 / 2, 1 / 2, 4 / 9, 8 / 16)
    assert (scores.voxels_reference, scores.voxels_predicted) == (9, 7)
    assert (scores.volume_reference_ml, scores.volume_predicted_ml) == pytest.approx((.009, .007))
    assert scores.ap == pytest.approx(average_precision_score(reference.ravel(), probability.ravel()), abs=1e-12)
    assert scores.ap_mask == pytest.approx(average_precision_score(reference.ravel(), prediction.ravel()), abs=1e-12)
    assert scores.ap != scores.ap_mask


def test_without_a_map_ap_is_of_the_mask():
    reference, prediction, _ = case_arrays()
    scores = score_case(reference, prediction, spacing=SPACING)
    assert not scores.has_probability and scores.ap == scores.ap_mask > 0


def test_connectivity_is_used():
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert [score_case(mask, mask, spacing=SPACING, connectivity=c).n_reference for c in (6, 18, 26)] == [2, 2, 1]


@pytest.mark.parametrize("annotated, predicted, expected", [
    # dsc, ap, ap_mask, ltpr, lfpr, sn
    (False, False, (1, np.nan, np.nan, np.nan, np.nan, np.nan)),
    (False, True, (0, np.nan, np.nan, np.nan, 1, np.nan)),
    (True, False, (0, 1, 9 / 640, 0, np.nan, 0)),       # the map alone still ranks the lesions first
    (True, True, (1, 1, 1, 1, 0, 1)),
])
def test_what_is_empty(annotated, predicted, expected):
    reference, _, _ = case_arrays()
    scores = score_case(reference & annotated, reference & predicted, reference * .4, spacing=SPACING)
    found = (scores.dsc, scores.ap, scores.ap_mask, scores.ltpr, scores.lfpr, scores.sn)
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
    assert (found.defined, found.undefined) == (3, 1)


@pytest.mark.parametrize("values, mean, defined", [([], math.nan, 0), ([math.nan] * 2, math.nan, 0), ([.7, math.nan], .7, 1)])
def test_too_few_for_a_deviation(values, mean, defined):
    found = statistic(values)
    np.testing.assert_equal((found.mean, found.sd), (mean, math.nan))
    assert (found.defined, found.undefined) == (defined, len(values) - defined)


def with_load(voxels: int, dsc: float) -> CaseScores:
    values = dict.fromkeys(SUMMARISED, 0)
    return CaseScores(**{**values, "case": str(voxels), "has_probability": False, "voxels_reference": voxels, "dsc": dsc})


def test_summary_is_of_each_number():
    summary = summarise([with_load(10, .5), with_load(30, .7)])
    assert set(summary) == set(SUMMARISED)
    assert summary["dsc"].mean == pytest.approx(.6)
    assert summary["voxels_reference"].mean == 20
    assert summary["voxels_reference"].sd == pytest.approx(math.sqrt(200))


def test_strata_part_at_2048_voxels():
    cases = [with_load(voxels, 0) for voxels in (0, 2047, 2048, 9000)]
    small, large = strata(cases).values()
    assert [case.voxels_reference for case in small] == [0, 2047]
    assert [case.voxels_reference for case in large] == [2048, 9000]
    assert list(strata(cases)) == ["under 2048 voxels", "2048 voxels and more"]


def test_no_tensorflow():
    code = ("import sys, synergynet_tf.metrics.scores, synergynet_tf.report.tables, synergynet_tf.evaluate; "
            "print([name for name in ('tensorflow', 'keras') if name in sys.modules])")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == "[]"
