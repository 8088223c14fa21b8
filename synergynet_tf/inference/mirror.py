"""The network on the mirrored image: what it says there is turned back, as of a further network (`infer.mirror`)."""
from collections.abc import Callable

import tensorflow as tf

from synergynet_tf.structures import Prediction

Network = Callable[[tf.Tensor], Prediction]


def mirrored(network: Network) -> Network:
    """A network that looks at images from the other side, along X, and answers in the image's own voxels."""
    def predict(image: tf.Tensor) -> Prediction:
        found = network(tf.reverse(image, [1]))
        length = tf.cast(tf.shape(image)[1], tf.float32)
        return Prediction(tf.reverse(found.global_logits, [1]),
                          found.detections._replace(boxes=_turned(found.detections.boxes, length)),
                          tf.reverse(found.patch_logits, [2]), _turned(found.mask_boxes, length))

    return predict


def _turned(boxes: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Boxes [..., 6] of a mirrored volume of `length` voxels along X."""
    x0, y0, z0, x1, y1, z1 = tf.unstack(boxes, axis=-1)
    return tf.stack([length - x1, y0, z0, length - x0, y1, z1], -1)
