"""What crop and paste share. Their results are tested in test_roi.py."""
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context  # what a graph became has no public name

from synergynet_tf.ops.interpolation import blank

SHAPE = (300, 200)


def constants(start):
    """The constants of SHAPE in the graph that runs when zeros from `start` are added to."""
    @tf.function(autograph=False)
    def total(x):
        return tf.reduce_sum(tf.tensor_scatter_nd_add(start(x), [[2]], x), 0)

    x = tf.ones((1, SHAPE[1]))
    context.context().enable_graph_collection()
    try:
        np.testing.assert_array_equal(total(x), np.ones(SHAPE[1]))
        metadata = context.context().export_run_metadata()
    finally:
        context.context().disable_graph_collection()
    nodes = [node for part in metadata.function_graphs for node in part.post_optimization_graph.node]
    sizes = [tuple(size.size for size in node.attr["value"].tensor.tensor_shape.dim) for node in nodes if node.op == "Const"]
    return sizes.count(SHAPE)


def test_blank_zeros_are_no_constant_of_the_graph():
    assert constants(lambda x: tf.zeros(SHAPE)) > 0         # else there would be no need of them
    assert constants(lambda x: blank(SHAPE, x)) == 0


@pytest.mark.parametrize("dtype", [tf.float32, tf.int64])
def test_blank_zeros_are_zeros_each_time(dtype):
    make = tf.function(lambda x: blank([tf.shape(x)[0], 3], x, dtype), jit_compile=False)
    for rows in (4, 1000):
        zeros = make(tf.zeros([rows]))
        assert zeros.dtype == dtype
        np.testing.assert_array_equal(zeros, np.zeros((rows, 3)))
