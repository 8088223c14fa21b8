"""The optimizer of a stage."""
from typing import Any

import keras

from synergynet_tf.config import TrainConfig
from synergynet_tf.training.precision import ScaledOptimizer


def make_optimizer(config: TrainConfig, steps: int) -> Any:
    """Adam (paper, 3) with the stage's learning-rate schedule and gradient clipping; behind a loss scale for float16.

    Args:
        steps: of the stage, for the schedules that end at 0.
    """
    schedules = keras.optimizers.schedules
    rate = {"constant": lambda: config.learning_rate,
            "cosine": lambda: schedules.CosineDecay(config.learning_rate, steps),
            "poly": lambda: schedules.PolynomialDecay(config.learning_rate, steps, 0.0, 0.9)}[config.schedule]()
    adam = keras.optimizers.Adam(rate, global_clipnorm=config.clip_norm)
    return ScaledOptimizer(adam) if config.precision == "float16" else adam
