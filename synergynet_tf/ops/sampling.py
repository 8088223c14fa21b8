"""A balanced random choice of examples for a loss."""
from typing import NamedTuple

import tensorflow as tf


class Sample(NamedTuple):
    """Rows that were chosen: first the positive ones, then the negative ones, then padding."""

    indices: tf.Tensor      # int32 [count]; 0 where not valid
    positive: tf.Tensor     # bool [count]
    valid: tf.Tensor        # bool [count]


def sample_balanced(positive: tf.Tensor, negative: tf.Tensor, count: int, positive_fraction: float, seed: tf.Tensor) -> Sample:
    """Choose at most `count` rows of N, uniformly and without replacement, at most round(count * positive_fraction) positive.

    Where there are fewer positive rows than that, negative ones take their place. Where there are too few negative rows the rest
    is padding: more positive ones would unbalance the sample. Each row gets a random key, and the largest keys are chosen.

    Args:
        positive: bool [N].
        negative: bool [N]; a row that is both counts as positive.
        count: rows of the result.
        positive_fraction: 0 to 1.
        seed: int32 [2]; stateless, so the same seed gives the same sample, compiled or not.
    """
    # whole random integers, since Philox's floats differ between the compiled kernel and the other
    bits = tf.random.stateless_uniform(tf.shape(positive), seed, None, None, tf.int32, alg="philox")
    keys = tf.cast(tf.bitwise.bitwise_and(bits, tf.int32.max), tf.float32)
    most = round(count * positive_fraction)
    positive_rows, positives = _largest(keys, positive, most)
    negative_rows, negatives = _largest(keys, negative & ~positive, count)
    slot = tf.range(count)
    is_positive = slot < positives
    # slot s of the sample is positive row s, or negative row s - positives; clamped only where the slot is not valid
    row = tf.where(is_positive, slot, most + tf.clip_by_value(slot - positives, 0, count - 1))
    valid = slot < positives + negatives
    indices = tf.where(valid, tf.gather(tf.concat([positive_rows, negative_rows], axis=0), row), 0)
    return Sample(indices, is_positive, valid)


def _largest(keys: tf.Tensor, eligible: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows int32 [most] of the largest keys among the eligible, padded with 0, and how many of them there are."""
    available = tf.minimum(most, tf.shape(keys)[0])
    _, rows = tf.math.top_k(tf.where(eligible, keys, -1.0), available)
    rows = tf.reshape(tf.concat([rows, tf.zeros([most - available], tf.int32)], axis=0), [most])
    return rows, tf.minimum(most, tf.reduce_sum(tf.cast(eligible, tf.int32)))
