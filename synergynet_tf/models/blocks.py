"""What the networks are built from: normalisation, convolution with it, the residual block, upsampling.

Everything here takes and gives [B, X, Y, Z, C] and asks for a static C only. Statistics are float32 whatever the compute dtype.

The rectifier is plain ReLU: its gradient reads its own output, which the next convolution keeps anyway, whereas a leaky one also
keeps its input, one more full-resolution map per layer.
"""
import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Literal

import keras
import tensorflow as tf

from synergynet_tf.models.recompute import Recomputation

Norm = Literal["instance", "group", "batch"]

EPSILON = 1e-5
GROUPS = 8              # of "group"; fewer where the width is no multiple of 8
MAX_UNSTACKED = 8       # the largest static batch that is normalised volume by volume

# Keras 3 and Keras 2 name differently the flag that keeps a weight float32 under mixed precision.
_KEEP_FLOAT32 = {
    "autocast" if "autocast" in inspect.signature(keras.layers.Layer.add_weight).parameters else "experimental_autocast": False}


class BuiltByCalling:
    """For layers that only hold other layers: the first call builds those, and there is nothing else to build.

    Without a `build` of its own Keras 3 first traces a layer's `call` symbolically, once more for every level of nesting: seconds
    for a U-Net, and again in every test. It stands before the Keras class among the bases.
    """

    def build(self, input_shape: tuple) -> None:
        del input_shape         # the layers inside see theirs when they are called
        self.built = True


