"""Recomputed sections give what kept ones give, and are really made twice."""
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context  # the only way to see a graph as TensorFlow runs it

from synergynet_tf.config import UNetConfig
from synergynet_tf.models.recompute import recomputed
from synergynet_tf.models.unet import UNet

CONFIG = UNetConfig(widths=(3, 4, 5, 6))


def tensors(variables):
    return [getattr(v, "value", v) if not isinstance(v, tf.Variable) else v for v in variables]


def test_gradients_of_inputs_and_variables_are_those_of_the_section():
    weight = tf.Variable(tf.random.stateless_normal((3, 3), (1, 2)))

    def section(x, y):
        return tf.nn.relu(tf.tanh(x @ weight) * y) @ weight

    @tf.function(autograph=False)
    def gradients(x, y, upstream):
        results = [section(x, y), recomputed(section, x, y)]
        return results, [tf.gradients(result, [x, y, weight], upstream) for result in results]

    given = [tf.random.stateless_normal((4, 3), (seed, 5)) for seed in range(3)]
    (kept, anew), (expected, found) = gradients(*given)
    np.testing.assert_array_equal(kept, anew)
    for a, b in zip(expected, found, strict=True):
        assert np.any(a != 0)
        np.testing.assert_array_equal(a, b)


def test_a_section_without_variables_and_an_input_that_it_does_not_read():
    @tf.function(autograph=False)
    def gradients(x, y):
        return tf.gradients(recomputed(lambda x, y: x * x, x, y), [x, y])

    by_x, by_y = gradients(tf.constant([3.0]), tf.constant([4.0]))
    assert by_x == 6 and by_y is None


def network(recompute):
    keras.utils.set_random_seed(5)
    unet = UNet(CONFIG, recompute)
    unet(tf.zeros((1, 8, 8, 8, 2)))
    variables = tensors(unet.trainable_variables)

    @tf.function(autograph=False)
    def step(image):
        logits = unet(image, training=True)
        return logits, tf.gradients(tf.reduce_mean(tf.square(logits - 1)), variables)

    return unet, step


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("recompute", [1, 2, 4])
def test_the_unet_s_gradients_are_the_same(recompute, samples):
    image = tf.random.stateless_normal((samples, 16, 8, 24, 2), (3, 4))
    (_, plain), (unet, anew) = network(0), network(recompute)
    (logits, expected), (again, found) = plain(image), anew(image)
    np.testing.assert_array_equal(logits, again)
    for a, b, variable in zip(expected, found, unet.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1e-3, np.max(np.abs(a))), err_msg=variable.name)


def convolutions(step, image):
    """Forward convolutions of the graph that is run, after TensorFlow's own rewriting."""
    context.context().enable_graph_collection()
    try:
        step(image)
        metadata = context.context().export_run_metadata()
    finally:
        context.context().disable_graph_collection()
    graphs = [part.post_optimization_graph for part in metadata.function_graphs]
    return max(sum(node.op in ("Conv3D", "_MklNativeConv3D", "_FusedConv3D", "_MklNativeFusedConv3D") for node in graph.node)
               for graph in graphs)


def test_tensorflow_does_not_merge_the_second_making_with_the_first():
    image = tf.zeros((1, 8, 8, 8, 2))
    kept, anew = (convolutions(network(recompute)[1], image) for recompute in (0, 1))
    assert kept == 4 * 3 + 3 * 4 + 1        # encoder: two and a shortcut each; decoder: and the one before repeating; logits
    assert anew > kept


def test_outside_training_nothing_is_wrapped():
    unet, _ = network(4)
    traced = tf.function(lambda image: unet(image)).get_concrete_function(tf.TensorSpec((1, 8, 8, 8, 2)))
    assert not any(op.type == "IdentityN" for op in traced.graph.get_operations())
