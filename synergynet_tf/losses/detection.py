"""The detection terms of eq. 2: focal loss and smooth L1 of the RPN, cross-entropy and smooth L1 of the R-CNN.

All take logits and compute in float32. What is not valid must be finite and does not count; where nothing is valid the loss is 0
and so is its gradient. `count` is for parts of a larger batch, see segmentation.mean_over_valid.
"""
from typing import Literal

import tensorflow as tf

from synergynet_tf.losses.segmentation import mean_over_valid, number_of


def focal_loss(logits: tf.Tensor, targets: tf.Tensor, beta: float, valid: tf.Tensor,
               normaliser: Literal["positives", "none"] = "positives", count: tf.Tensor | None = None) -> tf.Tensor:
    """Sum over the valid anchors of -(1 - p)^beta log(p), p the probability given to the truth (Lin et al. 2017; L_RPN of eq. 2).

    Both terms count: the paper prints the positive one, and without the other nothing would ever be background. No class is
    weighted (alpha of Lin et al.): eq. 2 has no such weight, and the focal exponent balances already.

    Args:
        logits: float, any shape.
        targets: bool or 0/1, same shape.
        beta: focal exponent, 0 or more; 0 is cross-entropy.
        valid: bool, same shape; the rest is ignored.
        normaliser: "positives" divides the sum by the number of valid positives in all that is given (by 1 if there is none),
            "none" leaves it.
        count: float32 scalar that the sum is divided by under "positives"; None: the valid positives here.

    Returns:
        Float32 scalar.
    """
    truth = tf.cast(targets, tf.bool)
    logits = tf.cast(logits, tf.float32)
    margin = tf.where(truth, logits, -logits)       # p = sigmoid(margin)
    values = tf.exp(-beta * tf.nn.softplus(margin)) * tf.nn.softplus(-margin)
    total = tf.reduce_sum(tf.where(valid, values, 0.0))
    if normaliser == "none":
        return total
    return total / tf.maximum(number_of(truth & valid) if count is None else count, 1.0)


def binary_cross_entropy(logits: tf.Tensor, targets: tf.Tensor, valid: tf.Tensor, count: tf.Tensor | None = None) -> tf.Tensor:
    """Mean over the valid RoIs of the cross-entropy of lesion against background (L_R-CNN of eq. 2).

    Args:
        logits: float, any shape.
        targets: bool or 0..1, same shape.
        valid: bool, same shape.
        count: float32 scalar, as of `segmentation.mean_over_valid`.

    Returns:
        Float32 scalar.
    """
    values = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(targets, tf.float32), logits=tf.cast(logits, tf.float32))
    return mean_over_valid(values, valid, count)


def smooth_l1(pred: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """z of eq. 2, element by element: d^2 / 2 where d = |pred - target| is below 1, d - 1/2 elsewhere.

    Args: pred, target: float tensors of one shape.

    Returns:
        Float32 of that shape.
    """
    distance = tf.abs(tf.cast(pred, tf.float32) - tf.cast(target, tf.float32))
    inside = tf.minimum(distance, 1.0)
    return inside * (distance - 0.5 * inside)


def box_loss(pred: tf.Tensor, target: tf.Tensor, valid: tf.Tensor, count: tf.Tensor | None = None) -> tf.Tensor:
    """Smooth L1 of the deltas (1/J sum_j z_j and 1/D sum_d z_d of eq. 2): six coordinates are summed, the boxes averaged.

    Args:
        pred: float [..., 6], predicted deltas.
        target: float [..., 6], true deltas.
        valid: bool [...]: the boxes that count, those matched to a lesion.
        count: float32 scalar, as of `segmentation.mean_over_valid`.

    Returns:
        Float32 scalar.
    """
    return mean_over_valid(tf.reduce_sum(smooth_l1(pred, target), axis=-1), valid, count)
