"""Intervals and tests against SciPy, enumeration, and the numbers that the paper prints."""
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from synergynet_tf.metrics.statistics import (
    bootstrap_interval,
    cohort_mean,
    compare,
    holm,
    patient_means,
    relative_change,
    signed_rank,
)

NAN = math.nan


def test_the_interval_of_three_patients_is_that_of_all_27_draws():
    values, patients = [.1, .5, .3, .9], ["a", "b", "b", "c"]
    of = {"a": .1, "b": .4, "c": .9}
    means = [np.mean([of[p] for p in draw]) for draw in itertools.product("abc", repeat=3)]
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


def test_scans_of_a_patient_are_averaged_first():
    values, patients = [.2, .4, NAN, .9, NAN], ["b", "b", "b", "a", "c"]
    assert patient_means(values, patients) == {"b": pytest.approx(.3), "a": .9}
    assert cohort_mean(values, patients) == pytest.approx(.6)       # of cases it would be .5
    assert math.isnan(cohort_mean([NAN], ["a"])) and math.isnan(cohort_mean([], []))


def test_every_source_counts_alike_in_the_mean_and_in_its_interval():
    values, patients, sources = [.2, .4, .6, .9, .7], list("abcde"), list("xxxyy")
    assert cohort_mean(values, patients, sources) == pytest.approx((.4 + .8) / 2)
    means = [(np.mean(x) + np.mean(y)) / 2 for x in itertools.product(values[:3], repeat=3)
             for y in itertools.product(values[3:], repeat=2)]
    found = bootstrap_interval(values, patients, resamples=100_000, level=.8, sources=sources)
    for end, share in zip(found, (.1, .9)):
        assert np.mean(np.array(means) < end - 1e-9) <= share + .01 and np.mean(np.array(means) <= end + 1e-9) >= share - .01
    alone = bootstrap_interval(values, patients, sources=list("xxxxy"))
    assert all(map(math.isnan, alone))      # one patient says nothing of how much the patients of a source differ


def groups_of(rng, sizes, ties=False):
    return [np.round(rng.normal(.3, 1, n) * (2 if ties else 1e6)) / 2 for n in sizes]


def enumerated(groups):
    """By every assignment of signs, the sum of ranks over n + 1 compared with the one that was found."""
    groups = [group[group != 0] for group in groups]
    scores = np.concatenate([stats.rankdata(abs(group)) / (len(group) + 1) for group in groups])
    found = abs(np.sign(np.concatenate(groups)) @ scores)
    sums = np.array(list(itertools.product((-1, 1), repeat=len(scores)))) @ scores
    return np.mean(abs(sums) >= found - 1e-9)


@pytest.mark.parametrize("sizes", [(3, 2), (1, 1), (1, 6), (4, 4, 3), (2, 1, 5, 1)])
@pytest.mark.parametrize("ties", [False, True])
def test_few_patients_of_several_sources_are_tested_by_all_signs(sizes, ties):
    for seed in range(5):
        groups = groups_of(np.random.default_rng(seed), sizes, ties)
        assert signed_rank(groups) == pytest.approx(enumerated(groups) if any(map(np.any, groups)) else 1)
        assert signed_rank(groups) > 1.99 / 2 ** sum(map(np.count_nonzero, groups)) or not any(map(np.any, groups))


def test_many_patients_of_several_sources_are_tested_as_by_drawn_signs():
    rng = np.random.default_rng(3)
    groups = groups_of(rng, (20, 6, 9), ties=True)
    scores = np.concatenate([stats.rankdata(abs(g[g != 0])) / (np.count_nonzero(g) + 1) for g in groups])
    found = abs(np.concatenate([np.sign(g[g != 0]) for g in groups]) @ scores)
    drawn = abs(rng.choice([-1, 1], (40_000, len(scores))) @ scores)
    assert signed_rank(groups) == pytest.approx(np.mean(drawn >= found), abs=.01)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 30, 60])
def test_one_source_is_tested_as_scipy_does_it_and_the_sum_of_several_agrees_with_it(n):
    group, = groups_of(np.random.default_rng(n), (n,))
    assert signed_rank([group]) == stats.wilcoxon(group).pvalue
    assert signed_rank([group, np.zeros(3)]) == pytest.approx(stats.wilcoxon(
        group, method="exact" if n <= 25 else "asymptotic").pvalue)       # a source without a difference tells nothing


@pytest.mark.parametrize("n", [1, 3, 5])
def test_of_many_patients_of_whom_few_differ_the_few_decide_what_p_is_possible(n):
    group = np.concatenate([np.zeros(20), np.arange(1, n + 1) / 10])
    assert signed_rank([group]) == pytest.approx(2 / 2 ** n)
    compared, = compare({"a": group, "b": np.zeros(len(group))}, [str(i) for i in range(len(group))])
    assert compared.p == pytest.approx(2 / 2 ** n) and compared.patients == 20 + n


@given(st.lists(st.lists(st.sampled_from([-2., -1., -.5, 0., .5, 1., 3.]), min_size=1, max_size=7), min_size=2, max_size=4))
@settings(deadline=None, max_examples=50)
def test_neither_order_nor_sign_nor_a_source_s_scale_changes_a_p_value(lists):
    groups = [np.array(values) for values in lists]
    p = signed_rank(groups)
    assert 0 < p <= 1
    for same in (groups[::-1], [-group for group in groups], [group[::-1] for group in groups], [groups[0] * 7, *groups[1:]]):
        assert signed_rank(same) == pytest.approx(p)


def test_where_nothing_differs_a_stratified_test_rejects_as_rarely_as_it_says_and_finds_what_pooled_ranks_do_not():
    rng, sizes, scales = np.random.default_rng(0), (12, 8), np.array([1.0, 30.0])
    nothing, shifted, pooled = [], [], []
    for _ in range(250):
        groups = [rng.normal(0, 1, n) for n in sizes]
        nothing.append(signed_rank([scale * group for scale, group in zip(scales, groups)]))
        moved = [scale * (group + .6) for scale, group in zip(scales, groups)]
        shifted.append(signed_rank(moved))
        pooled.append(stats.wilcoxon(np.concatenate(moved)).pvalue)
    for level in (.01, .05, .2):
        assert np.mean(np.array(nothing) <= level) <= level + 3 * math.sqrt(level * (1 - level) / 250)
    assert np.mean(np.array(shifted) <= .05) > np.mean(np.array(pooled) <= .05) + .05


def test_systems_are_compared_within_their_sources():
    """In `x` the first is better by much, in `y`, of a larger cohort, by little; values differ more between than within."""
    rng = np.random.default_rng(5)
    sources, patients = ["x"] * 5 + ["y"] * 9, [f"P{i}" for i in range(14)]
    base = np.where(np.array(sources) == "x", .3, .8) + rng.normal(0, .05, 14)
    first = base + np.where(np.array(sources) == "x", .1, .01) + rng.normal(0, .004, 14)
    found, = compare({"first": first, "base": base}, patients, sources)
    groups = [(first - base)[:5], (first - base)[5:]]
    assert found.difference == pytest.approx(np.mean([group.mean() for group in groups])) and found.patients == 14
    assert found.p == pytest.approx(enumerated(groups)) and found.p < .001
    one, = compare({"first": first[:5], "base": base[:5]}, patients[:5], sources[:5])
    assert one.p == stats.wilcoxon(groups[0]).pvalue == 2 / 2 ** 5      # as small as five patients allow


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
