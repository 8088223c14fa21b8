"""The sampler's counts exactly, its uniformity by a chi-square test."""
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from synergynet_tf.ops.sampling import sample_balanced


def draw(positive, negative, count, fraction, seed=(1, 2)):
    positive, negative = np.array(positive, bool), np.array(negative, bool)
    sample = sample_balanced(tf.constant(positive), tf.constant(negative), count, fraction, tf.constant(seed))
    return [np.asarray(part) for part in sample]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("pn-"), min_size=1, max_size=40), st.integers(1, 50), st.floats(0, 1), st.integers(0, 2**31 - 1))
def test_counts_and_membership(kinds, count, fraction, seed):
    kinds = np.array(kinds)
    indices, positive, valid = draw(kinds == "p", kinds == "n", count, fraction, (seed, 0))
    positives = min((kinds == "p").sum(), round(count * fraction))
    negatives = min((kinds == "n").sum(), count - positives)
    assert len(indices) == count and positive.sum() == positives and valid.sum() == positives + negatives
    assert (kinds[indices[positive]] == "p").all() and (kinds[indices[valid & ~positive]] == "n").all()
    assert len(set(indices[valid])) == valid.sum(), "a row was drawn twice"
    assert valid[:valid.sum()].all() and positive[:positives].all() and (indices[~valid] == 0).all()


@pytest.mark.parametrize("positive, negative, expected", [
    ([0] * 6, [0] * 6, (0, 0)),
    ([0] * 6, [1] * 6, (0, 4)),
    ([1] * 6, [0] * 6, (2, 2)),
    ([1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1], (1, 4)),
    ([1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], (2, 2)),       # both: counts as positive
])
def test_too_few_of_either(positive, negative, expected):
    _, chosen, valid = draw(positive, negative, 4, 0.5)
    assert (chosen.sum(), valid.sum()) == expected


def test_uniform_without_regard_to_position():
    positive, negative = np.arange(24) < 8, np.arange(24) >= 8
    sample = tf.function(lambda seed: sample_balanced(tf.constant(positive), tf.constant(negative), 8, 0.25, seed))
    hits = np.zeros(24)
    for number in range(300):
        hits[sample(tf.constant([number, 7])).indices.numpy()] += 1
    assert hits[:8].sum() == 600 and hits[8:].sum() == 1800
    assert stats.chisquare(hits[:8]).pvalue > 1e-3 and stats.chisquare(hits[8:]).pvalue > 1e-3


def test_compiled_draws_the_same_sample_and_the_seed_decides():
    generator = np.random.default_rng(0)
    positive, negative = tf.constant(generator.random(5003) < 0.02), tf.constant(generator.random(5003) < 0.9)
    plain = tf.function(lambda s: sample_balanced(positive, negative, 128, 0.5, s))
    compiled = tf.function(lambda s: sample_balanced(positive, negative, 128, 0.5, s), jit_compile=True)
    first, again, other = (plain(tf.constant(seed)) for seed in ([3, 4], [3, 4], [3, 5]))
    for a, b, c in zip(first, again, compiled(tf.constant([3, 4]))):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert len(set(first.indices.numpy()) & set(other.indices.numpy())) < 100
