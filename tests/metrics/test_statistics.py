"""Intervals and tests against SciPy, enumeration, and the numbers that the paper prints."""
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from synergynet_tf.metrics.statistics import bootstrap_interval, compare, holm, relative_change

NAN = math.nan


def test_the_interval_of_three_patients_is_that_of_all_27_draws():
    values, patients = [.1, .5, .3, .9], ["a", "b", "b", "c"]
    of = {"a": [.1], "b": [.5, .3], "c": [.9]}
    means = [np.mean(sum((of[p] for p in draw), [])) for draw in itertools.product("abc", repeat=3)]
    found = bootstrap_interval(values, patients, resamples=200_000, level=.8)
    # The share of draws at or below each end is what the level says.
    for end, share in zip(found, (.1, .9)):
        assert np.mean(np.array(means) < end - 1e-9) <= share + .01 and np.mean(np.array(means) <= end + 1e-9) >= share - .01


def test_with_one_case_a_patient_the_interval_is_scipy_s():
    values = np.random.default_rng(1).normal(.6, .1, 40)
    expected = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=2).confidence_interval
    found = bootstrap_interval(values, [str(i) for i in range(40)], resamples=20_000)
    assert found == pytest.approx(tuple(expected), abs=2e-3)


def test_patients_not_cases_are_drawn():
    values, patients = np.repeat([.2, .4, .6, .8], 10), np.repeat(list("abcd"), 10)
    as_patients = bootstrap_interval(values, patients)
    as_cases = bootstrap_interval(values, [str(i) for i in range(40)])
    assert as_patients.high - as_patients.low > 2 * (as_cases.high - as_cases.low)
    assert as_patients == pytest.approx(bootstrap_interval([.2, .4, .6, .8], list("abcd")))     # ten of the same tell no more


@pytest.mark.parametrize("values, patients", [([], []), ([.5, .6], ["a", "a"]), ([.5, NAN], ["a", "b"])])
def test_fewer_than_two_patients_have_no_interval(values, patients):
    assert all(map(math.isnan, bootstrap_interval(values, patients)))


def test_the_seed_decides():
    values, patients = np.random.default_rng(0).random(9), list("abcdefghi")
    assert bootstrap_interval(values, patients, 3) == bootstrap_interval(values, patients, 3)
    assert bootstrap_interval(values, patients, 3) != bootstrap_interval(values, patients, 4)


def test_wilcoxon_over_patients_by_scipy():
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(mean, .1, 24) for name, mean in (("u", .5), ("m", .45), ("s", .58))}
    patients = np.repeat([f"P{i}" for i in range(12)], 2)
    found = {(c.first, c.second): c for c in compare(scores, patients)}
    assert list(found) == [("u", "m"), ("u", "s"), ("m", "s")]
    for (a, b), comparison in found.items():
        first, second = (scores[name].reshape(12, 2).mean(axis=1) for name in (a, b))
        assert comparison.p == pytest.approx(stats.wilcoxon(first, second).pvalue)
        assert comparison.difference == pytest.approx(np.mean(first - second))
        assert comparison.patients == 12
    assert [c.p_holm for c in found.values()] == pytest.approx(holm([c.p for c in found.values()]))


def test_what_a_test_cannot_tell():
    same, = compare({"a": [.5, .6], "b": [.5, .6]}, ["x", "y"])
    assert (same.p, same.p_holm, same.difference) == (1, 1, 0)
    none, = compare({"a": [.5, NAN], "b": [NAN, .6]}, ["x", "y"])
    assert none.patients == 0 and math.isnan(none.p) and math.isnan(none.p_holm) and math.isnan(none.difference)


def test_holm_by_hand():
    # Sorted .005, .01, .03, .04 times 4, 3, 2, 1: .02, .03, .06, .04 -> the last may not be below .06.
    assert holm([.01, .04, .03, .005]) == pytest.approx([.03, .06, .06, .02])
    assert holm([.5, .9]) == [1, 1]
    np.testing.assert_equal(holm([.02, NAN, .01]), [.02, NAN, .02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(.001, .2))
@settings(deadline=None)
def test_holm_rejects_what_its_step_down_rule_rejects(p, alpha):
    order, rejected = sorted(range(len(p)), key=lambda i: p[i]), set()
    for rank, i in enumerate(order):
        if p[i] * (len(p) - rank) > alpha:
            break
        rejected.add(i)
    assert {i for i, value in enumerate(holm(p)) if value <= alpha} == rejected


@pytest.mark.parametrize("synergynet, unet, printed", [(.6152, .5999, .0255), (.6739, .6418, .0500), (.5532, .5362, .0317)])
def test_relative_change_is_the_paper_s(synergynet, unet, printed):
    assert relative_change(synergynet, unet) == pytest.approx(printed, abs=5.1e-5)


def test_no_change_relative_to_nothing():
    assert math.isnan(relative_change(.5, 0))
