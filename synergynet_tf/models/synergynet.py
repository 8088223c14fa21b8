"""SynergyNet: the residual U-Net, the Mask R-CNN on its decoder maps d1, d2, d3, and the way of a volume through them."""
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from synergynet_tf.config import Config, DetectorConfig, MaskConfig
from synergynet_tf.models.blocks import BuiltByCalling
from synergynet_tf.models.box_head import BoxHead
from synergynet_tf.models.fusion import fuse
from synergynet_tf.models.mask_head import MaskHead, MaskProjections
from synergynet_tf.models.recompute import NO_RECOMPUTATION, Recomputation
from synergynet_tf.models.rpn import RPNHead
from synergynet_tf.models.unet import LEVEL_STRIDES, Decoder, Encoder, GlobalHead, Maps3, least_image
from synergynet_tf.ops import anchors, boxes, nms, roi
from synergynet_tf.ops.interpolation import over_rows, shape_of
from synergynet_tf.structures import Detections, Prediction

DECODER_STRIDES = LEVEL_STRIDES[1:]     # of d1, d2, d3
CHUNK = 16              # RoIs whose masks inference computes at a time


class Features(NamedTuple):
    """Feature maps that the branches share: e0 at full resolution, d1, d2, d3 at strides 2, 4, 8."""

    e0: tf.Tensor
    d1: tf.Tensor
    d2: tf.Tensor
    d3: tf.Tensor


class Proposals(NamedTuple):
    """Decoded RPN boxes after suppression, best first."""

    boxes: tf.Tensor    # float32 [B, P, 6]
    valid: tf.Tensor    # bool [B, P]


class Layers(NamedTuple):
    """The parts of the network, each of which can be another that takes and gives the same."""

    encoder: Encoder
    decoder: Decoder
    rpn: RPNHead
    box_head: BoxHead
    projections: MaskProjections
    mask_head: MaskHead
    global_head: keras.layers.Layer     # (d1, e0) -> float32 logits [B, X, Y, Z, 1]


