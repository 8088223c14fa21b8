"""Eq. 2 of the paper: the table of its terms, and their weighted sum.

To add a term, write its loss in `losses/`, its weight in `config.LossConfig`, and its row here; the log, the learning curves,
gradient accumulation and replicas take it from this table.
"""
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from synergynet_tf.config import LossConfig
from synergynet_tf.losses import detection, segmentation
from synergynet_tf.losses.segmentation import number_of
from synergynet_tf.training.forward import Forward
from synergynet_tf.training.stages import Stage

Parts = dict[str, tf.Tensor]        # losses by term, float32 scalars
Counts = dict[str, tf.Tensor]       # how many values each term is a mean over, by term: float32 scalars


class Term(NamedTuple):
    """A term of eq. 2: a mean over anchors, RoIs, masks or volumes of the batch."""

    weight: str                                         # its setting in the group `loss`
    part: str                                           # of the network: the term is computed in each stage that trains it
    count: Callable[[Forward], tf.Tensor]  # type: ignore[assignment]  # over how many values the mean is; hides tuple.count
    loss: Callable[[Forward, tf.Tensor], tf.Tensor]     # of this batch, divided by the count of the batch that it is a part of


def _focal(forward: Forward, count: tf.Tensor) -> tf.Tensor:
    goal, config = forward.anchor_targets, forward.config.loss
    return detection.focal_loss(forward.rpn[0], goal.objectness, config.focal_beta, goal.valid, config.focal_normaliser, count)


def _anchor_boxes(forward: Forward, count: tf.Tensor) -> tf.Tensor:
    goal = forward.anchor_targets
    return detection.box_loss(forward.anchor_deltas, goal.deltas, goal.indices_valid, count)


def _roi_class(forward: Forward, count: tf.Tensor) -> tf.Tensor:
    goal = forward.roi_targets
    return detection.binary_cross_entropy(forward.rois[0], tf.cast(goal.positive, tf.float32), goal.valid, count)


def _roi_boxes(forward: Forward, count: tf.Tensor) -> tf.Tensor:
    goal = forward.roi_targets
    return detection.box_loss(forward.rois[1], goal.deltas, goal.positive, count)


def _mask(forward: Forward, count: tf.Tensor) -> tf.Tensor:
    logits, goal = forward.mask_logits, forward.mask_targets
    rows = tf.concat([[-1], tf.shape(logits)[2:]], 0)       # of all samples: [B * M, S, S, S, 1]
    return segmentation.dice_loss(tf.reshape(logits, rows), tf.reshape(goal.masks, rows), tf.reshape(goal.valid, [-1]), count)


def _volume(forward: Forward, count: tf.Tensor) -> tf.Tensor:
    return segmentation.dice_loss(forward.volume_logits, forward.lesions, count=count, empty=forward.config.loss.empty_patch)


TERMS = {
    "rpn_objectness": Term(
        "alpha1", "rpn", lambda f: number_of((f.anchor_targets.objectness > 0) & f.anchor_targets.valid), _focal),
    "rpn_boxes": Term("alpha2", "rpn", lambda f: number_of(f.anchor_targets.indices_valid), _anchor_boxes),
    "rcnn_class": Term("alpha3", "box_head", lambda f: number_of(f.roi_targets.valid), _roi_class),
    "rcnn_boxes": Term("alpha4", "box_head", lambda f: number_of(f.roi_targets.positive), _roi_boxes),
    "mask": Term("alpha5", "mask_head", lambda f: f.mask_count, _mask),
    "global": Term("alpha6", "global_head", lambda f: tf.cast(tf.shape(f.batch.image)[0], tf.float32), _volume),
}


def terms_of(stage: Stage) -> dict[str, Term]:
    """The terms that a stage computes (paper, 2.3)."""
    return {name: term for name, term in TERMS.items() if term.part in stage.parts}


def stage_counts(forward: Forward) -> Counts:
    """What `stage_losses` divides each term of the stage by; the counts of a batch's parts add up to the batch's."""
    return {name: term.count(forward) for name, term in terms_of(forward.stage).items()}


def stage_losses(forward: Forward, counts: Counts) -> Parts:
    """The terms of eq. 2 that the stage trains, unweighted, by name.

    Args:
        forward: the network's outputs for a batch.
        counts: of `stage_counts`; where the batch is a part of a larger one, those of all its parts together.

    Returns:
        rpn_objectness, rpn_boxes; from stage 2 rcnn_class, rcnn_boxes; from stage 3 mask; in stage 4 global. Scalars. Of the
        U-Net alone: global.
    """
    return {name: term.loss(forward, counts[name]) for name, term in terms_of(forward.stage).items()}


def total_loss(parts: Parts, config: LossConfig) -> tuple[tf.Tensor, Parts]:
    """Weight the parts and add them (eq. 2).

    Args:
        parts: scalars under names of `TERMS`; an absent one counts nothing.
        config: the weights alpha1 to alpha6.

    Returns:
        The total, float32 scalar, and the weighted parts under the same names and in the order given: total = their sum.

    Raises:
        ValueError: a name is none of `TERMS`, or there is no part at all.
    """
    unknown = sorted(set(parts) - set(TERMS))
    if unknown or not parts:
        raise ValueError(f"loss parts are {sorted(parts)}, but one or more of {sorted(TERMS)} are needed")
    weighted = {name: getattr(config, TERMS[name].weight) * tf.cast(value, tf.float32) for name, value in parts.items()}
    return sum(weighted.values()), weighted
