"""Whether a skull is on, told inside a graph as `synergynet_tf.data.judgement.skull_sign` tells it.

Letters in shapes: R, S rays of a view and their rows, N voxels along a ray, D depths, B blocks.
"""
import tensorflow as tf

from synergynet_tf.data import judgement as rules

Tensor = tf.Tensor


def skull_sign(values: Tensor, spacing: Tensor) -> Tensor:
    """The share of a surface under which there is bone, float64: the third best of the views from six sides.

    Args:
        values: what was measured in the brain's box, float32 [x, y, z], 0 elsewhere.
        spacing: mm, float64 [3].
    """
    measured = tf.maximum(tf.math.count_nonzero(values, dtype=tf.int32), 1)
    mean = tf.reduce_sum(tf.cast(values, tf.float64)) / tf.cast(measured, tf.float64)
    shares = []
    for axis in range(3):
        view = _middle(values, axis)
        for seen in (view, tf.reverse(view, [2])):
            shares.append(_share_of_dips(_profiles(seen, tf.cast(rules.SURFACE * mean, tf.float32), spacing[axis]), mean))
    return tf.sort(tf.stack(shares))[-3]


def _middle(values: Tensor, axis: int) -> Tensor:
    """The middle half of what is seen along an axis, [R, S, N]."""
    shape = tf.shape(values)
    aside = tf.where(tf.range(3) == axis, 0, shape // 4)
    return tf.transpose(tf.slice(values, aside, shape - 2 * aside), [*(other for other in range(3) if other != axis), axis])


def _profiles(seen: Tensor, least: Tensor, side: Tensor) -> Tensor:
    """Mean intensity by depth in mm, float64 [B, D], of the blocks with any ray [R, S, N] that begins: is above `least`."""
    length = tf.shape(seen)[2]
    first = tf.reduce_min(tf.where(seen > least, tf.range(length), length), 2, keepdims=True)
    begins = first < length
    depth = tf.cast(tf.range(rules.DEPTHS, dtype=tf.float64) / side + 0.5, tf.int32)
    values = tf.gather(seen, tf.minimum(first + depth, length - 1), axis=2, batch_dims=2)
    values = tf.cast(tf.where(begins, values, 0.0), tf.float64)
    rows, columns = (tf.range(n) * rules.BLOCKS // tf.maximum(n, 1) for n in tf.unstack(tf.shape(seen)[:2]))
    block = tf.reshape(rows[:, None] * rules.BLOCKS + columns, [-1])
    rays = tf.math.unsorted_segment_sum(tf.cast(tf.reshape(begins, [-1]), tf.float64), block, rules.BLOCKS ** 2)
    sums = tf.math.unsorted_segment_sum(tf.reshape(values, [-1, rules.DEPTHS]), block, rules.BLOCKS ** 2)
    return tf.boolean_mask(sums, rays > 0) / tf.boolean_mask(rays, rays > 0)[:, None]


def _share_of_dips(profiles: Tensor, mean: Tensor) -> Tensor:
    """The share of profiles [B, D] that fall by more than `DIP` of the mean below what is outside and inside."""
    place = tf.range(rules.DEPTHS)
    before = (place <= place[:, None]) & (place <= rules.SCALP)     # [at a depth, what is looked at]
    behind = place >= place[:, None]
    outside, inside = (tf.reduce_max(tf.where(there, profiles[:, None], profiles.dtype.min), 2) for there in (before, behind))
    deepest = tf.reduce_max(tf.minimum(outside, inside) - profiles, 1)
    return tf.math.count_nonzero(deepest > rules.DIP * mean) / tf.maximum(tf.size(deepest, tf.int64), 1)
