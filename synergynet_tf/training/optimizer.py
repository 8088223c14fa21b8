"""The optimizer of a stage."""
from typing import Any

import keras

from synergynet_tf.config import TrainConfig
from synergynet_tf.training.precision import ScaledOptimizer


class WholeGradientAdam(keras.optimizers.Adam):
    """Adam for gradients that the step has summed over the replicas: Keras 3 would clip each replica's before it adds them."""

    def _all_reduce_sum_gradients(self, pairs: list) -> list:      # Keras 3
        return pairs

    aggregate_gradients = _all_reduce_sum_gradients                 # Keras 2


def make_optimizer(config: TrainConfig, steps: int) -> Any:
    """Adam (paper, 3) with the stage's learning-rate schedule and gradient clipping; behind a loss scale for float16.

    Args:
        steps: of the stage, for the schedules that end at 0.
    """
    schedules = keras.optimizers.schedules
    rate = {"constant": lambda: config.learning_rate,
            "cosine": lambda: schedules.CosineDecay(config.learning_rate, steps),
            "poly": lambda: schedules.PolynomialDecay(config.learning_rate, steps, 0.0, 0.9)}[config.schedule]()
    adam = WholeGradientAdam(rate, global_clipnorm=config.clip_norm)
    return ScaledOptimizer(adam) if config.precision == "float16" else adam
