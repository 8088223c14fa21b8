"""The optimizer of a stage."""
from typing import Any

import keras

from synergynet_tf.config import TrainConfig


def make_optimizer(config: TrainConfig, steps: int) -> Any:
    """Adam (paper, 3) with the stage's learning-rate schedule and gradient clipping.

    Args:
        steps: of the stage, for the schedules that end at 0.
    """
    schedules = keras.optimizers.schedules
    rate = {"constant": lambda: config.learning_rate,
            "cosine": lambda: schedules.CosineDecay(config.learning_rate, steps),
            "poly": lambda: schedules.PolynomialDecay(config.learning_rate, steps, 0.0, 0.9)}[config.schedule]()
    return keras.optimizers.Adam(rate, global_clipnorm=config.clip_norm)
