"""Recomputation (Chen et al. 2016): a section's inner maps are not kept for the backward pass, but made once more there."""
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Section = Callable[..., tf.Tensor]


def recomputed(section: Section, *inputs: tf.Tensor) -> tf.Tensor:
    """`section(*inputs)`, of which only the inputs are kept until the gradients are taken; they are the same.

    The second time the section waits for the gradient of its output, and reads its inputs through nodes of their own: else
    TensorFlow would make the maps early, or find that they had been made before and keep those.

    Args:
        section: a function of tensors without side effects, which may read variables; it is called within a tf.function.
        inputs: float tensors.
    """
    @tf.custom_gradient
    def forward(*inputs: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def backward(upstream: tf.Tensor, variables: Sequence[Any] = ()) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
            with tf.control_dependencies([upstream]):
                again = [tf.identity(x) for x in inputs]
            found = tf.gradients(section(*again), [*again, *variables], upstream,
                                 aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE)
            return found[:len(again)], found[len(again):]

        return section(*inputs), backward

    return forward(*inputs)
