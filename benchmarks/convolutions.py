"""The convolutions of a graph: what they count, and what they cost when nothing stands between them."""
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

KINDS = ("Conv3D", "Conv3DBackpropInputV2", "Conv3DBackpropFilterV2")


def of(graph: tf.Graph) -> list[tf.Operation]:
    """All of them, forward and backward, with static shapes."""
    return [operation for operation in graph.get_operations() if operation.type in KINDS]


def flops(operation: tf.Operation) -> float:
    """Multiplications and additions; each of the three kinds has those of the forward one."""
    kernel, result = _shapes(operation)[1:]
    return 2.0 * np.prod(kernel, dtype=float) * np.prod(result[:4], dtype=float)


def bare(operations: list[tf.Operation]) -> Callable[[], None]:
    """A function that runs each of them once, on noise of the same shape, and drops the result."""
    calls = [_call(operation) for operation in operations]

    def run() -> None:
        for call in calls:
            call()

    return run


def _shapes(operation: tf.Operation) -> tuple[tuple[int, ...], ...]:
    """Of the forward convolution: input, kernel, result."""
    first, second = (tuple(tensor.shape) for tensor in operation.inputs[:2])
    result = tuple(operation.outputs[0].shape)
    return {"Conv3D": lambda: (first, second, result),
            "Conv3DBackpropInputV2": lambda: (result, second, tuple(operation.inputs[2].shape)),
            "Conv3DBackpropFilterV2": lambda: (first, result, tuple(operation.inputs[2].shape))}[operation.type]()


def _call(operation: tf.Operation) -> Callable[[], tf.Tensor]:
    x, kernel, y = _shapes(operation)
    fixed = {"strides": list(operation.get_attr("strides")), "padding": operation.get_attr("padding")}
    run, given = {
        "Conv3D": (lambda a, b: tf.raw_ops.Conv3D(input=a, filter=b, **fixed), (x, kernel)),
        "Conv3DBackpropInputV2": (
            lambda a, b: tf.raw_ops.Conv3DBackpropInputV2(input_sizes=x, filter=a, out_backprop=b, **fixed), (kernel, y)),
        "Conv3DBackpropFilterV2": (
            lambda a, b: tf.raw_ops.Conv3DBackpropFilterV2(input=a, filter_sizes=kernel, out_backprop=b, **fixed), (x, y)),
    }[operation.type]
    noise = [_noise(shape) for shape in given]
    return functools.partial(tf.function(run, autograph=False).get_concrete_function(*noise), *noise)


@functools.cache
def _noise(shape: tuple[int, ...]) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).standard_normal(shape, np.float32))
