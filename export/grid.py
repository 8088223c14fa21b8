"""Where the voxels of a NIfTI-1 file lie, read inside a graph: the affine in force, in mm, on a straight grid or refused.

The graph counterpart of how `synergynet_tf.data.nifti` takes a header, with the rules and numbers of its `judgement`.
"""
import math

import tensorflow as tf

from synergynet_tf.data import judgement

from .checks import checked
from .notes import general, note, sides

W_THRESHOLD = 3 * 2.0 ** -23    # a squared quaternion w this near 0 is 0: the precision of the float32 that are stored

Tensor = tf.Tensor


def straight_grid(top: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """An affine's first rows, float64 [3, 4], as an affine [4, 4] in mm, and a note where that is another unit.

    Fails with InvalidArgument, naming `name`: no grid, axes off right angles, no unit of length.
    """
    finite = tf.reduce_all(tf.math.is_finite(top))
    steps = tf.where(finite, top[:, :3], tf.eye(3, dtype=tf.float64))
    lengths = tf.norm(steps, axis=0)
    directions = steps / tf.where(lengths > 0, lengths, 1)
    top = checked(top, finite & (tf.abs(tf.linalg.det(directions)) > 1e-6),
                  f"{name}: the affine is no grid (NaN, or axes that fall together): correct the header")
    cosines = tf.abs(tf.matmul(directions, directions, transpose_a=True) - tf.eye(3, dtype=tf.float64))
    skew = tf.asin(tf.minimum(tf.reduce_max(tf.linalg.set_diag(cosines, tf.zeros([3], tf.float64))), 1)) * (180 / math.pi)
    top = checked(top, skew <= judgement.SKEW, f"{name}: the voxels' axes are", general(skew, 3),
                  f"degrees off right angles, but {judgement.SKEW:g} at most are taken: volumes and distances would be wrong; "
                  "resample the scan onto a straight grid, or correct the affine")
    factor, unit = _to_mm(lengths)
    top = checked(top, factor > 0, f"{name}: the header gives voxels of", sides(lengths),
                  ", which are a length in no unit; correct its affine")
    units = note(factor != 1, "the header gives voxels of ", sides(lengths), ": ", unit, ", by their size; taken as ",
                 sides(lengths * factor), " mm")
    return tf.concat([top * factor, tf.constant([[0, 0, 0, 1]], tf.float64)], 0), units


def spacing(affine: Tensor) -> Tensor:
    """The sides of a voxel, float64 [3]: the axes' lengths, all scaled alike, so that their product is its volume."""
    lengths = tf.norm(affine[:3, :3], axis=0)
    return lengths * (tf.abs(tf.linalg.det(affine[:3, :3])) / tf.reduce_prod(lengths)) ** (1 / 3)


def from_qform(quaternion: Tensor, origin: Tensor, qfac: Tensor, steps: Tensor, name: str) -> Tensor:
    """The rows [3, 4] that b, c, d of a quaternion, an origin and voxel sizes make, all float64 [3]."""
    b, c, d = tf.unstack(quaternion)
    w2 = 1 - (b * b + c * c + d * d)
    w2 = checked(w2, w2 > -W_THRESHOLD, f"{name}: the quaternion (qform) is longer than 1: the header is damaged")
    a = tf.where(tf.abs(w2) < W_THRESHOLD, tf.zeros_like(w2), tf.sqrt(tf.maximum(w2, 0)))
    s = 2 / (a * a + b * b + c * c + d * d)
    rotation = [[1 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c)],
                [s * (b * c + a * d), 1 - s * (b * b + d * d), s * (c * d - a * b)],
                [s * (b * d - a * c), s * (c * d + a * b), 1 - s * (b * b + c * c)]]
    scale = steps * tf.stack([tf.ones_like(qfac), tf.ones_like(qfac), qfac])
    return tf.concat([tf.convert_to_tensor(rotation) * scale, origin[:, None]], 1)


def about_the_middle(steps: Tensor, shape: Tensor) -> Tensor:
    """The rows [3, 4] of voxel sizes alone, float64 [3]: X to the left, the middle of the volume at 0."""
    steps = steps * tf.constant([-1, 1, 1], tf.float64)
    return tf.concat([tf.linalg.diag(steps), (-steps * (tf.cast(shape, tf.float64) - 1) / 2)[:, None]], 1)


def _to_mm(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The power of 1000 that makes mm of a voxel's sides, 0 where none does, and the unit's name."""
    low, high = judgement.UNITS_MM
    mean = tf.reduce_prod(lengths) ** (1 / 3)
    factor, unit = tf.constant(0, tf.float64), tf.constant("")
    for power in (-2, 2, -1, 1, 0):     # the last that fits is taken
        fits = (low <= mean * 1000.0 ** power) & (mean * 1000.0 ** power < high)
        factor = tf.where(fits, tf.constant(1000.0 ** power, tf.float64), factor)
        unit = tf.where(fits, judgement.UNITS.get(power, "mm"), unit)
    return factor, unit
