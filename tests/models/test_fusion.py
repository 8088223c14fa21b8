"""Eq. 1, voxel by voxel."""
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.models.fusion import fuse

GLOBAL = tf.reshape(tf.constant([1.0, -2.0, 4.0, 0.0]), [1, 2, 2, 1, 1])
LOCAL = tf.reshape(tf.constant([11.0, 8.0, -6.0, 5.0]), [1, 2, 2, 1, 1])
COVERED = tf.reshape(tf.constant([True, True, False, False]), [1, 2, 2, 1])


@pytest.mark.parametrize("gamma,expected", [(0.3, [4.0, 1.0, 4.0, 0.0]), (0.0, [1, -2, 4, 0]), (1.0, [11, 8, 4, 0])])
def test_equation_1_where_covered_and_the_global_logits_elsewhere(gamma, expected):
    fused = fuse(GLOBAL, LOCAL, COVERED, gamma)
    assert fused.shape == GLOBAL.shape
    np.testing.assert_allclose(np.ravel(fused), expected, atol=1e-6)


def test_gradients_are_the_weights():
    with tf.GradientTape() as tape:
        tape.watch([GLOBAL, LOCAL])
        total = tf.reduce_sum(fuse(GLOBAL, LOCAL, COVERED, 0.3))
    of_global, of_local = tape.gradient(total, [GLOBAL, LOCAL])
    np.testing.assert_allclose(np.ravel(of_global), [0.7, 0.7, 1, 1], atol=1e-6)
    np.testing.assert_allclose(np.ravel(of_local), [0.3, 0.3, 0, 0], atol=1e-6)


def test_without_any_patch_the_global_logits_remain():
    np.testing.assert_array_equal(fuse(GLOBAL, LOCAL, tf.zeros_like(COVERED), 0.3), GLOBAL)
