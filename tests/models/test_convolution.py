"""Convolutions and their gradients against Keras's, and those of a repeated map against the map repeated first."""
import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.models.convolution import Conv3D, convolve_activated, convolve_repeated

RNG = np.random.default_rng(0)


def some(*shape):
    return tf.constant(RNG.normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(("size", "stride", "bias"), [(3, 1, False), (3, 2, False), (1, 1, True), (2, 2, False)])
def test_a_convolution_gives_keras_s_result_and_gradients(size, stride, bias):
    x = some(2, 6, 7, 5, 3)
    ours, kerass = (cls(4, size, strides=stride, padding="same", use_bias=bias) for cls in (Conv3D, keras.layers.Conv3D))
    ours(x), kerass(x)
    kerass.set_weights([np.random.default_rng(1).normal(size=w.shape).astype(np.float32) for w in ours.get_weights()])
    ours.set_weights(kerass.get_weights())

    def gradients(layer, **options):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, **options)
            loss = tf.reduce_sum(tf.sin(y))
        return [y, *tape.gradient(loss, [x, *layer.trainable_variables])]

    for found, expected in zip(gradients(ours, training=True), gradients(kerass), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_convolution_makes_the_gradient_of_its_kernel_first():
    layer = Conv3D(4, 3, padding="same")
    layer(tf.zeros((1, 4, 4, 4, 2)))

    @tf.function
    def step(x):
        return tf.gradients(layer(x, training=True), [x, *(tf.convert_to_tensor(w) for w in layer.trainable_variables)])

    graph = step.get_concrete_function(tf.TensorSpec((1, 4, 4, 4, 2))).graph
    by_kernel, by_input = (next(op for op in graph.get_operations() if op.type == kind)
                           for kind in ("Conv3DBackpropFilterV2", "Conv3DBackpropInputV2"))
    waiting = by_input.inputs[2].op
    assert by_kernel in waiting.control_inputs


def test_a_map_that_is_not_kept_gives_the_same_convolution_and_gradients():
    scale = tf.Variable(some(3))
    x, kernel, cotangent = some(2, 4, 5, 6, 3), some(3, 3, 3, 3, 4), some(2, 4, 5, 6, 4)

    def activate(x):
        return tf.nn.relu(tf.sin(x) * scale)

    @tf.function(autograph=False)
    def gradients(x, kernel):
        made = convolve_activated(x, activate, kernel), tf.nn.conv3d(activate(x), kernel, [1] * 5, "SAME")
        return [[y, *tf.gradients(y, [x, kernel, scale], cotangent)] for y in made]

    for found, expected in zip(*gradients(x, kernel), strict=True):
        assert np.any(expected != 0)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_no_map_that_is_not_kept_lives_through_the_convolution_s_gradients():
    """It is made for the kernel's gradient alone, and once more when the gradient of its own is there."""
    @tf.function(autograph=False)
    def step(x, kernel):
        return tf.gradients(convolve_activated(x, tf.tanh, kernel), [x, kernel])

    graph = step.get_concrete_function(tf.TensorSpec((1, 4, 4, 4, 2)), tf.TensorSpec((3, 3, 3, 2, 2))).graph
    by_kernel, by_map, slope = (next(op for op in graph.get_operations() if op.type == kind)
                                for kind in ("Conv3DBackpropFilterV2", "Conv3DBackpropInputV2", "TanhGrad"))
    of_kernel, of_slope = by_kernel.inputs[0].op, slope.inputs[0].op
    assert of_kernel.type == of_slope.type == "Tanh" and of_kernel is not of_slope
    assert [operation.name for operation in of_kernel.outputs[0].consumers()] == [by_kernel.name]
    assert by_map in of_slope.inputs[0].op.control_inputs and by_kernel in by_map.inputs[2].op.control_inputs


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("known", [True, False])
def test_a_convolution_of_a_map_that_is_not_repeated_is_that_of_the_repeated_one(side, known):
    x, kernel, cotangent = some(2, 3, 4, 2, 5), some(side, side, side, 5, 4), some(2, 6, 8, 4, 4)

    def gradients(function, x):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = function(x, kernel)
            loss = tf.reduce_sum(y * cotangent)
        return [y, *tape.gradient(loss, [x, kernel])]

    def repeated_first(x, kernel):
        return tf.nn.conv3d(keras.layers.UpSampling3D(2)(x), kernel, [1] * 5, "SAME")

    signature = [tf.TensorSpec(x.shape if known else (None, None, None, None, 5))]
    ours = tf.function(lambda x: gradients(convolve_repeated, x), input_signature=signature)
    assert ours.get_concrete_function().structured_outputs[0].shape.as_list()[1:] == ([6, 8, 4, 4] if known else [None] * 3 + [4])
    for found, expected in zip(ours(x), gradients(repeated_first, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
