"""The residual U-Net: the backbone of every network here and, whole, the paper's baseline (paper, 2.1).

    image [B, X, Y, Z, C] -> encoder e0, e1, e2, e3 at strides 1, 2, 4, 8 -> decoder d3, d2, d1 at strides 8, 4, 2
                          -> global head: full resolution, logits [B, X, Y, Z, 1]

The local branch reads d1, d2 and d3. d3 is e3: at the lowest resolution there is nothing to join, so the block that ends the
encoder begins the decoder. The global head is what the paper's last training stage calls the remaining layers of the decoder.

With the default widths and one channel there are 1.42 M weights. Sides are free, but each must be a multiple of 8.

In training the levels that `recompute` names, from full resolution on, are not kept for the gradients but made once more.
"""
import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from synergynet_tf.config import Config, UNetConfig
from synergynet_tf.errors import InputError
from synergynet_tf.models.blocks import BuiltByCalling, JoiningBlock, ResidualBlock
from synergynet_tf.models.convolution import Conv3D
from synergynet_tf.models.recompute import NO_RECOMPUTATION, Recomputation
from synergynet_tf.structures import Detections, Prediction

LEVEL_STRIDES = (1, 2, 4, 8)     # of the encoder's maps e0, e1, e2, e3
GLOBAL_PRIOR = 0.03     # first probability of a lesion voxel: near its share of the brain, so that training starts from "nothing"
LOGIT_SPREAD = 0.01     # standard deviation of a logit layer's first weights: the prior holds wherever the features stand

Maps = tf.Tensor | tuple[tf.Tensor, ...]
Maps3 = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def logit_layer(channels: int, prior: float, name: str) -> keras.layers.Conv3D:
    """A 1x1x1 convolution to float32 logits whose first probability is about `prior` everywhere (Lin et al. 2017, 3.3)."""
    return Conv3D(
        channels, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=LOGIT_SPREAD),
        bias_initializer=keras.initializers.Constant(math.log(prior / (1 - prior))), dtype="float32", name=name)


class _Part(BuiltByCalling, keras.Model):
    """A part of the U-Net whose finest levels may be recomputed."""

    def __init__(self, recompute: Recomputation, name: str):
        super().__init__(name=name)
        self._recompute = recompute

    def _run(self, level: int, section: Callable[..., tf.Tensor], maps: Maps, training: bool | None) -> Any:
        if not training or level >= self._recompute.levels:
            return section(maps, training=training)
        inputs = tf.nest.flatten(maps)
        return self._recompute(lambda *flat: section(tf.nest.pack_sequence_as(maps, flat), training=training), *inputs)


