"""What a request gives, looked at before anything is done with it."""
from collections.abc import Sequence

import tensorflow as tf

from .checks import checked
from .notes import general
from .settings import Limits

MEAN, DEVIATION = 1.0, (0.25, 4.0)      # of z-scores in a brain, which have 0 and 1: what a crop of it may have

Tensor = tf.Tensor


def check_sizes(batch: Tensor, name: str, limits: Limits) -> Tensor:
    """A batch [B, X, Y, Z, C], once it has these axes and channels, is not empty and within the limits.

    A server does not hold a request to the signature's shape, and a graph's optimiser takes that shape for granted: here it is
    forgotten first.
    """
    channels = batch.shape[-1]
    volumes = tf.raw_ops.PlaceholderWithDefault(input=batch, shape=tf.TensorShape(None))
    shape = tf.shape(volumes, tf.int64)
    shown = tf.strings.reduce_join(tf.strings.as_string(shape), separator=" x ")
    fits = (tf.size(shape) == 5) & (shape[-1] == channels) & tf.reduce_all(shape > 0)
    volumes = checked(volumes, fits, f"{name}: the shape is", shown,
                      f", but B x X x Y x Z x {channels} is needed, of one volume at least")
    sides = shape[1:4]
    small = tf.reduce_all(sides <= limits.max_side) & (tf.reduce_prod(sides) <= limits.max_voxels)
    volumes = checked(volumes, small, f"{name}: the shape is", shown, f", but sides of 1 to {limits.max_side} and "
                      f"{limits.max_voxels} voxels in all are taken; resample it to 1 mm, or export with larger limits")
    return tf.ensure_shape(volumes, [None, None, None, None, channels])


def check_z_scores(image: Tensor, name: str) -> Tensor:
    """A volume [X, Y, Z, C], once it holds z-scores: finite, not all 0, about mean 0 and deviation 1 in each channel."""
    wide = tf.cast(image, tf.float64)
    finite = tf.math.is_finite(tf.reduce_sum(wide))
    image = checked(image, finite, f"{name}: voxels are NaN or Inf; replace them (0 outside the brain)")
    count = tf.math.count_nonzero(image, [0, 1, 2], dtype=tf.float64)
    image = checked(image, tf.reduce_all(count > 0), f"{name}: no brain: all voxels are 0")
    mean = tf.reduce_sum(wide, [0, 1, 2]) / count
    deviation = tf.sqrt(tf.maximum(tf.reduce_sum(wide ** 2, [0, 1, 2]) / count - mean ** 2, 0))
    sound = tf.reduce_all((tf.abs(mean) <= MEAN) & (deviation >= DEVIATION[0]) & (deviation <= DEVIATION[1]))
    return checked(image, sound, f"{name}: what is not 0 has mean", general(mean[0]), "and deviation", general(deviation[0]),
                   ", but z-scores have 0 and 1; send intensities to segment_raw")


def check_files(contents: Sequence[Tensor], channels: Sequence[str]) -> Sequence[Tensor]:
    """The files of each channel, string [B] each, once they are as many and at least one."""
    sizes = tf.stack([tf.size(content) for content in contents])
    contents = checked(contents, tf.reduce_all(sizes == sizes[0]), "each request needs as many files of every channel:",
                       ", ".join(channels))
    return checked(contents, sizes[0] > 0, "a request needs at least one file of every channel:", ", ".join(channels))
