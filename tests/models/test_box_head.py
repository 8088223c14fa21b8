"""The R-CNN head: shapes, first values, RoIs apart from one another."""
import numpy as np
import tensorflow as tf

from synergynet_tf.models.box_head import BoxHead


def test_shapes_and_first_values():
    head = BoxHead(128)
    logits, deltas = head(tf.random.stateless_normal([6, 8, 8, 8, 32], seed=[1, 2]))
    assert logits.shape == (6,) and deltas.shape == (6, 6)
    assert logits.dtype == deltas.dtype == tf.float32
    assert np.max(np.abs(logits)) < 1 and 0 < np.max(np.abs(deltas)) < 0.1     # even odds, and the boxes left as proposed
    assert sum(int(np.prod(w.shape)) for w in head.trainable_variables) == (
        2 * (27 * 32 * 32 + 32) + 4 ** 3 * 32 * 128 + 128 + 128 + 1 + 6 * 128 + 6)


def test_rois_do_not_see_one_another():
    head = BoxHead(16)
    crops = tf.random.stateless_normal([5, 8, 8, 8, 4], seed=[1, 2])
    logits, deltas = head(crops)
    logit, delta = head(crops[3:4])
    np.testing.assert_allclose(logits[3:4], logit, atol=1e-5)
    np.testing.assert_allclose(deltas[3:4], delta, atol=1e-5)
