"""Gradient accumulation: a batch in parts, one after the other, with the gradients that the whole batch would have.

The terms of eq. 2 are means over positives, RoIs and patches of the *batch*, and parts differ in how many they have. So what each
term is divided by is counted over all parts first; then the parts' losses, and their gradients, add up to the batch's.
"""
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from synergynet_tf.runtime.replicas import all_sum
from synergynet_tf.structures import Batch
from synergynet_tf.training.determinism import gradients
from synergynet_tf.training.precision import scaled
from synergynet_tf.training.terms import Counts, Parts

Losses = Callable[[Batch, Counts], tuple[tf.Tensor, Parts]]


def accumulated(losses: Losses, count: Callable[[Batch], Counts], batch: Batch, splits: int, variables: Sequence[Any],
                optimizer: Any) -> tuple[tf.Tensor, Parts, list[tf.Tensor]]:
    """The loss of a batch, its parts, and the gradients for `optimizer`, from `splits` equal parts of the batch in turn.

    Beside the batch itself and one part's maps it takes memory for the gradients alone.

    Args:
        losses: of a part of the batch, given what `count` gives for all of it, on all replicas.
        count: what the terms are divided by; of parts they add up.
        batch: of a static size that `splits` divides.
        splits: parts of the batch.
        variables: Keras variables.
        optimizer: whose loss scale, where it has one, the losses are multiplied with.
    """
    rows = batch.image.shape[0] // splits

    def part(i: tf.Tensor) -> Batch:
        return Batch(*(tf.reshape(value, [splits, rows, *value.shape[1:]])[i] for value in batch))

    counts = all_sum(_sum(splits, lambda i: count(part(i))))

    def descent(i: tf.Tensor) -> tuple[tf.Tensor, Parts, list[tf.Tensor]]:
        total, parts = losses(part(i), counts)
        return total, parts, gradients(scaled(total, optimizer), variables)

    return _sum(splits, descent)


def _sum(splits: int, term: Callable[[tf.Tensor], Any]) -> Any:
    """term(0) + term(1) + ..., each a structure of tensors of static shapes.

    One after the other: in a graph without a loop TensorFlow would work on several at a time.
    """
    traced = tf.function(term, autograph=False).get_concrete_function(tf.TensorSpec((), tf.int32))
    nothing = tf.nest.map_structure(lambda like: tf.zeros(like.shape, like.dtype), traced.structured_outputs)

    def add(i: tf.Tensor, total: Any) -> tuple[tf.Tensor, Any]:
        return i + 1, tf.nest.map_structure(tf.add, total, traced(i))

    return tf.while_loop(lambda i, _: i < splits, add, (tf.constant(0), nothing), parallel_iterations=1)[1]
