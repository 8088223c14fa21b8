"""In which order an epoch visits its cases: each as often as its weight says, and by default as ever."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synergynet_tf.data.crops import visit_order
from synergynet_tf.data.draws import stream


def unweighted(cases, visits, seed, epoch):
    """The order before there were weights: one permutation after another."""
    rounds = [np.random.Generator(np.random.Philox(stream(seed, 0, epoch, k))).permutation(cases)
              for k in range(math.ceil(visits / cases))]
    return np.concatenate(rounds)[:visits]


@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_equal_weights_give_the_order_that_there_is_without(weight):
    for cases, visits, seed, epoch in ((9, 60, 0, 0), (9, 60, 0, 7), (64, 100, 5, 1), (3, 2, 1, 1)):
        found = visit_order([weight] * cases, visits, seed, epoch)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, unweighted(cases, visits, seed, epoch))


@settings(max_examples=60, deadline=None)
@given(weights=st.lists(st.sampled_from([0.3, 1.0, 2.0, 6.0]), min_size=1, max_size=12), epoch=st.integers(0, 50))
def test_each_case_is_visited_as_often_as_its_weight_says(weights, epoch):
    visits = math.ceil(20 * sum(weights) / max(weights))
    counts = np.bincount(visit_order(weights, visits, 3, epoch), minlength=len(weights))
    # 20 rounds, of which each case is in its share of them to within one; the last round may be cut.
    assert np.abs(counts - 20 * np.array(weights) / max(weights)).max() <= 2 + len(weights) / 6
    assert counts.sum() == visits


def test_over_the_epochs_no_case_of_small_weight_is_preferred():
    weights = [6.0, 6.0, *[1.0] * 18]
    counts = sum(np.bincount(visit_order(weights, 30, 1, epoch), minlength=20) for epoch in range(200))
    expected = 200 * np.array(weights)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_a_case_of_the_largest_weight_is_in_every_round():
    order = visit_order([4.0, 1.0, 1.0, 1.0, 1.0], 400, 0, 0)
    assert np.diff(np.flatnonzero(order == 0)).max() <= 9
