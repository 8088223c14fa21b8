"""Numbers and notes as text inside a graph, word for word as Python writes them."""
from collections.abc import Sequence

import tensorflow as tf

Tensor = tf.Tensor


def general(number: Tensor, digits: int = 6) -> Tensor:
    """As f"{number:.6g}"."""
    return tf.strings.as_string(number, precision=digits, shortest=True)


def whole(number: Tensor) -> Tensor:
    """As f"{number:.0f}"."""
    return tf.strings.as_string(tf.cast(number, tf.float64), precision=0)


def sides(spacing: Tensor, digits: int = 4) -> Tensor:
    """A voxel's sides [3], as 1 x 1 x 3."""
    return tf.strings.reduce_join(general(spacing, digits), separator=" x ")


def note(condition: Tensor, *parts: str | Tensor) -> Tensor:
    """The parts as one text where `condition` holds, else an empty one."""
    return tf.where(condition, tf.strings.join(parts), "")


def listed(notes: Sequence[Tensor], before: str = "", separator: str = "\n") -> Tensor:
    """The notes that are not empty, each with `before` in front: one text."""
    every = tf.stack(list(notes)) if notes else tf.zeros([0], tf.string)
    return tf.strings.reduce_join(before + tf.boolean_mask(every, every != ""), separator=separator)