def fused_instance_norm(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Instance normalisation of one volume by the batch-norm kernel: the statistics of a batch of one are the instance's.

    On a CPU this costs about 0.3 of the same from `tf.nn.moments`, forward and backward.

    Args:
        x: [1, X, Y, Z, C], float32, bfloat16 or float16.
        scale, offset: float32 [C].
    Returns: [1, X, Y, Z, C] in x's dtype.
    """
    shape = tf.shape(x)
    flat = tf.reshape(x, [1, shape[1] * shape[2], shape[3], x.shape[-1]])     # the kernel knows two spatial axes
    none = tf.zeros([0])                                                      # running statistics: not used when training
    y = tf.raw_ops.FusedBatchNormV3(
        x=flat, scale=scale, offset=offset, mean=none, variance=none, epsilon=EPSILON, is_training=True).y
    return tf.ensure_shape(tf.reshape(y, shape), x.shape)


def moments_norm(x: tf.Tensor, groups: int, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Normalise each group of channels of each volume (Wu and He 2018); `groups` = C is instance normalisation.

    Args:
        x: [B, X, Y, Z, C], any float dtype, B free.
        groups: divides C.
        scale, offset: float32 [C].
    Returns: [B, X, Y, Z, C] in x's dtype.
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
        channels = (int(input_shape[-1]),)
        self.scale = self.add_weight(
            name="scale", shape=channels, initializer="ones", dtype="float32", trainable=True, **_KEEP_FLOAT32)
        self.offset = self.add_weight(
            name="offset", shape=channels, initializer="zeros", dtype="float32", trainable=True, **_KEEP_FLOAT32)
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        scale, offset = tf.convert_to_tensor(self.scale), tf.convert_to_tensor(self.offset)
        if self.groups is not None:
            return moments_norm(x, self.groups, scale, offset)
        batch = x.shape[0]
        if batch is None or batch > MAX_UNSTACKED:
            return moments_norm(x, x.shape[-1], scale, offset)
        if batch == 1:
            return fused_instance_norm(x, scale, offset)
        return tf.concat([fused_instance_norm(one, scale, offset) for one in tf.split(x, batch)], axis=0)


class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation with moving statistics, for comparison: it wants larger batches than two volumes."""

    def __init__(self, name: str | None = None):
        super().__init__(momentum=0.9, epsilon=EPSILON, name=name)


def normalisation(kind: Norm, width: int, name: str) -> keras.layers.Layer:
    """The normalisation layer of `unet.norm` for `width` channels."""
    if kind == "batch":
        return BatchNorm(name=name)
    return GroupNorm(None if kind == "instance" else math.gcd(GROUPS, width), name=name)


class Conv3D(keras.layers.Conv3D):
    """Keras's with "same" padding, in training with the gradients of `convolve`."""

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training:
            return super().call(x)
        made, = convolve(x, [self])
        return made if self.bias is None else made + self.bias


def convolve(x: tf.Tensor, layers: Sequence[Conv3D]) -> list[tf.Tensor]:
    """What layers of one stride, without their biases, make of x: one after the other, and so are their gradients.

    TensorFlow makes gradients in any order, and so holds an input beside its own gradients: of the widest map three of 335 MB for
    a patch of 128x160x128. Here the kernels' come first, and with them made the input is needed no more.
    """
    strides = [1, *layers[0].strides, 1]

    @tf.custom_gradient
    def forward(x: tf.Tensor, *kernels: tf.Tensor) -> tuple[list[tf.Tensor], Callable]:
        """A map for each kernel, and the gradients of x and of the kernels from those of the maps."""
        def backward(*upstream: tf.Tensor) -> list[tf.Tensor]:
            by_kernels = [tf.raw_ops.Conv3DBackpropFilterV2(
                input=x, filter_sizes=tf.shape(kernel), out_backprop=above, strides=strides, padding="SAME")
                for kernel, above in zip(kernels, upstream)]
            upstream = _after(by_kernels, *upstream)
            by_input = [tf.raw_ops.Conv3DBackpropInputV2(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=above, strides=strides, padding="SAME")
                for kernel, above in zip(kernels, upstream)]
            return [tf.add_n(by_input), *by_kernels]

        made = []
        for kernel in kernels:
            made.append(tf.raw_ops.Conv3D(input=_after(made, x)[0], filter=kernel, strides=strides, padding="SAME"))
        return made, backward

    # Outside of a layer's call, as where a section is made anew, Keras gives a kernel as it is stored.
    return forward(x, *(tf.cast(layer.kernel, layer.compute_dtype) for layer in layers))


def _after(first: Sequence[tf.Tensor], *tensors: tf.Tensor) -> list[tf.Tensor]:
    """The same tensors, but not before those of `first` have been made."""
    with tf.control_dependencies(first):
        return [tf.identity(tensor) for tensor in tensors]


class ConvNormAct(BuiltByCalling, keras.layers.Layer):
    """A cubic convolution, a normalisation and, if asked for, ReLU. The norm's offset stands for the convolution's bias."""

    def __init__(self, width: int, norm: Norm, size: int = 3, stride: int = 1, activation: bool = True, name: str | None = None):
        super().__init__(name=name)
        self.conv = Conv3D(
            width, size, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal", name="conv")
        self.norm = normalisation(norm, width, "norm")
        self.activation = activation
        self.normalises_batch = norm == "batch"

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
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

    Args:
        merge: for a block that takes a tuple of maps: makes its input of them.
        recompute: if given, `merge` is done anew for the gradients: what it makes is not kept.
    """

    def __init__(self, width: int, convolutions: int, norm: Norm, stride: int = 1, merge: Callable[..., tf.Tensor] | None = None,
                 recompute: Recomputation | None = None, name: str | None = None):
        super().__init__(name=name)
        self.width = width
        self.stride = stride
        self._merge, self._recompute = merge, recompute
        last = convolutions - 1
        self.units = [ConvNormAct(width, norm, stride=stride if i == 0 else 1, activation=i != last, name=f"unit{i}")
                      for i in range(convolutions)]
        self.project = None

    def build(self, input_shape: tuple) -> None:
        if self.stride > 1 or self._merge or int(input_shape[-1]) != self.width:
            self.project = Conv3D(
                self.width, self.stride, strides=self.stride, padding="same", use_bias=False, kernel_initializer="he_normal",
                dtype=self.dtype_policy, name="project")
        self.built = True

    def call(self, x: tf.Tensor | tuple[tf.Tensor, ...], training: bool | None = None) -> tf.Tensor:
        enter = functools.partial(self._enter, training=training)
        maps = (x,) if self._merge is None else x
        shortcut, x = self._recompute(enter, *maps) if training and self._recompute else enter(*maps)
        x = self.units[0].normalise(x, training)
        for unit in self.units[1:]:
            x = unit(x, training=training)
        return tf.nn.relu(x + shortcut)

    def _enter(self, *maps: tf.Tensor, training: bool | None) -> tuple[tf.Tensor, tf.Tensor]:
        """What reads the block's input: the shortcut and the first convolution."""
        x = maps[0] if self._merge is None else self._merge(*maps)
        first = self.units[0].conv
        if self.project is None:
            return x, first(x, training=training)
        if training and first.built and self.project.built:
            shortcut, x = convolve(x, [self.project, first])
            return shortcut, x
        return self.project(x), first(x)


class Upsample(BuiltByCalling, keras.layers.Layer):
    """Twice the resolution: a 1x1x1 convolution to `width` channels, then every cell repeated 2x2x2.

    The convolution runs on an eighth of the voxels, and the repetition keeps both halves of a cell centred on it. On a CPU it is
    no slower than a transposed convolution and has an eighth of its weights.
    """

    def __init__(self, width: int, name: str | None = None):
        super().__init__(name=name)
        self.conv = keras.layers.Conv3D(width, 1, use_bias=False, kernel_initializer="he_normal", name="conv")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = self.conv(x)
        for axis in (1, 2, 3):
            x = tf.repeat(x, 2, axis=axis)
        return x
