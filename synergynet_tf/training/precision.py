"""Mixed precision (Micikevicius et al. 2018): convolutions in a 16-bit type, and the loss scale that float16 needs.

Weights, their averages, normalisation statistics, logits, losses and boxes are float32 whatever the type, and so is a checkpoint.
"""
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import keras
import tensorflow as tf

from synergynet_tf.errors import InputError

Precision = Literal["float32", "bfloat16", "float16"]

FIRST_SCALE = 2.0 ** 15
LEAST_SCALE = 1.0       # below it the gradients themselves are beyond float16
GROW_AFTER = 2000       # steps in a row with finite gradients, after which the scale is doubled


@contextmanager
def layers_in(precision: Precision) -> Iterator[None]:
    """Layers made within a `with` compute in `precision` and keep float32 weights; without it, Keras' own setting holds."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision if precision == "float32" else f"mixed_{precision}")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


class ScaledOptimizer:
    """An optimizer that takes the gradients of `scale` times the loss, so that small ones are no zeros in float16.

    Where one of them is not finite, the step is skipped and the scale halved; after GROW_AFTER steps in a row that were not
    skipped it is doubled. Both numbers are among `variables`, so a checkpoint holds them.

    Args:
        inner: a Keras optimizer; it sees true gradients.
    """

    def __init__(self, inner: Any):
        self._inner = inner
        self.scale = tf.Variable(FIRST_SCALE, trainable=False, name="loss_scale")
        self._finite_steps = tf.Variable(0, trainable=False, name="finite_steps")

    def build(self, variables: list[Any]) -> None:
        """Make the optimizer's state for these weights."""
        self._inner.build(variables)

    @property
    def variables(self) -> list[Any]:
        """The state: of the optimizer, then the scale and the number of steps since it changed."""
        return [*self._inner.variables, self.scale, self._finite_steps]

    def apply_gradients(self, pairs: Iterable[tuple[tf.Tensor, Any]]) -> None:
        """One step from pairs of a gradient of the scaled loss and its variable, within a tf.function."""
        scaled, variables = zip(*pairs)
        gradients = [gradient / self.scale for gradient in scaled]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])

        def step() -> None:
            self._inner.apply_gradients(zip(gradients, variables))
            grows = self._finite_steps + 1 >= GROW_AFTER
            self.scale.assign(tf.where(grows, 2 * self.scale, self.scale))
            self._finite_steps.assign(tf.where(grows, 0, self._finite_steps + 1))

        def skip() -> None:
            self.scale.assign(self.scale / 2)
            self._finite_steps.assign(0)

        tf.cond(finite, step, skip)


def scaled(loss: tf.Tensor, optimizer: Any) -> tf.Tensor:
    """The loss whose gradients `optimizer` takes."""
    return loss * optimizer.scale if isinstance(optimizer, ScaledOptimizer) else loss


def require_scale(optimizer: Any) -> None:
    """See that the loss scale is not so low that no step will be taken any more.

    Raises:
        InputError: it is.
    """
    if isinstance(optimizer, ScaledOptimizer) and float(optimizer.scale) < LEAST_SCALE:
        raise InputError("train.precision is float16, but the gradients are not finite even where the loss is not scaled: "
                         "train with bfloat16 or float32, or a lower train.learning_rate")
