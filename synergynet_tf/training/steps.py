"""The traced inner step: what a stage computes, its losses, and one update."""
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.losses import detection, segmentation
from synergynet_tf.losses.segmentation import Count
from synergynet_tf.losses.total import total_loss
from synergynet_tf.models import targets
from synergynet_tf.models.synergynet import Features, Proposals, SynergyNet, fused_logits, per_sample
from synergynet_tf.models.unet import UNetSystem
from synergynet_tf.ops import boxes
from synergynet_tf.runtime.replicas import all_sum
from synergynet_tf.structures import Batch, Detections, Prediction
from synergynet_tf.training.accumulate import accumulated
from synergynet_tf.training.determinism import gradients
from synergynet_tf.training.precision import scaled
from synergynet_tf.training.stages import Stage, trainable_variables

Parts = dict[str, tf.Tensor]
Counts = Callable[[str], Count]     # by a term's name


def _alone(name: str) -> Count:
    """The counts of a batch that is no part of a larger one."""
    return lambda here: here


def _of_all_replicas(name: str) -> Count:
    return all_sum


def stage_losses(model: SynergyNet | UNetSystem, batch: Batch, stage: Stage, config: Config, training: bool,
                 counts: Counts = _alone) -> Parts:
    """The terms of eq. 2 that `stage` trains, unweighted, by name; what later stages add is not computed.

    Args:
        training: whether batch normalisation takes the batch's statistics, and levels of the U-Net are recomputed.
        counts: for a batch that is a part of a larger one, how many anchors, RoIs, patches or volumes each term counts in that.

    Returns:
        rpn_objectness, rpn_boxes; from stage 2 rcnn_class, rcnn_boxes; from stage 3 mask; in stage 4 global. Scalars. Of the
        U-Net alone: global.
    """
    if not stage.has_rpn:
        logits = model.logits(batch.image, training)
        return {"global": segmentation.dice_loss(logits, _lesions(batch), count=counts("global"))}
    features = model.features(batch.image, training)
    objectness, cells = model.rpn(features.d1)
    parts = _rpn_losses(model, objectness, cells, batch, config, counts)
    if stage.has_rcnn:
        parts |= _roi_losses(model, features, objectness, cells, batch, stage, config, training, counts)
    return parts


def stage_counts(model: SynergyNet | UNetSystem, batch: Batch, stage: Stage, config: Config) -> Parts:
    """How many anchors, RoIs, patches or volumes each term of `stage_losses` is a mean over, by name; of parts they add up.

    From stage 2 on the counts are of RoIs, which the network proposes: it runs as far as that.
    """
    counts = {"global": tf.cast(tf.shape(batch.image)[0], tf.float32)} if stage.has_global else {}
    if stage.has_rpn:
        anchors = _rpn_goals(batch, config)
        positive = (anchors.objectness > 0) & anchors.valid
        counts |= {"rpn_objectness": _count(positive), "rpn_boxes": _count(anchors.indices_valid)}
    if stage.has_rcnn:
        features = model.features(batch.image)
        _, rois = _roi_goals(model, *model.rpn(features.d1), batch, config)
        patches = tf.minimum(tf.reduce_sum(tf.cast(rois.positive, tf.float32), 1), config.mask.rois)
        counts |= {"rcnn_class": _count(rois.valid), "rcnn_boxes": _count(rois.positive), "mask": tf.reduce_sum(patches)}
    return counts


def _count(valid: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(valid, tf.float32))


