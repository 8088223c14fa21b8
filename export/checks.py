"""Checks inside a graph: what a request got wrong comes back as InvalidArgument, with a message for whoever sent it."""
from typing import Any

import tensorflow as tf


def checked(value: Any, condition: tf.Tensor, *message: str | tf.Tensor) -> Any:
    """Let `value` through once `condition` holds, else fail with InvalidArgument.

    What the value feeds waits for the check: no later op trips over a wrong number, or asks for its memory, first.

    Args:
        value: a tensor, or a nest of tensors.
        condition: bool scalar.
        message: text and numbers, joined by spaces.
    """
    parts = [part if isinstance(part, str) else tf.strings.as_string(part) for part in message]
    text = tf.strings.reduce_join(tf.stack(parts), separator=" ")
    with tf.control_dependencies([tf.raw_ops.Assert(condition=condition, data=[text])]):
        return tf.nest.map_structure(tf.identity, value)
