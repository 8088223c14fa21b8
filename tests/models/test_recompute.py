"""Recomputed sections give what kept ones give, and are really made twice."""
import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import UNetConfig
from synergynet_tf.models.recompute import Recomputation
from synergynet_tf.models.unet import UNet
from synergynet_tf.training.precision import layers_in
from tests.models.optimized import run_and_see

CONFIG = UNetConfig(widths=(3, 4, 5, 6))


def tensors(variables):
    return [getattr(v, "value", v) if not isinstance(v, tf.Variable) else v for v in variables]


def test_gradients_of_inputs_and_variables_are_those_of_the_section():
    weight = tf.Variable(tf.random.stateless_normal((3, 3), (1, 2)))

    def section(x, y):
        return tf.nn.relu(tf.tanh(x @ weight) * y) @ weight

    @tf.function(autograph=False)
    def gradients(x, y, upstream):
        results = [section(x, y), Recomputation(1)(section, x, y)]
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
        return tf.gradients(Recomputation(1)(lambda x, y: x * x, x, y), [x, y])

    by_x, by_y = gradients(tf.constant([3.0]), tf.constant([4.0]))
    assert by_x == 6 and by_y is None


def network(recompute, kind="float32"):
    keras.utils.set_random_seed(5)
    with layers_in(kind):
        unet = UNet(CONFIG, Recomputation(recompute))
    unet(tf.zeros((1, 8, 8, 8, 2)))
    variables = tensors(unet.trainable_variables)

    @tf.function(autograph=False)
    def step(image):
        logits = unet(image, training=True)
        return logits, tf.gradients(tf.reduce_mean(tf.square(logits - 1)), variables)

    return unet, step


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("recompute", [2, 4])
def test_the_unet_s_gradients_are_the_same(recompute, samples):
    image = tf.random.stateless_normal((samples, 16, 8, 24, 2), (3, 4))
    (_, plain), (unet, anew) = network(0), network(recompute)
    (logits, expected), (again, found) = plain(image), anew(image)
    np.testing.assert_array_equal(logits, again)
    for a, b, variable in zip(expected, found, unet.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1e-3, np.max(np.abs(a))), err_msg=variable.name)


@pytest.mark.parametrize("kind, tolerance", [("bfloat16", 0.05), ("float16", 0.02)])
def test_the_maps_that_are_made_anew_have_the_layers_type(kind, tolerance):
    """Gradients are taken outside of the layers' calls, where Keras gives weights as they are stored: float32."""
    image = tf.random.stateless_normal((1, 16, 8, 24, 2), (3, 4))
    (_, plain), (unet, anew) = network(0, kind), network(4, kind)
    (logits, expected), (again, found) = plain(image), anew(image)
    np.testing.assert_array_equal(logits, again)
    for a, b, variable in zip(expected, found, unet.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance * max(1e-3, np.max(np.abs(a))), err_msg=variable.name)


def convolutions(step, image):
    """Forward convolutions of the graph that is run."""
    return max(sum(node.op in ("Conv3D", "_MklNativeConv3D", "_FusedConv3D", "_MklNativeFusedConv3D") for node in graph.node)
               for graph in run_and_see(step, image))


def test_tensorflow_does_not_merge_the_second_making_with_the_first():
    image = tf.zeros((1, 8, 8, 8, 2))
    kept, anew = (convolutions(network(recompute)[1], image) for recompute in (0, 1))
    # encoder: two and a shortcut each; decoder: and the one before repeating, and two gradients that are convolutions; logits
    assert kept == 4 * 3 + 3 * (4 + 2) + 1
    assert anew > kept


def test_outside_training_nothing_is_wrapped():
    unet, _ = network(4)
    traced = tf.function(lambda image: unet(image)).get_concrete_function(tf.TensorSpec((1, 8, 8, 8, 2)))
    assert not any(op.type == "IdentityN" for op in traced.graph.get_operations())


def test_sections_are_made_anew_one_at_a_time():
    """Two sections side by side: the second to be made anew waits for the gradients of the first."""
    recompute = Recomputation(1)

    @tf.function(autograph=False)
    def gradients(x):
        sides = [recompute(lambda x, factor=factor: tf.tanh(factor * x), x) for factor in (2.0, 3.0)]
        return tf.gradients(sides[0] * sides[1], x)

    graph = gradients.get_concrete_function(tf.TensorSpec((2,))).graph
    waiting = [op for op in graph.get_operations() if op.type == "Identity" and op.control_inputs]
    first, second = sorted(waiting, key=lambda op: len(op.control_inputs))
    assert len(first.control_inputs) == 1 and len(second.control_inputs) == 2
    assert any(leads_to(first, op) for op in second.control_inputs)
    x = tf.constant([0.1, 0.2])
    tanh, slope = np.tanh, lambda v: 1 - np.tanh(v) ** 2
    x_ = x.numpy()
    np.testing.assert_allclose(gradients(x)[0], 2 * slope(2 * x_) * tanh(3 * x_) + 3 * slope(3 * x_) * tanh(2 * x_), rtol=1e-5)


def leads_to(start, end):
    """Whether one operation reads, directly or through others, what another gives."""
    reached, waiting = set(), [end]
    while waiting:
        op = waiting.pop()
        if op.name not in reached:
            reached.add(op.name)
            waiting += [tensor.op for tensor in op.inputs]
    return start.name in reached
