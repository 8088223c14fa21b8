"""The moving average of the weights, kept beside them and used for validation and inference."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf


class WeightAverage:
    """After each step t, average <- d average + (1 - d) weight.

    d = min(decay, (1 + t) / (10 + t)), so that the first steps are forgotten soon.

    Args:
        variables: the network's variables.
        decay: 0 to below 1.
        values: averages of an earlier run, in the variables' order; none: start from the variables.
        steps: steps already averaged.
    """

    def __init__(self, variables: list[Any], decay: float, values: list[np.ndarray] | None = None, steps: int = 0):
        self._variables, self._decay = variables, decay
        self._averages = [tf.Variable(tf.convert_to_tensor(v if values is None else values[i]), trainable=False)
                          for i, v in enumerate(variables)]
        self._steps = tf.Variable(steps, dtype=tf.int64, trainable=False)

    @tf.function(autograph=False)
    def update(self) -> None:
        """Take in the current weights."""
        t = tf.cast(self._steps.assign_add(1), tf.float32)
        decay = tf.minimum(self._decay, (1 + t) / (10 + t))
        for average, variable in zip(self._averages, self._variables):
            average.assign(decay * average + (1 - decay) * tf.convert_to_tensor(variable))

    def values(self) -> list[np.ndarray]:
        """The averages, in the variables' order."""
        return [average.numpy() for average in self._averages]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the averages into the network for the length of a `with`, then the weights back."""
        weights = [np.asarray(variable) for variable in self._variables]
        for variable, average in zip(self._variables, self._averages):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, weight in zip(self._variables, weights):
                variable.assign(weight)
