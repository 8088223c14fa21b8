"""The traced inner step: what a stage computes, its losses, and one update."""
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.losses import detection, segmentation
from synergynet_tf.losses.total import total_loss
from synergynet_tf.models import targets
from synergynet_tf.models.synergynet import Features, SynergyNet, fused_logits, per_sample
from synergynet_tf.models.unet import UNetSystem
from synergynet_tf.ops import boxes
from synergynet_tf.structures import Batch, Detections, Prediction
from synergynet_tf.training.determinism import gradients
from synergynet_tf.training.stages import Stage, trainable_variables

Parts = dict[str, tf.Tensor]


def stage_losses(model: SynergyNet | UNetSystem, batch: Batch, stage: Stage, config: Config, training: bool) -> Parts:
    """The terms of eq. 2 that `stage` trains, unweighted, by name; what later stages add is not computed.

    Args:
        training: whether batch normalisation takes the batch's statistics.

    Returns:
        rpn_objectness, rpn_boxes; from stage 2 rcnn_class, rcnn_boxes; from stage 3 mask; in stage 4 global. Scalars. Of the
        U-Net alone: global.
    """
    if not stage.has_rpn:
        return {"global": segmentation.dice_loss(model.logits(batch.image, training), _lesions(batch))}
    features = model.features(batch.image, training)
    objectness, deltas = model.rpn(features.d1)
    parts = _rpn_losses(objectness, deltas, batch, config)
    if stage.has_rcnn:
        parts |= _roi_losses(model, features, objectness, deltas, batch, stage, config,
                             training)
    return parts


def _rpn_losses(objectness: tf.Tensor, deltas: tf.Tensor, batch: Batch, config: Config) -> Parts:
    grid_shape = tuple(n // config.detector.stride for n in batch.instances.shape[1:])

    def one(*annotation: tf.Tensor) -> targets.RPNTargets:
        return targets.rpn_targets(*annotation, grid_shape, config.detector)

    goal = per_sample(one, (batch.instances, batch.gt_boxes, batch.gt_valid, batch.gt_ignore), None)
    focal = detection.focal_loss(objectness, goal.objectness, config.loss.focal_beta, goal.valid, config.loss.focal_normaliser)
    return {"rpn_objectness": focal,
            "rpn_boxes": detection.box_loss(tf.gather(deltas, goal.indices, batch_dims=1), goal.deltas, goal.indices_valid)}


def _roi_losses(model: SynergyNet, features: Features, objectness: tf.Tensor, deltas: tf.Tensor, batch: Batch, stage: Stage,
                config: Config, training: bool) -> Parts:
    proposals = model.propose(objectness, deltas, batch.image, config.detector.train_nms_iou)

    def one(*given: tf.Tensor) -> targets.RoITargets:
        return targets.roi_targets(*given, config.detector)

    goal = per_sample(one, (proposals.boxes, proposals.valid, batch.instances, batch.gt_boxes, batch.gt_valid,
                            batch.gt_ignore, batch.seed), None)
    logits, roi_deltas = model.refine(features.d1, goal.boxes)
    parts = {"rcnn_class": detection.binary_cross_entropy(logits, tf.cast(goal.positive, tf.float32), goal.valid),
             "rcnn_boxes": detection.box_loss(roi_deltas, goal.deltas, goal.positive)}
    if stage.has_mask:
        refined = tf.stop_gradient(boxes.decode(roi_deltas, goal.boxes))
        patches = _mask_goals(refined, goal.positive, batch, config)
        if stage.has_global:
            # As in inference the head speaks of every proposal; no loss is on what it says, hence no gradient.
            spoken = model.refine(tf.stop_gradient(features.d1), proposals.boxes)
            detections = model.detect(proposals, *spoken, batch.image, config.detector.train_detections)
            parts |= _fused_losses(model, features, patches, detections, batch, config, training)
        else:
            parts["mask"] = _patch_dice(model.patch_logits(features, patches.boxes), patches)
    return parts


def _mask_goals(refined: tf.Tensor, positive: tf.Tensor, batch: Batch, config: Config) -> targets.MaskTargets:
    def one(*given: tf.Tensor) -> targets.MaskTargets:
        return targets.mask_targets(*given, config.mask)

    return per_sample(one, (refined, positive, batch.instances), None)


def _patch_dice(logits: tf.Tensor, goal: targets.MaskTargets) -> tf.Tensor:
    """L_MASK over the patches of all samples: [B, M, S, S, S, 1] against the same."""
    rows = tf.concat([[-1], tf.shape(logits)[2:]], 0)
    return segmentation.dice_loss(tf.reshape(logits, rows), tf.reshape(goal.masks, rows), tf.reshape(goal.valid, [-1]))


def _fused_losses(model: SynergyNet, features: Features, goal: targets.MaskTargets, detections: Detections, batch: Batch,
                  config: Config, training: bool) -> Parts:
    """L_MASK on the sampled patches and L_U-Net on the volume after eq. 1, the mask head run once over both sets of patches."""
    mask_boxes = boxes.scale(detections.boxes, config.mask.context)
    patches = model.patch_logits(features, tf.concat([goal.boxes, mask_boxes], 1))
    sampled = goal.boxes.shape[1]
    prediction = Prediction(model.global_head((features.d1, features.e0), training=training), detections,
                            patches[:, sampled:], mask_boxes)
    fused = fused_logits(prediction, config.fusion.gamma, config.mask.window)
    return {"mask": _patch_dice(patches[:, :sampled], goal), "global": segmentation.dice_loss(fused, _lesions(batch))}


def _lesions(batch: Batch) -> tf.Tensor:
    """Every lesion's voxels: float32 [B, X, Y, Z, 1], 0 or 1."""
    return tf.cast(batch.instances > 0, tf.float32)[..., None]


def make_train_step(model: SynergyNet | UNetSystem, optimizer: Any, stage: Stage,
                    config: Config) -> Callable[[Batch], tuple[tf.Tensor, Parts]]:
    """One update of the parts that `stage` trains: Batch -> total loss and its weighted parts, as a tf.function."""
    variables = trainable_variables(model, stage)

    @tf.function(autograph=False, jit_compile=config.train.jit_compile or None)
    def train_step(batch: Batch) -> tuple[tf.Tensor, Parts]:
        total, parts = total_loss(stage_losses(model, batch, stage, config, training=True), config.loss)
        optimizer.apply_gradients(zip(gradients(total, variables), variables))
        return total, parts

    return train_step


def make_loss_step(model: SynergyNet | UNetSystem, stage: Stage, config: Config) -> Callable[[Batch], tuple[tf.Tensor, Parts]]:
    """The losses of a stage without an update, for validation."""

    @tf.function(autograph=False, jit_compile=config.train.jit_compile or None)
    def loss_step(batch: Batch) -> tuple[tf.Tensor, Parts]:
        return total_loss(stage_losses(model, batch, stage, config, training=False), config.loss)

    return loss_step
