"""The way of a batch through the network in training, as far as the terms of a stage ask for it."""
import functools

import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.models import targets
from synergynet_tf.models.synergynet import Features, Proposals, SynergyNet, fused_logits, per_sample
from synergynet_tf.models.unet import UNetSystem
from synergynet_tf.ops import boxes
from synergynet_tf.structures import Batch, Prediction
from synergynet_tf.training.stages import Stage


class Forward:
    """What the network makes of a batch, and what it is trained towards; each is computed when it is first asked for.

    So a stage computes what its own terms need and nothing of a later stage.

    Args:
        training: whether batch normalisation takes the batch's statistics, and levels of the U-Net are recomputed.
    """

    def __init__(self, model: SynergyNet | UNetSystem, batch: Batch, stage: Stage, config: Config, training: bool):
        self.batch, self.stage, self.config = batch, stage, config
        self._model, self._training = model, training
        self._annotation = targets.Annotation(batch.instances, batch.gt_boxes, batch.gt_valid, batch.gt_ignore)

    @functools.cached_property
    def lesions(self) -> tf.Tensor:
        """Every lesion's voxels: float32 [B, X, Y, Z, 1], 0 or 1."""
        return tf.cast(self.batch.instances > 0, tf.float32)[..., None]

    @functools.cached_property
    def features(self) -> Features:
        """The maps that the branches share."""
        return self._model.features(self.batch.image, self._training)

    @functools.cached_property
    def anchor_targets(self) -> targets.RPNTargets:
        """What each anchor should become: [B, N], [B, M], [B, M, 6]."""
        config = self.config.detector
        grid_shape = tuple(n // config.stride for n in self.batch.instances.shape[1:])

        def of_sample(*annotation: tf.Tensor) -> targets.RPNTargets:
            return targets.rpn_targets(targets.Annotation(*annotation), grid_shape, config)

        return per_sample(of_sample, self._annotation, None)

    @functools.cached_property
    def rpn(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Of the RPN: objectness [B, N], and the cells that `anchor_deltas` reads."""
        return self._model.rpn(self.features.d1)

    @functools.cached_property
    def anchor_deltas(self) -> tf.Tensor:
        """Of the RPN: the deltas of the positive anchors, [B, M, 6]."""
        return self._model.rpn.deltas_at(self.rpn[1], self.anchor_targets.indices)

    @functools.cached_property
    def proposals(self) -> Proposals:
        """The RPN's boxes after suppression, without a gradient."""
        return self._model.propose(*self.rpn, self.batch.image, self.config.detector.train_nms_iou)

    @functools.cached_property
    def roi_targets(self) -> targets.RoITargets:
        """The RoIs sampled for the R-CNN, and what each should become: [B, R, 6], [B, R]."""
        proposals = self.proposals

        def of_sample(boxes: tf.Tensor, valid: tf.Tensor, seed: tf.Tensor, *annotation: tf.Tensor) -> targets.RoITargets:
            return targets.roi_targets(boxes, valid, seed, targets.Annotation(*annotation), self.config.detector)

        return per_sample(of_sample, (proposals.boxes, proposals.valid, self.batch.seed, *self._annotation), None)

    @functools.cached_property
    def rois(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Of the R-CNN: logits [B, R] and deltas [B, R, 6] of the sampled RoIs."""
        return self._model.refine(self.features.d1, self.roi_targets.boxes)

    @property
    def mask_count(self) -> tf.Tensor:
        """How many RoIs of the batch `mask_targets` takes, float32 scalar; known before they are refined."""
        positive = tf.reduce_sum(tf.cast(self.roi_targets.positive, tf.float32), 1)
        return tf.reduce_sum(tf.minimum(positive, self.config.mask.rois))

    @functools.cached_property
    def mask_targets(self) -> targets.MaskTargets:
        """The refined RoIs that hold a lesion, and the lesion voxels in each: [B, M, 6], [B, M, S, S, S, 1]."""
        refined = tf.stop_gradient(boxes.decode(self.rois[1], self.roi_targets.boxes))
        of_sample = functools.partial(targets.mask_targets, config=self.config.mask)
        return per_sample(of_sample, (refined, self.roi_targets.positive, self.batch.instances), None)

    @functools.cached_property
    def mask_logits(self) -> tf.Tensor:
        """Of the Mask sub-network, for `mask_targets`: [B, M, S, S, S, 1]."""
        if self.stage.has_global:
            return self._masks_and_prediction[0]
        return self._model.mask_logits(self.features, self.mask_targets.boxes, self._training)

    @functools.cached_property
    def volume_logits(self) -> tf.Tensor:
        """Of the whole volume, [B, X, Y, Z, 1]: after eq. 1, or of the U-Net where it is trained alone."""
        if not self.stage.has_rpn:
            return self._model.logits(self.batch.image, self._training)
        return fused_logits(self._masks_and_prediction[1], self.config.fusion.gamma, self.config.mask.window)

    @functools.cached_property
    def _masks_and_prediction(self) -> tuple[tf.Tensor, Prediction]:
        """The logits of `mask_targets`, and all that eq. 1 fuses: the mask head runs once over both sets of boxes."""
        model, features, config = self._model, self.features, self.config
        goal = self.mask_targets
        # As in inference every proposal is classified and refined. No loss is computed on these outputs, hence no gradient.
        class_logits, deltas = model.refine(tf.stop_gradient(features.d1), self.proposals.boxes)
        detections = model.detect(self.proposals, class_logits, deltas, self.batch.image, config.detector.train_detections)
        mask_boxes = boxes.scale(detections.boxes, config.mask.context)
        logits = model.mask_logits(features, tf.concat([goal.boxes, mask_boxes], 1), self._training)
        sampled = goal.boxes.shape[1]
        global_logits = model.global_head((features.d1, features.e0), training=self._training)
        return logits[:, :sampled], Prediction(global_logits, detections, logits[:, sampled:], mask_boxes)
