"""Adam by one kernel a weight, against Keras' own."""
import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import TrainConfig
from synergynet_tf.training.optimizer import make_optimizer

STEPS, RATE, CLIP = 20, 0.01, 2.0
SHAPES = [(3, 4), (7,), ()]


class Weights(keras.layers.Layer):
    """Weights of SHAPES, ones at first."""

    def __init__(self):
        super().__init__()
        for i, shape in enumerate(SHAPES):
            self.add_weight(name=f"w{i}", shape=shape, initializer="ones")


def _after_steps(optimizer, traced):
    """The weights, then the optimizer's state, after STEPS gradients from far above the clipping norm to far below, some zero."""
    rng, weights = np.random.default_rng(0), Weights().trainable_variables
    optimizer.build(weights)

    def step(*gradients):
        optimizer.apply_gradients(zip(gradients, weights))

    step = tf.function(step) if traced else step
    for _ in range(STEPS):
        step(*(tf.constant(rng.normal(size=shape) * 10 ** rng.uniform(-4, 1) * rng.integers(0, 2), tf.float32)
               for shape in SHAPES))
    return [np.asarray(variable) for variable in (*weights, *optimizer.variables)]


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_twenty_steps_are_those_of_keras_adam(schedule, traced):
    ours = make_optimizer(TrainConfig(schedule=schedule, learning_rate=RATE, clip_norm=CLIP), STEPS)
    rate = keras.optimizers.schedules.CosineDecay(RATE, STEPS) if schedule == "cosine" else RATE
    peer = keras.optimizers.Adam(rate, global_clipnorm=CLIP)
    for found, expected in zip(_after_steps(ours, traced), _after_steps(peer, traced), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-8)     # its 1 - 0.999 in float32 is 1.3e-5 off
