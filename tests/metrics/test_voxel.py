"""Voxel scores against scikit-learn, hand-computed masks and properties."""
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, f1_score, recall_score

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.average_precision import average_precision
from synergynet_tf.metrics.voxel import as_mask, dice, mask_average_precision, sensitivity

SHAPE = (3, 4, 5)
masks = hnp.arrays(bool, SHAPE)
pairs = st.tuples(masks, masks)


def by_hand() -> tuple[np.ndarray, np.ndarray]:
    """Reference of 4 voxels, prediction of 6, 3 in both, on a grid of 60."""
    reference, prediction = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    reference[0, 0, :4] = True
    prediction[0, 0, 1:5] = True
    prediction[2, 0, :2] = True
    return reference, prediction


def test_by_hand():
    reference, prediction = by_hand()
    assert dice(reference, prediction) == 2 * 3 / 10
    assert sensitivity(reference, prediction) == 3 / 4
    assert mask_average_precision(reference, prediction) == pytest.approx(3 / 4 * 3 / 6 + 1 / 4 * 4 / 60, abs=1e-15)


def test_average_precision_by_hand():
    reference = np.array([[[1, 1, 0, 0, 1, 0]]])
    scores = np.array([[[.9, .5, .7, .5, .1, .0]]])
    # thresholds .9: 1 of 1, then .5: 2 of 4 (the .7 and a tied .5 come with it), then .1: 3 of 5
    assert average_precision(reference, scores) == pytest.approx((1 + 2 / 4 + 3 / 5) / 3, abs=1e-15)


@pytest.mark.parametrize("reference, prediction, expected", [
    # empty reference, empty prediction: dice, sensitivity, average precision of the mask
    (True, True, (1.0, np.nan, np.nan)),
    (True, False, (0.0, np.nan, np.nan)),
    (False, True, (0.0, 0.0, 4 / 60)),
])
def test_what_is_empty(reference, prediction, expected):
    a, b = by_hand()
    a, b = a & (not reference), b & (not prediction)
    np.testing.assert_equal((dice(a, b), sensitivity(a, b), mask_average_precision(a, b)), expected)
    np.testing.assert_equal(average_precision(a, b.astype(np.float32)), expected[2])


@given(pairs)
@settings(deadline=None, max_examples=60)
def test_dice_and_sensitivity_are_scikit_learn_s(pair):
    reference, prediction = pair
    assume(reference.any())
    a, b = reference.ravel(), prediction.ravel()
    assert dice(reference, prediction) == pytest.approx(f1_score(a, b, zero_division=0), abs=1e-12)
    assert sensitivity(reference, prediction) == pytest.approx(recall_score(a, b), abs=1e-12)


@given(masks, hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0, .125, .25, .5, .875, 1])), st.booleans())
@settings(deadline=None, max_examples=100)
def test_average_precision_is_scikit_learn_s(reference, scores, many_values):
    assume(reference.any())
    if many_values:     # few ties, negative scores
        scores = scores - np.linspace(0, 2, scores.size, dtype=np.float32).reshape(SHAPE)
    expected = average_precision_score(reference.ravel(), scores.ravel())
    assert average_precision(reference, scores) == pytest.approx(expected, abs=1e-12)


@given(pairs)
@settings(deadline=None, max_examples=60)
def test_a_mask_is_its_own_score(pair):
    reference, prediction = pair
    assume(reference.any())
    expected = average_precision_score(reference.ravel(), prediction.ravel())
    assert mask_average_precision(reference, prediction) == pytest.approx(expected, abs=1e-12)
    assert average_precision(reference, prediction) == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_a_large_map():
    rng = np.random.default_rng(0)
    reference = rng.random((60, 60, 60)) < .01
    scores = np.where(rng.random(reference.shape) < .7, 0, rng.random(reference.shape) + reference).astype(np.float32)
    expected = average_precision_score(reference.ravel(), scores.ravel())
    assert average_precision(reference, scores) == pytest.approx(expected, abs=1e-12)


@given(pairs, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_symmetry_bounds_and_permutation(pair, random):
    reference, prediction = pair
    score = dice(reference, prediction)
    assert score == dice(prediction, reference)
    assert 0 <= score <= 1
    assert (score == 1) == np.array_equal(reference, prediction)
    order = list(range(reference.size))
    random.shuffle(order)
    shuffled = [mask.ravel()[order] for mask in pair]
    for function in (dice, sensitivity, mask_average_precision, average_precision):
        value = function(reference, prediction)
        np.testing.assert_allclose(function(*shuffled), value, rtol=1e-12)
        assert np.isnan(value) or 0 <= value <= 1


@given(masks, hnp.arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32)))
@settings(deadline=None, max_examples=40)
def test_only_the_order_of_scores_matters(reference, scores):
    ranks = np.unique(scores, return_inverse=True)[1].reshape(SHAPE)
    np.testing.assert_equal(average_precision(reference, ranks), average_precision(reference, scores))


def test_no_warning_where_nothing_is_annotated():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(average_precision(np.zeros(SHAPE, bool), np.random.default_rng(0).random(SHAPE)))


def test_the_arguments_are_left_alone():
    reference, prediction = by_hand()
    scores = prediction * .5
    copies = reference.copy(), scores.copy()
    average_precision(reference, scores)
    assert np.array_equal(copies[0], reference) and np.array_equal(copies[1], scores)


@pytest.mark.parametrize("array", [np.array([0, 1, 1]), np.array([0., 1., 1.]), np.array([False, True, True])])
def test_zeros_and_ones_are_a_mask(array):
    mask = as_mask(array, "reference")
    assert mask.dtype == bool and mask.tolist() == [False, True, True]


@pytest.mark.parametrize("value", [2, -1, .5, np.nan])
def test_other_values_are_not(value):
    with pytest.raises(InputError, match=f"the prediction holds {value}"):
        dice(np.zeros(3), np.array([0, 1, value]))


@pytest.mark.parametrize("function", [dice, sensitivity, mask_average_precision, average_precision])
def test_shapes_must_agree(function):
    with pytest.raises(InputError, match=r"\(3, 4, 5\).*\(3, 4, 4\)"):
        function(np.zeros((3, 4, 5)), np.zeros((3, 4, 4)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_must_be_finite(value):
    with pytest.raises(InputError, match=str(value)):
        average_precision(np.ones(2, bool), np.array([0.5, value]))
