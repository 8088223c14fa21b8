"""What the networks are built from: normalisation, convolution with it, the residual block, alone and for two maps.

Everything here takes and gives [B, X, Y, Z, C] and asks for a static C only. Statistics are float32 whatever the compute dtype.

The rectifier is plain ReLU: its gradient reads its own output, which the next convolution keeps anyway, whereas a leaky one also
keeps its input, one more full-resolution map per layer.
"""
import functools
import inspect
import math
from typing import Literal

import keras
import tensorflow as tf

from synergynet_tf.models.convolution import Conv3D, after, convolve, convolve_activated, convolve_repeated, kernel_of
from synergynet_tf.ops.interpolation import shape_of

Norm = Literal["instance", "group", "batch"]

EPSILON = 1e-5
GROUPS = 8              # of "group"; fewer where the width is no multiple of 8
MAX_UNSTACKED = 8       # the largest static batch that is normalised volume by volume

# Keras 3 and Keras 2 name differently the flag that keeps a weight float32 under mixed precision.
_KEEP_FLOAT32 = {
    "autocast" if "autocast" in inspect.signature(keras.layers.Layer.add_weight).parameters else "experimental_autocast": False}


class BuiltByCalling:
    """For layers that only hold other layers: the first call builds those, and there is nothing else to build.

    Without its own `build` Keras 3 first traces a layer's `call` symbolically, once more for every level of nesting: seconds
    for a U-Net, and again in every test. It stands before the Keras class among the bases.
    """

    def build(self, input_shape: tuple) -> None:
        """Nothing to make: the layers inside are built when they are called."""
        del input_shape         # the layers inside see theirs when they are called
        self.built = True