class Encoder(_Part):
    """image [B, X, Y, Z, C] -> (e0, e1, e2, e3) at strides 1, 2, 4, 8 with `config.widths` channels."""

    def __init__(self, config: UNetConfig, recompute: Recomputation = NO_RECOMPUTATION, name: str = "encoder"):
        super().__init__(recompute, name)
        self.blocks = [ResidualBlock(width, config.convolutions, config.norm, stride=1 if i == 0 else 2,
                                     recompute=i < recompute.levels, name=f"e{i}")
                       for i, width in enumerate(config.widths)]

    def call(self, image: tf.Tensor, training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Features of the four levels, float [B, X/s, Y/s, Z/s, C] with s of 1, 2, 4 and 8, of an image [B, X, Y, Z, channels].

        Raises:
            InputError: a side that is known when the graph is made is no multiple of 8.
        """
        sides = tuple(image.shape[1:4])
        if any(n is not None and n % LEVEL_STRIDES[-1] for n in sides):
            raise InputError(f"image: sides are {sides} voxels, but the U-Net needs multiples of {LEVEL_STRIDES[-1]}; "
                             "crop or pad it")
        maps = [image]
        for level, block in enumerate(self.blocks):
            maps.append(self._run(level, block, maps[-1], training))
        _, e0, e1, e2, e3 = maps
        return e0, e1, e2, e3


class Decoder(_Part):
    """(e1, e2, e3) -> (d1, d2, d3) at strides 2, 4, 8 with `config.widths[1:]` channels."""

    def __init__(self, config: UNetConfig, recompute: Recomputation = NO_RECOMPUTATION, name: str = "decoder"):
        super().__init__(recompute, name)
        _, width1, width2, _ = config.widths
        self.block2 = JoiningBlock(width2, config.convolutions, config.norm, recompute.levels > 2, name="d2")
        self.block1 = JoiningBlock(width1, config.convolutions, config.norm, recompute.levels > 1, name="d1")

    def call(self, maps: Maps3, training: bool | None = None) -> Maps3:
        """Maps (e1, e2, e3) -> (d1, d2, d3)."""
        e1, e2, e3 = maps
        d3 = e3
        d2 = self._run(2, self.block2, (d3, e2), training)
        d1 = self._run(1, self.block1, (d2, e1), training)
        return d1, d2, d3


class GlobalHead(_Part):
    """(d1, e0) -> float32 logits [B, X, Y, Z, 1], Y_u of eq. 1: the block at full resolution and the logit layer."""

    def __init__(self, config: UNetConfig, recompute: Recomputation = NO_RECOMPUTATION, name: str = "global_head"):
        super().__init__(recompute, name)
        self.block0 = JoiningBlock(config.widths[0], config.convolutions, config.norm, recompute.levels > 0, name="d0")
        self.logits = logit_layer(1, GLOBAL_PRIOR, "logits")

    def call(self, maps: tuple[tf.Tensor, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Maps (d1, e0) -> float32 logits [B, X, Y, Z, 1]."""
        return self._run(0, self._head, maps, training)

    def _head(self, maps: tuple[tf.Tensor, tf.Tensor], training: bool | None) -> tf.Tensor:
        return self.logits(self.block0(maps, training=training), training=training)


class UNet(BuiltByCalling, keras.Model):
    """The baseline: image [B, X, Y, Z, C] -> float32 logits [B, X, Y, Z, 1]."""

    def __init__(self, config: UNetConfig, recompute: Recomputation = NO_RECOMPUTATION, name: str = "unet"):
        super().__init__(name=name)
        self.encoder = Encoder(config, recompute)
        self.decoder = Decoder(config, recompute)
        self.global_head = GlobalHead(config, recompute)

    def call(self, image: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Image [B, X, Y, Z, C] -> float32 logits [B, X, Y, Z, 1]."""
        e0, e1, e2, e3 = self.encoder(image, training=training)
        d1, _, _ = self.decoder((e1, e2, e3), training=training)
        return self.global_head((d1, e0), training=training)


class UNetSystem(UNet):
    """The baseline as a system beside SynergyNet: called on an image it gives a Prediction, one without detections."""

    def call(self, image: tf.Tensor) -> Prediction:  # type: ignore[override]  # a system's answer in place of its logits
        """Image [B, X, Y, Z, C] -> a Prediction without detections."""
        logits = self.logits(image)
        rows = tf.shape(image)[0]
        boxes = tf.zeros([rows, 0, 6])
        nothing = Detections(boxes, tf.zeros([rows, 0]), tf.zeros([rows, 0], tf.bool))
        return Prediction(logits, nothing, mask_logits=tf.zeros([rows, 0, 1, 1, 1, 1]), mask_boxes=boxes)

    def logits(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        """image [B, X, Y, Z, C] -> float32 logits [B, X, Y, Z, 1], as training wants them."""
        return super().call(image, training=training)


def least_image(config: Config) -> tf.Tensor:
    """The smallest image a network takes: each layer that is called on it has its weights made, in no time and no memory."""
    return tf.zeros((1, *(LEVEL_STRIDES[-1],) * 3, len(config.data.channels)))


def build_unet(config: Config) -> UNetSystem:
    """The U-Net of a configuration, with every weight made (for `len(config.data.channels)` channels)."""
    model = UNetSystem(config.unet, Recomputation(config.train.recompute))
    model.logits(least_image(config))
    return model
