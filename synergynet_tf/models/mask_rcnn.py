"""The baseline Mask R-CNN: the local branch alone, on its own features, for lesions of every size (paper, 3).

It is SynergyNet's network without the global branch: in place of that branch's logits there is a constant "no lesion", and with
gamma 1 eq. 1 takes the mask's logits wherever a mask lies. Which lesions it is for, its anchors and its gamma are settings; the
preset `mask_rcnn` holds them.
"""
import keras
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.models.synergynet import SynergyNet, build_synergynet

NO_LESION = -12.0       # logit: its probability rounds to 0


class NoGlobalHead(keras.layers.Layer):
    """(d1, e0) -> float32 logits [B, X, Y, Z, 1] of "no lesion" everywhere. It has no weights."""

    def build(self, input_shape: tuple) -> None:
        """There is nothing to make."""
        del input_shape
        self.built = True

    def call(self, maps: tuple[tf.Tensor, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Maps (d1, e0) -> constant logits [B, X, Y, Z, 1] on the grid of e0."""
        del training        # as GlobalHead is called
        return tf.fill(tf.concat([tf.shape(maps[1])[:-1], [1]], 0), NO_LESION)


def build_mask_rcnn(config: Config) -> SynergyNet:
    """The network of a configuration, with every weight made (for `len(config.data.channels)` channels)."""
    return build_synergynet(config, NoGlobalHead(name="global_head"))
