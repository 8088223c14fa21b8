"""Focal loss, cross-entropy and smooth L1 of eq. 2: by hand, by finite differences, and against Keras and tensorflow-addons."""
import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.losses.detection import binary_cross_entropy, box_loss, focal_loss, smooth_l1

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (2, 40)).astype(np.float32)
TARGETS = RNG.random((2, 40)) < 0.3
VALID = RNG.random((2, 40)) < 0.7


def focal_sum(logits, targets, beta, valid):
    p = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    right = np.where(targets, p, 1 - p)
    return np.sum((-(1 - right) ** beta * np.log(right))[valid])


def test_focal_by_hand():
    logits = tf.constant([0.0, np.log(9.0), np.log(9.0), -np.log(9.0)], tf.float32)     # p = .5, .9, .9, .1
    targets = tf.constant([True, True, False, True])
    expected = 0.25 * np.log(2) - 0.01 * np.log(0.9) - 0.81 * np.log(0.1) - 0.81 * np.log(0.1)
    every = tf.ones([4], tf.bool)
    np.testing.assert_allclose(focal_loss(logits, targets, 2.0, every, "none"), expected, rtol=1e-5)
    np.testing.assert_allclose(focal_loss(logits, targets, 2.0, every), expected / 3, rtol=1e-5)
    without_last = tf.constant([True, True, True, False])
    np.testing.assert_allclose(
        focal_loss(logits, targets, 2.0, without_last), (expected + 0.81 * np.log(0.1)) / 2, rtol=1e-5)


def test_focal_without_positives_is_the_sum_over_the_background():
    logits, none = tf.zeros([2, 3]), tf.zeros([2, 3], tf.bool)
    np.testing.assert_allclose(focal_loss(logits, none, 2.0, ~none), 6 * 0.25 * np.log(2), rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
def test_focal_value_and_gradient_against_finite_differences(beta):
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = focal_loss(logits, TARGETS, beta, VALID, "none")
    np.testing.assert_allclose(loss, focal_sum(LOGITS, TARGETS, beta, VALID), rtol=1e-5)
    gradient = tape.gradient(loss, logits).numpy()
    for index in [(0, i) for i in range(10)] + [(1, i) for i in range(10)]:
        step = np.zeros_like(LOGITS, np.float64)
        step[index] = 1e-5
        slope = (focal_sum(LOGITS + step, TARGETS, beta, VALID) - focal_sum(LOGITS - step, TARGETS, beta, VALID)) / 2e-5
        np.testing.assert_allclose(gradient[index], slope, atol=1e-4)
    assert not gradient[~VALID].any()


def test_focal_against_keras():
    values = keras.losses.binary_focal_crossentropy(
        TARGETS.astype(np.float32)[..., None], LOGITS[..., None], apply_class_balancing=False, gamma=2.0, from_logits=True)
    expected = np.sum(np.asarray(values)[VALID]) / np.sum(TARGETS & VALID)
    np.testing.assert_allclose(focal_loss(LOGITS, TARGETS, 2.0, VALID), expected, rtol=1e-4)


def test_focal_against_tensorflow_addons():
    tfa = pytest.importorskip("tensorflow_addons")
    reference = tfa.losses.SigmoidFocalCrossEntropy(from_logits=True, alpha=None, gamma=2.0, reduction="none")
    values = reference(TARGETS.astype(np.float32)[..., None], LOGITS[..., None]).numpy()
    expected = np.sum(values[VALID]) / np.sum(TARGETS & VALID)
    np.testing.assert_allclose(focal_loss(LOGITS, TARGETS, 2.0, VALID), expected, rtol=1e-4)


def test_focal_is_stable_far_out():
    logits = tf.constant([100.0, -100.0, 1e4, -1e4])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = focal_loss(logits, tf.ones([4]), 2.0, tf.ones([4], tf.bool), "none")
    np.testing.assert_allclose(loss, 0 + 100 + 0 + 1e4)
    np.testing.assert_allclose(tape.gradient(loss, logits), [0, -1, 0, -1], atol=1e-6)


def test_cross_entropy_by_hand_and_at_the_ends():
    logits = tf.constant([0.0, np.log(3.0), 200.0, -200.0, 50.0], tf.float32)      # p = .5, .75, 1, 0
    targets, valid = tf.constant([1, 0, 1, 0, 0]), tf.constant([True, True, True, True, False])
    np.testing.assert_allclose(
        binary_cross_entropy(logits, targets, valid), (np.log(2) - np.log(0.25)) / 4, rtol=1e-5)


@pytest.mark.parametrize("distance,z", [(0, 0), (0.5, 0.125), (-0.5, 0.125), (1, 0.5), (3, 2.5), (-3, 2.5), (1e4, 9999.5)])
def test_smooth_l1_by_hand(distance, z):
    np.testing.assert_allclose(smooth_l1(tf.constant([2.0 + distance]), tf.constant([2.0])), [z], rtol=1e-6)


def test_smooth_l1_slope_is_the_clipped_distance():
    pred = tf.constant([-7.0, -1.0, -0.25, 0.25, 0.999, 1.001, 7.0])
    with tf.GradientTape() as tape:
        tape.watch(pred)
        loss = tf.reduce_sum(smooth_l1(pred, tf.zeros_like(pred)))
    np.testing.assert_allclose(tape.gradient(loss, pred), np.clip(pred, -1, 1), atol=1e-6)


def test_box_loss_sums_coordinates_and_averages_boxes():
    pred = tf.constant([[0.5, 0, 0, 0, 0, 3], [1, 1, 1, 1, 1, 1], [9, 9, 9, 9, 9, 9]], tf.float32)
    valid = tf.constant([True, True, False])
    np.testing.assert_allclose(box_loss(pred, tf.zeros([3, 6]), valid), (0.125 + 2.5 + 6 * 0.5) / 2, rtol=1e-6)
    batched = box_loss(pred[tf.newaxis], tf.zeros([1, 3, 6]), valid[tf.newaxis])
    np.testing.assert_allclose(batched, (0.125 + 2.5 + 6 * 0.5) / 2, rtol=1e-6)


def test_nothing_valid_gives_zero_with_a_zero_gradient():
    logits, deltas, none = tf.constant([3.0, -40.0]), tf.constant([[2.0] * 6] * 2), tf.zeros([2], tf.bool)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([logits, deltas])
        losses = [focal_loss(logits, tf.ones([2]), 2.0, none), binary_cross_entropy(logits, tf.ones([2]), none),
                  box_loss(deltas, tf.zeros([2, 6]), none)]
    assert all(loss == 0 for loss in losses)
    for loss, source in zip(losses, (logits, logits, deltas), strict=True):
        assert not np.any(tape.gradient(loss, source))
