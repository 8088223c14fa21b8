"""Convolutions of the U-Net in training's own order, and of a coarse map at twice its resolution without bringing it there.

Everything here takes and gives [B, X, Y, Z, C] in the compute dtype.
"""
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class Conv3D(keras.layers.Conv3D):
    """Keras's with "same" padding, in training with the gradients of `convolve`."""

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """x [B, X, Y, Z, C] -> [B, X', Y', Z', filters]."""
        if not training:
            return super().call(x)
        made, = convolve(x, [kernel_of(self)], training, self.strides)
        return made if self.bias is None else made + self.bias


def kernel_of(layer: keras.layers.Conv3D) -> tf.Tensor:
    """The kernel in the compute dtype: outside of a layer's call, as where a section is made anew, Keras casts none."""
    return tf.cast(layer.kernel, layer.compute_dtype)


def convolve(x: tf.Tensor, kernels: Sequence[tf.Tensor], training: bool | None,
             strides: Sequence[int] = (1, 1, 1)) -> list[tf.Tensor]:
    """What kernels [x, y, z, in, out] of one stride make of x; in training one after the other, and so are their gradients.

    TensorFlow makes gradients in any order, and so holds an input beside its own gradients. Here the kernels' come first, and
    once they are made the input is needed no more.
    """
    steps = [1, *strides, 1]
    if not training:
        return [tf.raw_ops.Conv3D(input=x, filter=kernel, strides=steps, padding="SAME") for kernel in kernels]

    @tf.custom_gradient
    def forward(x: tf.Tensor, *kernels: tf.Tensor) -> tuple[list[tf.Tensor], Callable]:
        """A map for each kernel, and the gradients of x and of the kernels from those of the maps."""
        def backward(*upstream: tf.Tensor) -> list[tf.Tensor]:
            by_kernels = [tf.raw_ops.Conv3DBackpropFilterV2(
                input=x, filter_sizes=tf.shape(kernel), out_backprop=above, strides=steps, padding="SAME")
                for kernel, above in zip(kernels, upstream)]
            waiting = after(by_kernels, *upstream)
            by_input = [tf.raw_ops.Conv3DBackpropInputV2(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=above, strides=steps, padding="SAME")
                for kernel, above in zip(kernels, waiting)]
            return [tf.add_n(by_input), *by_kernels]

        made: list[tf.Tensor] = []
        for kernel in kernels:
            made.append(tf.raw_ops.Conv3D(input=after(made, x)[0], filter=kernel, strides=steps, padding="SAME"))
        return made, backward

    return forward(x, *kernels)


def convolve_activated(x: tf.Tensor, activate: Callable[[tf.Tensor], tf.Tensor], kernel: tf.Tensor) -> tf.Tensor:
    """What a kernel of stride 1 makes of activate(x), which is not kept for the gradients but made anew.

    It is so twice, before the kernel's gradient and after that of activate(x) itself: kept from the one to the other it would
    stand beside x and the gradients of both sides, where a step holds the most.

    Args:
        x: [B, X, Y, Z, C].
        activate: a function of x without side effects, which may read variables.
        kernel: [x, y, z, C, out].
    """
    strides = [1] * 5

    @tf.custom_gradient
    def forward(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        """The map, and the gradients of x, the kernel and what `activate` reads from that of the map."""
        def backward(upstream: tf.Tensor, variables: Sequence[Any] = ()) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
            by_kernel = tf.raw_ops.Conv3DBackpropFilterV2(
                input=activate(*after([upstream], x)), filter_sizes=tf.shape(kernel), out_backprop=upstream, strides=strides,
                padding="SAME")
            by_activated = tf.raw_ops.Conv3DBackpropInputV2(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=after([by_kernel], upstream)[0], strides=strides,
                padding="SAME")
            again, = after([by_activated], x)
            by_x, *by_variables = tf.gradients(activate(again), [again, *variables], by_activated)
            return [by_x, by_kernel], by_variables

        return tf.raw_ops.Conv3D(input=activate(x), filter=kernel, strides=strides, padding="SAME"), backward

    return forward(x, kernel)


def convolve_repeated(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """What a cubic kernel of odd side k makes of x with every cell repeated 2x2x2: [B, X, Y, Z, in] -> [B, 2X, 2Y, 2Z, out].

    The repeated map is not made. The k voxels along an axis that a result reads are copies of (k + 1) / 2 cells, so the taps on
    one cell are added up beforehand: what is left is a transposed convolution of stride 2 and side k + 1. For a side of 3 it
    multiplies 8 times where there would be 27.
    """
    side = kernel.shape[0]
    batch, *cells = tf.unstack(tf.shape(x)[:4])
    taps = _taps(side)
    every = np.kron(np.kron(taps, taps), taps)                                      # [(k + 1)^3, k^3]
    inputs, outputs = kernel.shape[3:]
    gathered = tf.matmul(tf.cast(every, kernel.dtype), tf.reshape(kernel, [side ** 3, inputs * outputs]))
    transposed = tf.transpose(tf.reshape(gathered, [*(side + 1,) * 3, inputs, outputs]), [0, 1, 2, 4, 3])
    made = tf.raw_ops.Conv3DBackpropInputV2(
        input_sizes=tf.stack([batch, *(2 * n for n in cells), outputs]), filter=transposed, out_backprop=x,
        strides=[1, 2, 2, 2, 1], padding="SAME")
    return tf.ensure_shape(made, [x.shape[0], *(n and 2 * n for n in x.shape[1:4]), outputs])


def after(first: Sequence[tf.Tensor], *tensors: tf.Tensor) -> list[tf.Tensor]:
    """The same tensors, but not before those of `first` have been made."""
    with tf.control_dependencies(first):
        return [tf.identity(tensor) for tensor in tensors]


def _taps(side: int) -> np.ndarray:
    """Which taps of a kernel reach from a cell's two copies to each of the k + 1 results about them: float32 [k + 1, k].

    Result d lies at d - (k - 1) / 2 from the first copy: tap k - 1 - d reads that, and tap k - d the second.
    """
    result, tap = np.arange(side + 1)[:, None], np.arange(side)
    return ((tap == side - 1 - result) | (tap == side - result)).astype(np.float32)