def fused_instance_norm(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Instance normalisation of one volume by the batch-norm kernel: the statistics of a batch of one are the instance's.

    On a CPU this costs about 0.3 of the same from `tf.nn.moments`, forward and backward.

    Args:
        x: [1, X, Y, Z, C], float32, bfloat16 or float16.
        scale: float32 [C].
        offset: float32 [C].

    Returns:
        [1, X, Y, Z, C] in x's dtype.
    """
    shape = shape_of(x)
    flat = tf.reshape(x, [1, shape[1] * shape[2], shape[3], x.shape[-1]])     # the kernel knows two spatial axes
    none = tf.zeros([0])                                                      # running statistics: not used when training
    y = tf.raw_ops.FusedBatchNormV3(
        x=flat, scale=scale, offset=offset, mean=none, variance=none, epsilon=EPSILON, is_training=True).y
    return tf.ensure_shape(tf.reshape(y, tf.shape(x)), x.shape)


def moments_norm(x: tf.Tensor, groups: int, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Normalise each group of channels of each volume (Wu and He 2018); `groups` = C is instance normalisation.

    Args:
        x: [B, X, Y, Z, C], any float dtype, B free.
        groups: divides C.
        scale: float32 [C].
        offset: float32 [C].

    Returns:
        [B, X, Y, Z, C] in x's dtype.
    """
    shape = tf.shape(x)
    channels = x.shape[-1]
    grouped = tf.reshape(tf.cast(x, tf.float32), [shape[0], shape[1] * shape[2] * shape[3], groups, channels // groups])
    mean, variance = tf.nn.moments(grouped, [1, 3], keepdims=True)
    y = tf.reshape((grouped - mean) * tf.math.rsqrt(variance + EPSILON), shape) * scale + offset
    return tf.ensure_shape(tf.cast(y, x.dtype), x.shape)


class GroupNorm(keras.layers.Layer):
    """Group normalisation with a learned scale and offset per channel; `groups=None` is instance normalisation.

    An instance norm takes the fused kernel, volume by volume, where the batch is static and at most 8; an unknown or larger batch
    takes the vectorised moments, which give the same numbers.
    """

    def __init__(self, groups: int | None = None, name: str | None = None):
        super().__init__(name=name, autocast=False)      # the input keeps its dtype: the kernels widen what they must
        self.groups = groups

    def build(self, input_shape: tuple) -> None:
        """Make the weights for an input of this shape."""
        channels = (int(input_shape[-1]),)
        self.scale = self.add_weight(
            name="scale", shape=channels, initializer="ones", dtype="float32", trainable=True, **_KEEP_FLOAT32)
        self.offset = self.add_weight(
            name="offset", shape=channels, initializer="zeros", dtype="float32", trainable=True, **_KEEP_FLOAT32)
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """x [B, X, Y, Z, C] -> a map of the same number of axes, in x's dtype."""
        scale, offset = tf.convert_to_tensor(self.scale), tf.convert_to_tensor(self.offset)
        if self.groups is not None:
            return moments_norm(x, self.groups, scale, offset)
        batch = x.shape[0]
        if batch is None or batch > MAX_UNSTACKED:
            return moments_norm(x, x.shape[-1], scale, offset)
        if batch == 1:
            return fused_instance_norm(x, scale, offset)
        return tf.concat([fused_instance_norm(sample, scale, offset) for sample in tf.split(x, batch)], axis=0)


class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation with moving statistics, for comparison: it wants larger batches than two volumes."""

    def __init__(self, name: str | None = None):
        super().__init__(momentum=0.9, epsilon=EPSILON, name=name)


def normalisation(kind: Norm, width: int, name: str) -> keras.layers.Layer:
    """The normalisation layer of `unet.norm` for `width` channels."""
    if kind == "batch":
        return BatchNorm(name=name)
    return GroupNorm(None if kind == "instance" else math.gcd(GROUPS, width), name=name)


def build_layer(layer: keras.layers.Layer, input_shape: tuple) -> None:
    """Make the weights of a layer that is never called as a whole; Keras 2 names them by the scope that is open."""
    with tf.name_scope(layer.name):
        layer.build(input_shape)


class ConvNormAct(keras.layers.Layer):
    """A cubic convolution, a normalisation and, if asked for, ReLU. The norm's offset stands for the convolution's bias."""

    def __init__(self, width: int, norm: Norm, size: int = 3, stride: int = 1, activation: bool = True, name: str | None = None):
        super().__init__(name=name)
        self.conv = Conv3D(
            width, size, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal", name="conv")
        self.norm = normalisation(norm, width, "norm")
        self.activation = activation
        self.normalises_batch = norm == "batch"

    def build(self, input_shape: tuple) -> None:
        """Make the weights for an input of this shape."""
        build_layer(self.conv, input_shape)
        build_layer(self.norm, (*input_shape[:-1], self.conv.filters))
        self.built = True

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """x [B, X, Y, Z, C] -> a map of the same number of axes, in x's dtype."""
        return self.normalise(self.conv(x, training=training), training)

    def normalise(self, x: tf.Tensor, training: bool | None) -> tf.Tensor:
        """What follows the convolution."""
        x = self.norm(x, training=training) if self.normalises_batch else self.norm(x)
        return tf.nn.relu(x) if self.activation else x


class ResidualBlock(keras.layers.Layer):
    """`convolutions` 3x3x3 convolutions beside a shortcut, added before the last ReLU (He et al. 2016; paper, 2.1).

    The first convolution carries the stride. The shortcut is the identity, or a 1x1x1 convolution where the width changes; where
    the block strides it is a convolution of the stride's own size, which reads each cell's voxels once: a 1x1x1 one would skip
    seven voxels of eight and lie half a voxel off the cell's centre.

    With `recompute` the maps that its later convolutions read are made anew for the gradients in training, not kept.
    """

    def __init__(self, width: int, convolutions: int, norm: Norm, stride: int = 1, recompute: bool = False,
                 name: str | None = None):
        super().__init__(name=name)
        self.width = width
        self.stride = stride
        self.recompute = recompute
        last = convolutions - 1
        self.units = [ConvNormAct(width, norm, stride=stride if i == 0 else 1, activation=i != last, name=f"unit{i}")
                      for i in range(convolutions)]
        self.project: Conv3D | None = None

    def build(self, input_shape: tuple) -> None:
        """Make the weights for an input of this shape."""
        self._make_weights(tuple(input_shape), self.stride > 1 or int(input_shape[-1]) != self.width)
        self.built = True

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """x [B, X, Y, Z, C] -> a map of the same number of axes, in x's dtype."""
        return self._finish(*self._enter(x, training), training)

    def _make_weights(self, input_shape: tuple, project: bool) -> None:
        build_layer(self.units[0], input_shape)
        if project:
            self.project = Conv3D(self.width, self.stride, strides=self.stride, padding="same", use_bias=False,
                                  kernel_initializer="he_normal", dtype=self.dtype_policy, name="project")
            build_layer(self.project, input_shape)
        for unit in self.units[1:]:
            build_layer(unit, (*input_shape[:-1], self.width))

    def _enter(self, x: tf.Tensor, training: bool | None) -> tuple[tf.Tensor, tf.Tensor]:
        """What reads the block's input: the shortcut and the first convolution."""
        first = self.units[0].conv
        if self.project is None:
            return x, first(x, training=training)
        shortcut, x = convolve(x, [kernel_of(self.project), kernel_of(first)], training, first.strides)
        return shortcut, x

    def _finish(self, shortcut: tf.Tensor, x: tf.Tensor, training: bool | None) -> tf.Tensor:
        """What follows the first convolution."""
        for unit, following in zip(self.units, self.units[1:]):
            activate = functools.partial(unit.normalise, training=training)
            if training and self.recompute:
                x = convolve_activated(x, activate, kernel_of(following.conv))
            else:
                x = following.conv(activate(x), training=training)
        return tf.nn.relu(self.units[-1].normalise(x, training) + shortcut)


class JoiningBlock(ResidualBlock):
    """A residual block of two maps side by side: (coarse, skip) -> [B, X, Y, Z, width] at the resolution of `skip`.

    The coarse map, of half the resolution, is brought to `width` channels by a 1x1x1 convolution and every cell repeated 2x2x2,
    so that both halves of a cell stay centred on it. The repeated map is never made, nor the two of them joined: a convolution
    of both is the sum of one of each, and that of the repeated map follows from the cells themselves.
    """

    def __init__(self, width: int, convolutions: int, norm: Norm, recompute: bool = False, name: str | None = None):
        super().__init__(width, convolutions, norm, recompute=recompute, name=name)
        self.up = keras.layers.Conv3D(width, 1, use_bias=False, kernel_initializer="he_normal", name="up")

    def build(self, input_shape: tuple) -> None:
        """Make the weights for inputs of these two shapes."""
        coarse, skip = map(tuple, input_shape)
        joined = (*skip[:-1], self.width + skip[-1])
        build_layer(self.up, coarse)
        self._make_weights(joined, project=True)
        self.built = True

    def call(self, maps: tuple[tf.Tensor, tf.Tensor],  # type: ignore[override]  # two maps in place of one
             training: bool | None = None) -> tf.Tensor:
        """Maps (coarse, skip) at strides 2s and s -> [B, X, Y, Z, width] at stride s."""
        coarse, skip = maps
        coarse = self.up(coarse)
        kernels = [kernel_of(layer) for layer in (self.project, self.units[0].conv)]
        of_skip = convolve(skip, [kernel[..., self.width:, :] for kernel in kernels], training)
        of_coarse = [kernel[..., :self.width, :] for kernel in kernels]
        shortcut = of_skip[0] + convolve_repeated(coarse, of_coarse[0])
        # One after the other: else TensorFlow adds up all that makes the block's output at its end, and holds a map more.
        coarse, = after([shortcut], coarse)
        return self._finish(shortcut, of_skip[1] + convolve_repeated(coarse, of_coarse[1]), training)