class SynergyNet(BuiltByCalling, keras.Model):
    """The paper's network (figure 1) from parts that are handed in; `build_synergynet` makes them from a configuration.

    Calling it on image float32 [B, X, Y, Z, C] (X, Y, Z multiples of 8) gives a Prediction. Training calls the methods below one
    by one, since each stage needs only some of them.
    """

    def __init__(self, layers: Layers, detector: DetectorConfig, mask: MaskConfig,
                 recompute: Recomputation = NO_RECOMPUTATION):
        super().__init__(name="synergynet")
        self.encoder, self.decoder, self.rpn, self.box_head = layers.encoder, layers.decoder, layers.rpn, layers.box_head
        self.projections, self.mask_head, self.global_head = layers.projections, layers.mask_head, layers.global_head
        self._detector, self._mask, self._recompute = detector, mask, recompute

    def call(self, image: tf.Tensor) -> Prediction:
        """Segment: image [B, X, Y, Z, C] -> Prediction with at most `detector.max_detections` detections."""
        features = self.features(image)
        objectness, cells = self.rpn(features.d1)
        proposals = self.propose(objectness, cells, image, self._detector.infer_nms_iou)
        logits, roi_deltas = self.refine(features.d1, proposals.boxes)
        detections = self.detect(proposals, logits, roi_deltas, image, self._detector.max_detections)
        mask_boxes = boxes.scale(detections.boxes, self._mask.context)
        return Prediction(global_logits=self.global_head((features.d1, features.e0)), detections=detections,
                          mask_logits=self.valid_mask_logits(features, mask_boxes, detections.valid), mask_boxes=mask_boxes)

    def features(self, image: tf.Tensor, training: bool = False) -> Features:
        """The shared layers: everything but the full-resolution decoder block."""
        e0, e1, e2, e3 = self.encoder(image, training=training)
        return Features(e0, *self.decoder((e1, e2, e3), training=training))

    def propose(self, objectness: tf.Tensor, cells: tf.Tensor, image: tf.Tensor, nms_iou: float) -> Proposals:
        """What the RPN gives -> the `detector.proposals` best boxes that do not overlap above `nms_iou`.

        Boxes carry no gradient.
        """
        config, shape = self._detector, shape_of(image)[1:4]
        scores, best = nms.best(tf.stop_gradient(objectness), config.pre_nms)
        reference = anchors.anchors_at(best, [n // config.stride for n in shape], config.stride, config.anchor_sizes)
        decoded = boxes.clip(boxes.decode(tf.stop_gradient(self.rpn.deltas_at(tf.stop_gradient(cells), best)), reference), shape)

        def of_sample(decoded: tf.Tensor, scores: tf.Tensor) -> Proposals:
            kept, valid = nms.nms_3d(decoded, scores, _at_least_a_voxel(decoded), nms_iou, config.proposals)
            return Proposals(tf.gather(decoded, kept), valid)

        return per_sample(of_sample, (decoded, scores), Proposals(tf.float32, tf.bool))

    def refine(self, d1: tf.Tensor, rois: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The R-CNN sub-network on RoIs [B, R, 6] of d1 -> logits [B, R] and deltas [B, R, 6]."""
        crops = crop_rois(d1, rois, DECODER_STRIDES[0], self._detector.roi_size, max(self._detector.anchor_sizes))
        logits, deltas = self.box_head(crops)
        lead = shape_of(rois)[:2]
        return tf.reshape(logits, lead), tf.reshape(deltas, [*lead, 6])

    def detect(self, proposals: Proposals, logits: tf.Tensor, deltas: tf.Tensor, image: tf.Tensor, count: int) -> Detections:
        """Refined, cut to the image, scored and suppressed once more: the `count` best boxes. They carry no gradient."""
        config, shape = self._detector, shape_of(image)[1:4]

        def of_sample(reference: tf.Tensor, valid: tf.Tensor, logits: tf.Tensor, deltas: tf.Tensor) -> Detections:
            refined, scores = boxes.clip(boxes.decode(deltas, reference), shape), tf.sigmoid(logits)
            confident = valid & (scores >= config.score_threshold) & _at_least_a_voxel(refined)
            kept, kept_valid = nms.nms_3d(refined, scores, confident, config.final_nms_iou, count)
            return Detections(tf.gather(refined, kept), tf.gather(scores, kept), kept_valid)

        fixed = (proposals.boxes, proposals.valid, tf.stop_gradient(logits), tf.stop_gradient(deltas))
        return per_sample(of_sample, fixed, Detections(tf.float32, tf.float32, tf.bool))

    def mask_logits(self, features: Features, mask_boxes: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The Mask sub-network on RoIs [B, K, 6], cropped from d1, d2, d3 and brought to one grid -> logits [B, K, S, S, S, 1].

        The boxes get no gradient.
        """
        def section(*maps: tf.Tensor) -> tf.Tensor:
            return self._segment(self.projections(maps), _merge_lead(mask_boxes), _volumes_of(mask_boxes))

        maps = features.d1, features.d2, features.d3
        logits = self._recompute(section, *maps) if training and self._recompute.levels else section(*maps)
        return tf.reshape(logits, [*shape_of(mask_boxes)[:2], *(self._mask.size,) * 3, 1])

    def valid_mask_logits(self, features: Features, mask_boxes: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """`mask_logits` where `valid` (bool [B, K]) holds, 0 elsewhere: time and memory follow the number of valid RoIs.

        Without a gradient, hence not for training.
        """
        projected = self.projections((features.d1, features.d2, features.d3))
        lead = shape_of(mask_boxes)[:2]
        indices, flat = _volumes_of(mask_boxes), _merge_lead(mask_boxes)

        def add(rows: tf.Tensor, live: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
            made = self._segment(projected, tf.gather(flat, rows), tf.gather(indices, rows))
            return tf.tensor_scatter_nd_add(logits, rows[:, None], tf.where(live[:, None, None, None, None], made, 0.0))

        size = self._mask.size
        logits = over_rows(tf.reshape(valid, [-1]), CHUNK, add, tf.zeros([lead[0] * lead[1], size, size, size, 1]))
        return tf.reshape(logits, [lead[0], lead[1], size, size, size, 1])

    def _segment(self, projected: Maps3, mask_boxes: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        """RoIs [N, 6] of the volumes `indices` [N] -> logits [N, S, S, S, 1]."""
        largest = self._mask.context * max(self._detector.anchor_sizes)
        return self.mask_head(tuple(_crop(level, mask_boxes, indices, stride, self._mask.size, largest)
                                    for level, stride in zip(projected, DECODER_STRIDES)))


def build_synergynet(config: Config, global_head: keras.layers.Layer | None = None) -> SynergyNet:
    """The network of a configuration, with every weight made (for `len(config.data.channels)` channels).

    Args:
        config: its unet, detector and mask settings, `train.recompute` and `data.channels` are used.
        global_head: stands in the place of the U-Net's, (d1, e0) -> float32 logits [B, X, Y, Z, 1].
    """
    detector, recompute = config.detector, Recomputation(config.train.recompute)
    layers = Layers(
        Encoder(config.unet, recompute), Decoder(config.unet, recompute),
        RPNHead(detector.rpn_width, len(detector.anchor_sizes), detector.stride),
        BoxHead(detector.box_width), MaskProjections(config.mask.width), MaskHead(config.mask.width),
        global_head or GlobalHead(config.unet, recompute))
    model = SynergyNet(layers, detector, config.mask, recompute)
    _make_weights(model, least_image(config))
    return model


def _make_weights(model: SynergyNet, image: tf.Tensor) -> None:
    """Call each layer once, on one box: a call of the whole would plan suppression and masks for hundreds."""
    features, box = model.features(image), tf.constant([[[0.0, 0.0, 0.0, *image.shape[1:4]]]])
    model.rpn(features.d1)
    model.refine(features.d1, box)
    model.mask_logits(features, box)
    model.global_head((features.d1, features.e0))


def paste_masks(prediction: Prediction, window: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Y_m of eq. 1 in the volume: mean logits [B, X, Y, Z, 1] of the masks over each voxel, and whether any covers it."""
    return roi.paste_3d(_merge_lead(prediction.mask_logits), _merge_lead(prediction.mask_boxes),
                        _volumes_of(prediction.mask_boxes), tf.reshape(prediction.detections.valid, [-1]),
                        shape_of(prediction.global_logits)[:4], window)


def fused_logits(prediction: Prediction, gamma: float, window: int) -> tf.Tensor:
    """Eq. 1 over the whole volume: [B, X, Y, Z, 1]."""
    local, covered = paste_masks(prediction, window)
    return fuse(prediction.global_logits, local, covered, gamma)


def crop_rois(level: tf.Tensor, rois: tf.Tensor, stride: int, cells: int, largest: float) -> tf.Tensor:
    """Crop RoIs [B, R, 6] (full-resolution voxels) from a feature map [B, x, y, z, C] of `stride` -> [B * R, s, s, s, C].

    `largest` is the side in voxels that few of them exceed: crops of those take longer.
    """
    return _crop(level, _merge_lead(rois), _volumes_of(rois), stride, cells, largest)


def _crop(level: tf.Tensor, rois: tf.Tensor, indices: tf.Tensor, stride: int, cells: int, largest: float) -> tf.Tensor:
    """RoI crops of a feature map; the boxes get no gradient: the box losses train them."""
    size = (cells,) * 3
    return roi.crop_and_resize_3d(level, roi.to_normalised(rois, shape_of(level)[1:4], stride, size), indices, size,
                                  boxes_gradient=False, reach=roi.reach(largest, stride, cells))


def per_sample(of_sample: Callable, batched: tuple[tf.Tensor, ...], dtypes: Any) -> Any:
    """Apply a function of one sample to each sample of a batch; `dtypes` mirrors what it returns."""
    if batched[0].shape[0] is None:
        return tf.map_fn(lambda sample: of_sample(*sample), batched, fn_output_signature=dtypes)
    results = [of_sample(*sample) for sample in zip(*map(tf.unstack, batched))]
    return tf.nest.map_structure(lambda *values: tf.stack(values), *results)


def _at_least_a_voxel(candidates: tf.Tensor) -> tf.Tensor:
    """Whether each side of a box [..., 6] is 1 or more: bool [...]."""
    low, high = tf.split(candidates, 2, axis=-1)
    return tf.reduce_all(high - low >= 1, -1)


def _merge_lead(tensor: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tensor, [-1, *shape_of(tensor)[2:]])


def _volumes_of(rois: tf.Tensor) -> tf.Tensor:
    """The volume that each of [B, R, 6] boxes lies in, as `_merge_lead` puts them: int32 [B * R]."""
    batch, count, _ = shape_of(rois)
    return tf.range(batch * count) // count
