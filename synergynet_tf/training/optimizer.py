"""The optimizer of a stage."""
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from synergynet_tf.config import TrainConfig
from synergynet_tf.training.precision import ScaledOptimizer


class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam (Kingma and Ba 2015) whose update is one kernel of TensorFlow's: less than half of Keras' operations to trace.

    It is for gradients that the step has summed over the replicas: Keras 3 would clip each replica's before it adds them.
    """

    def _all_reduce_sum_gradients(self, pairs: list) -> list:      # Keras 3
        return pairs

    aggregate_gradients = _all_reduce_sum_gradients                 # Keras 2

    def apply_gradients(self, pairs: Iterable[tuple[tf.Tensor, Any]], **options: Any) -> Any:
        """One step from pairs of a gradient and its variable; what all weights read is made once, not once a weight."""
        step = tf.cast(self.iterations + 1, tf.float32)
        beta1, beta2, epsilon = (tf.constant(value) for value in (self.beta_1, self.beta_2, self.epsilon))
        self._shared = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon, "beta1_power": tf.pow(beta1, step),
                        "beta2_power": tf.pow(beta2, step)}
        try:
            return super().apply_gradients(pairs, **options)
        finally:
            self._shared = {}           # it would keep the graph

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: tf.Tensor | None = None) -> None:
        """Update one weight; Keras 3 hands over the learning rate, Keras 2 keeps it."""
        mean, square = self._moments(variable)
        rate = self.learning_rate if learning_rate is None else learning_rate
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=mean.handle, v=square.handle, lr=tf.cast(rate, tf.float32), grad=gradient,
            **self._shared)

    def _moments(self, variable: Any) -> tuple[tf.Variable, tf.Variable]:
        if hasattr(self, "_get_variable_index"):                    # Keras 3, whose variables hold TensorFlow's
            index = self._get_variable_index(variable)
            return self._momentums[index].value, self._velocities[index].value
        index = self._index_dict[self._var_key(variable)]           # Keras 2
        return self._momentums[index], self._velocities[index]


def make_optimizer(config: TrainConfig, steps: int) -> Any:
    """Adam (paper, 3) with the stage's learning-rate schedule and gradient clipping; behind a loss scale for float16.

    Args:
        config: learning rate, schedule, clipping and precision.
        steps: of the stage, for the schedules that end at 0.
    """
    schedules = keras.optimizers.schedules
    rate = {"constant": lambda: config.learning_rate,
            "cosine": lambda: schedules.CosineDecay(config.learning_rate, steps),
            "poly": lambda: schedules.PolynomialDecay(config.learning_rate, steps, 0.0, 0.9)}[config.schedule]()
    adam = FusedAdam(rate, global_clipnorm=config.clip_norm)
    return ScaledOptimizer(adam) if config.precision == "float16" else adam
