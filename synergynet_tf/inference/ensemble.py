"""Networks that answer together: several runs, and with `infer.mirror` each network beside itself on the mirrored image."""
from collections.abc import Sequence
from operator import attrgetter

import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from synergynet_tf.structures import Network, Prediction

SHARED = ("data.channels", "infer.threshold", "infer.mirror", "infer.min_lesion", "infer.min_peak", "lesions.connectivity")


def require_agreement(configs: Sequence[Config]) -> None:
    """See that networks whose probabilities are to be averaged see and mark alike.

    Raises:
        InputError: they do not.
    """
    first = configs[0]
    for config in configs[1:]:
        for name in SHARED:
            value, other = (attrgetter(name)(each) for each in (config, first))
            if value != other:
                raise InputError(f"{name} is {value} in one run, but {other} in another: only runs that agree make an ensemble")


def sides(network: Network, config: Config) -> tuple[Network, ...]:
    """The network, and with `infer.mirror` also the one that sees the mirrored image."""
    return (network, mirrored(network)) if config.infer.mirror else (network,)


def mirrored(network: Network) -> Network:
    """A network that looks at images from the other side, along X, and answers in the image's own voxels."""
    def predict(image: tf.Tensor) -> Prediction:
        seen = network(tf.reverse(image, [1]))
        length = tf.cast(tf.shape(image)[1], tf.float32)
        return Prediction(tf.reverse(seen.global_logits, [1]),
                          seen.detections._replace(boxes=_turned(seen.detections.boxes, length)),
                          tf.reverse(seen.mask_logits, [2]), _turned(seen.mask_boxes, length))

    return predict


def _turned(boxes: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Boxes [..., 6] of a mirrored volume of `length` voxels along X."""
    x0, y0, z0, x1, y1, z1 = tf.unstack(boxes, axis=-1)
    return tf.stack([length - x1, y0, z0, length - x0, y1, z1], -1)
