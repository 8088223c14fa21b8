"""What crop and paste share: linear interpolation as one small matrix per axis, and a loop over the rows that need the work.

Letters in shapes: n rows of a chunk, N rows in all, K positions on the input side of an axis, M on its output side.
"""
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Tensor = tf.Tensor


def shape_of(tensor: Tensor) -> list[int | Tensor]:
    """The shape of `tensor`: a Python int where it is known when the graph is built, a scalar int32 tensor elsewhere."""
    if tensor.shape.is_fully_defined():
        return tensor.shape.as_list()
    dynamic = tf.shape(tensor)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(tensor.shape)]


def blank(shape: Sequence[int | Tensor] | Tensor, after: Tensor, dtype: tf.DType = tf.float32) -> Tensor:
    """Zeros for a loop to add to, made each time, and not before there is `after`.

    Of `tf.zeros` with a known shape TensorFlow makes a constant: it stays in memory as long as its graph, 42 MB for the gradient
    of one map, and is copied before anything is added to it.
    """
    with tf.control_dependencies([after]):
        return tf.raw_ops.Empty(shape=tf.convert_to_tensor(shape, tf.int32), dtype=dtype, init=True)


def hat(distance: Tensor) -> Tensor:
    """Weight of linear interpolation for a sample `distance` cells from a grid point: 1 at the point, 0 from the next one on."""
    return tf.nn.relu(1.0 - tf.abs(distance))


def along_axis(values: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Multiply one axis of every row's block by the row's own matrix.

    values float32 [n, ...], weights float32 [n, M, K] with K = values.shape[axis], axis >= 1 -> values' shape with M at `axis`.
    Three such products interpolate a whole block at a fraction of the cost of reading eight corners for every sample.
    """
    shape = shape_of(values)
    before, after = _product(shape[1:axis]), _product(shape[axis + 1:])
    result_shape = [*shape[:axis], weights.shape[1], *shape[axis + 1:]]
    if axis == len(shape) - 1:
        product = tf.matmul(tf.reshape(values, [shape[0], before, shape[axis]]), weights, transpose_b=True)
    else:
        product = tf.matmul(tf.expand_dims(weights, 1), tf.reshape(values, [shape[0], before, shape[axis], after]))
    return tf.reshape(product, result_shape)


def over_rows(wanted: Tensor, chunk: int, body: Callable[[Tensor, Tensor, Tensor], Tensor], state: Tensor) -> Tensor:
    """Fold `body` over the rows where `wanted` is True, `chunk` rows at a time: the cost follows their number, not the table's.

    wanted bool [N]; body(rows int32 [chunk], live bool [chunk], state) -> the new state, of the same shape. Rows that are not
    live fill up the last chunk and must leave the state as it is; a shorter table makes `chunk` shorter. The loop is not meant
    to be differentiated: callers give its gradient themselves, which also lets it compile under XLA, where the gradient of a
    loop needs a known length.
    """
    chunk = max(1, min(chunk, wanted.shape[0] or chunk))
    count = tf.reduce_sum(tf.cast(wanted, tf.int32))
    order = tf.math.top_k(tf.cast(wanted, tf.int32), shape_of(wanted)[0]).indices        # of equals the lower row first
    order = tf.pad(order, [[0, chunk]])

    def step(begin: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        rows = tf.slice(order, [begin], [chunk])
        return begin + chunk, body(rows, begin + np.arange(chunk, dtype=np.int32) < count, state)

    return tf.while_loop(lambda begin, _: begin < count, step, (tf.constant(0), state))[1]


def _product(sizes: list[int | Tensor]) -> int | Tensor:
    result: int | Tensor = 1
    for size in sizes:
        result = result * size
    return result