def _rpn_goals(batch: Batch, config: Config) -> targets.RPNTargets:
    grid_shape = tuple(n // config.detector.stride for n in batch.instances.shape[1:])

    def one(*annotation: tf.Tensor) -> targets.RPNTargets:
        return targets.rpn_targets(*annotation, grid_shape, config.detector)

    return per_sample(one, (batch.instances, batch.gt_boxes, batch.gt_valid, batch.gt_ignore), None)


def _rpn_losses(model: SynergyNet, objectness: tf.Tensor, cells: tf.Tensor, batch: Batch, config: Config,
                counts: Counts) -> Parts:
    goal = _rpn_goals(batch, config)
    focal = detection.focal_loss(objectness, goal.objectness, config.loss.focal_beta, goal.valid, config.loss.focal_normaliser,
                                 counts("rpn_objectness"))
    deltas = model.rpn.deltas_at(cells, goal.indices)
    boxes_loss = detection.box_loss(deltas, goal.deltas, goal.indices_valid, counts("rpn_boxes"))
    return {"rpn_objectness": focal, "rpn_boxes": boxes_loss}


def _roi_goals(model: SynergyNet, objectness: tf.Tensor, cells: tf.Tensor, batch: Batch,
               config: Config) -> tuple[Proposals, targets.RoITargets]:
    proposals = model.propose(objectness, cells, batch.image, config.detector.train_nms_iou)

    def one(*given: tf.Tensor) -> targets.RoITargets:
        return targets.roi_targets(*given, config.detector)

    return proposals, per_sample(one, (proposals.boxes, proposals.valid, batch.instances, batch.gt_boxes, batch.gt_valid,
                                       batch.gt_ignore, batch.seed), None)


def _roi_losses(model: SynergyNet, features: Features, objectness: tf.Tensor, cells: tf.Tensor, batch: Batch, stage: Stage,
                config: Config, training: bool, counts: Counts) -> Parts:
    proposals, goal = _roi_goals(model, objectness, cells, batch, config)
    logits, roi_deltas = model.refine(features.d1, goal.boxes)
    parts = {"rcnn_class": detection.binary_cross_entropy(logits, tf.cast(goal.positive, tf.float32), goal.valid,
                                                          counts("rcnn_class")),
             "rcnn_boxes": detection.box_loss(roi_deltas, goal.deltas, goal.positive, counts("rcnn_boxes"))}
    if stage.has_mask:
        refined = tf.stop_gradient(boxes.decode(roi_deltas, goal.boxes))
        patches = _mask_goals(refined, goal.positive, batch, config)
        if stage.has_global:
            # As in inference the head speaks of every proposal; no loss is on what it says, hence no gradient.
            spoken = model.refine(tf.stop_gradient(features.d1), proposals.boxes)
            detections = model.detect(proposals, *spoken, batch.image, config.detector.train_detections)
            parts |= _fused_losses(model, features, patches, detections, batch, config, training, counts)
        else:
            parts["mask"] = _patch_dice(model.patch_logits(features, patches.boxes, training), patches, counts)
    return parts


def _mask_goals(refined: tf.Tensor, positive: tf.Tensor, batch: Batch, config: Config) -> targets.MaskTargets:
    def one(*given: tf.Tensor) -> targets.MaskTargets:
        return targets.mask_targets(*given, config.mask)

    return per_sample(one, (refined, positive, batch.instances), None)


def _patch_dice(logits: tf.Tensor, goal: targets.MaskTargets, counts: Counts) -> tf.Tensor:
    """L_MASK over the patches of all samples: [B, M, S, S, S, 1] against the same."""
    rows = tf.concat([[-1], tf.shape(logits)[2:]], 0)
    return segmentation.dice_loss(tf.reshape(logits, rows), tf.reshape(goal.masks, rows), tf.reshape(goal.valid, [-1]),
                                  counts("mask"))


def _fused_losses(model: SynergyNet, features: Features, goal: targets.MaskTargets, detections: Detections, batch: Batch,
                  config: Config, training: bool, counts: Counts) -> Parts:
    """L_MASK on the sampled patches and L_U-Net on the volume after eq. 1, the mask head run once over both sets of patches."""
    mask_boxes = boxes.scale(detections.boxes, config.mask.context)
    patches = model.patch_logits(features, tf.concat([goal.boxes, mask_boxes], 1), training)
    sampled = goal.boxes.shape[1]
    prediction = Prediction(model.global_head((features.d1, features.e0), training=training), detections,
                            patches[:, sampled:], mask_boxes)
    fused = fused_logits(prediction, config.fusion.gamma, config.mask.window)
    return {"mask": _patch_dice(patches[:, :sampled], goal, counts),
            "global": segmentation.dice_loss(fused, _lesions(batch), count=counts("global"))}


def _lesions(batch: Batch) -> tf.Tensor:
    """Every lesion's voxels: float32 [B, X, Y, Z, 1], 0 or 1."""
    return tf.cast(batch.instances > 0, tf.float32)[..., None]


def make_train_step(model: SynergyNet | UNetSystem, optimizer: Any, stage: Stage,
                    config: Config) -> Callable[[Batch], tuple[tf.Tensor, Parts]]:
    """One update of the parts that `stage` trains: Batch -> total loss and its weighted parts, as a tf.function.

    Made under the scope of a tf.distribute strategy it takes a batch for each replica: the losses, and the update, are those of
    all these batches as one.

    Args:
        optimizer: of `make_optimizer`.
    """
    variables = trainable_variables(model, stage)
    strategy = tf.distribute.get_strategy()

    def losses(part: Batch, counts: Counts) -> tuple[tf.Tensor, Parts]:
        return total_loss(stage_losses(model, part, stage, config, True, counts), config.loss)

    def count(part: Batch) -> Parts:
        return stage_counts(model, part, stage, config)

    def update(batch: Batch) -> tuple[tf.Tensor, Parts]:
        if config.train.accumulate == 1:
            total, parts = losses(batch, _of_all_replicas)
            found = gradients(scaled(total, optimizer), variables)
        else:
            total, parts, found = accumulated(losses, count, batch, config.train.accumulate, variables, optimizer)
        total, parts, found = all_sum((total, parts, found))
        optimizer.apply_gradients(zip(found, variables))
        return total, parts

    @tf.function(autograph=False, jit_compile=config.train.jit_compile or None)
    def train_step(batch: Batch) -> tuple[tf.Tensor, Parts]:
        return strategy.run(update, args=(batch,))

    return train_step


def make_loss_step(model: SynergyNet | UNetSystem, stage: Stage, config: Config) -> Callable[[Batch], tuple[tf.Tensor, Parts]]:
    """The losses of a stage without an update, for validation."""

    @tf.function(autograph=False, jit_compile=config.train.jit_compile or None)
    def loss_step(batch: Batch) -> tuple[tf.Tensor, Parts]:
        return total_loss(stage_losses(model, batch, stage, config, training=False), config.loss)

    return loss_step
