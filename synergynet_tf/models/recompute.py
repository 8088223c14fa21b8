"""Recomputation (Chen et al. 2016): a section's inner maps are not kept for the backward pass, but made once more there."""
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Section = Callable[..., tf.Tensor | tuple[tf.Tensor, ...]]


class Recomputation:
    """Runs sections of one network so that only their inputs are kept until the gradients are taken; these are the same.

    Where sections are made anew it is one at a time: two at once would hold the inner maps of both.

    Args:
        levels: of the U-Net, from the finest, that are recomputed. 0: no section is, here or elsewhere.
    """

    def __init__(self, levels: int = 0):
        self.levels = levels
        self._before: list[tf.Tensor] = []      # gradients of the section that was made anew last

    def __call__(self, section: Section, *inputs: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, ...]:
        """`section(*inputs)`, recomputed for the gradients.

        The second time the section waits for the gradients of its outputs, and reads its inputs through separate nodes: else
        TensorFlow would make the maps early, or find that they had been made before and keep those.

        Args:
            section: a function of tensors without side effects, which may read variables; it is called within a tf.function.
            inputs: float tensors. Others that the section reads get no gradient.
        """
        @tf.custom_gradient
        def forward(*inputs: tf.Tensor) -> tuple[tf.Tensor | tuple[tf.Tensor, ...], Callable]:
            def backward(*upstream: tf.Tensor, variables: Sequence[Any] = ()) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
                before = [tensor for tensor in self._before if tensor.graph is upstream[0].graph]
                with tf.control_dependencies([*upstream, *before]):
                    again = [tf.identity(x) for x in inputs]
                grads = tf.gradients(section(*again), [*again, *variables], list(upstream),
                                     aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE)
                self._before = [tensor for tensor in grads if tensor is not None]
                return grads[:len(again)], grads[len(again):]

            return section(*inputs), backward

        return forward(*inputs)


NO_RECOMPUTATION = Recomputation()
