"""From a scan's channels to what the network sees, inside a graph, as `synergynet_tf.data.preprocess.load_case` does it."""
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from . import brain, judgement
from .brain import Brain
from .notes import listed

Tensor = tf.Tensor


class Prepared(NamedTuple):
    """A scan that was judged, cropped to the box of its brain."""

    image: Tensor       # float32 [x, y, z, C], z-scored, 0 outside the brain
    brain: Brain
    notes: Tensor       # string, a line for each thing that was mended or is to be looked at, beginning with its channel


def prepare(channels: dict[str, Tensor], names: dict[str, str], spacing: Tensor,
            known: Mapping[str, Sequence[Tensor]]) -> Prepared:
    """Judge a scan, find its brain and z-score its channels.

    Args:
        channels: float32 [X, Y, Z] by name, flair among them, on one grid.
        names: what a channel is called in an error.
        spacing: mm, float64 [3].
        known: notes of what was read.

    Fails with InvalidArgument for what the rules of `judgement` refuse.
    """
    flair, *background = judgement.settled(channels["flair"], names["flair"])
    flair, small = judgement.check_spacing(flair, spacing, names["flair"])
    flair = judgement.check_background(flair, names["flair"])
    brain_box = brain.find_brain(flair, names["flair"])
    values, clipped = judgement.within_fences(*brain.cropped(flair, brain_box), names["flair"])
    values, size = judgement.check_brain(values, brain_box, spacing, names["flair"])
    scores = {"flair": brain.z_scored(values)}
    notes = [listed([*known["flair"], *background, small, *clipped, size], "flair: ")]
    for channel in channels:
        if channel != "flair":
            array, *background = judgement.settled(channels[channel], names[channel])
            values, clipped = judgement.within_fences(*brain.cropped(array, brain_box), names[channel])
            scores[channel] = brain.z_scored(values)
            notes.append(listed([*known[channel], *background, *clipped], f"{channel}: "))
    return Prepared(tf.stack([scores[channel] for channel in channels], -1), brain_box, listed(notes))
