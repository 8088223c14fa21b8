"""Dice of eq. 2 by hand and by finite differences of a NumPy formula."""
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.losses.segmentation import dice_loss, mean_over_valid

RNG = np.random.default_rng(0)


def logit(p):
    return np.log(p) - np.log1p(-np.asarray(p, np.float64))


def reference(logits, target, valid):
    """1 - 2 sum(at) / (sum a^2 + sum t^2), the mean over the valid rows, float64."""
    a = 1 / (1 + np.exp(-logits))
    axes = tuple(range(1, a.ndim))
    return np.mean((1 - 2 * (a * target).sum(axes) / ((a ** 2).sum(axes) + (target ** 2).sum(axes)))[valid])


def test_by_hand():
    logits = tf.constant([logit([0.8, 0.4, 0.2])], tf.float32)
    loss = dice_loss(logits, tf.constant([[1, 1, 0]]))      # overlap 1.2; 0.64 + 0.16 + 0.04 + 2
    np.testing.assert_allclose(loss, 1 - 2.4 / 2.84, atol=1e-6)


def test_mean_over_patches_not_over_voxels():
    logits = tf.constant(logit([[0.5, 0.5], [0.9, 0.1]]), tf.float32)
    target = tf.constant([[True, True], [True, False]])
    first, second = 1 - 2 * 1.0 / 2.5, 1 - 2 * 0.9 / (0.82 + 1)
    np.testing.assert_allclose(dice_loss(logits, target), (first + second) / 2, atol=1e-6)
    np.testing.assert_allclose(dice_loss(logits, target, valid=tf.constant([False, True])), second, atol=1e-6)


def test_gradient_against_finite_differences():
    x, target = RNG.normal(0, 2, (3, 2, 2, 2, 1)), (RNG.random((3, 2, 2, 2, 1)) < 0.4).astype(float)
    valid = np.array([True, False, True])
    logits = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = dice_loss(logits, tf.constant(target), tf.constant(valid))
    np.testing.assert_allclose(loss, reference(x, target, valid), atol=1e-5)
    gradient = tape.gradient(loss, logits).numpy()
    for index in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-5
        slope = (reference(x + step, target, valid) - reference(x - step, target, valid)) / 2e-5
        np.testing.assert_allclose(gradient[index], slope, atol=1e-5)
    assert not gradient[1].any() and gradient[0].any()


@pytest.mark.parametrize("level,target,expected", [(-200.0, 0, 0), (200.0, 1, 0), (-200.0, 1, 1), (200.0, 0, 1)])
def test_certain_predictions(level, target, expected):
    np.testing.assert_allclose(dice_loss(tf.fill([2, 5, 5], level), tf.fill([2, 5, 5], target)), expected, atol=1e-5)


@pytest.mark.parametrize("rows", [0, 3])
def test_without_a_valid_patch_the_loss_is_zero_with_a_zero_gradient(rows):
    logits = tf.zeros([rows, 4, 4])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = dice_loss(logits, tf.ones([rows, 4, 4]), tf.zeros([rows], tf.bool))
    assert loss == 0 and not np.any(tape.gradient(loss, logits))


def test_a_patch_without_lesion_does_not_move_the_network():
    logits = tf.fill([1, 16, 16, 16], -3.5)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = dice_loss(logits, tf.zeros_like(logits))
    assert 0.99 < loss <= 1 and np.sum(np.abs(tape.gradient(loss, logits))) < 1e-5


def test_a_patch_without_lesion_moves_the_network_if_it_is_to():
    logits = tf.constant(logit([[0.5] * 40, [0.5] * 40, [1e-9] * 40]), tf.float32)
    target = tf.constant([[0.0] * 40, [1.0] + [0.0] * 39, [0.0] * 40])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = dice_loss(logits, target, empty=10.0)        # 40 voxels of 0.5: 10 voxels
    with_lesion = 1 - 2 * 0.5 / (10 + 1)                    # as without it
    np.testing.assert_allclose(loss, (0.5 + with_lesion + 0) / 3, atol=1e-6)
    gradient = tape.gradient(loss, logits).numpy()
    np.testing.assert_allclose(gradient[0], 10 / 20 ** 2 * 2 * 0.5 * 0.25 / 3, rtol=1e-5)     # p' s / (p + s)^2, p' = 2 a a'
    assert np.abs(gradient[2]).max() < 1e-12


def test_mean_over_valid():
    assert mean_over_valid(tf.constant([1.0, 100.0, 5.0]), tf.constant([True, False, True])) == 3
    assert mean_over_valid(tf.constant([1.0]), tf.constant([False])) == 0


def test_half_precision_logits_are_summed_in_float32():
    logits = tf.zeros([1, 32, 32, 32], tf.float16)         # the sums pass float16's largest integers
    loss = dice_loss(logits, tf.ones([1, 32, 32, 32]))
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, 1 - 1 / 1.25, atol=1e-5)
