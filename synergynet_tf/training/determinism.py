"""Repeatable bits: the same weights, batch and seed give the same gradients, whatever the threads do.

TensorFlow's op determinism leaves one gap. A sum of three or more tensors (`AddN`) begins with the first operand whose buffer it
may overwrite; which one that is depends on which of its other readers has finished, and floats added in another order differ in
the last bit. A sum of two is the same in either order. So gradients that meet are added in pairs, and Grappler may not join
the pairs.
"""
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def make_deterministic() -> None:
    """Ask TensorFlow for the same bits on every run of this process's graphs; call it before the first graph is made."""
    tf.config.experimental.enable_op_determinism()
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def gradients(total: tf.Tensor, variables: Sequence[Any]) -> list[tf.Tensor]:
    """Gradients of the scalar `total` by Keras variables, inside a tf.function; where several meet they are added in pairs."""
    tensors = [tensor_variable(variable) for variable in variables]
    return tf.gradients(total, tensors, aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE)


def tensor_variable(variable: Any) -> tf.Variable:
    """The tf.Variable behind a Keras 3 variable, or the variable itself under Keras 2."""
    return getattr(variable, "value", variable) if not isinstance(variable, tf.Variable) else variable
