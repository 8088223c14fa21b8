"""The judgement of a scan inside a graph: the rules and numbers of `synergynet_tf.data.judgement`, and its notes word for word.

What cannot be mended with certainty fails with InvalidArgument, naming the channel.
"""
import tensorflow as tf

from synergynet_tf.data import judgement as rules
from synergynet_tf.ops.components import without_holes

from .brain import Brain, not_zero
from .checks import checked
from .notes import general, note, sides, whole
from .skull import skull_sign

Tensor = tf.Tensor


def settled(array: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """A volume [X, Y, Z] with its background at 0 where it is certain what that is, and a note. Fails for NaN or Inf.

    The background is the fourth smallest of the corners, NaN being the largest, if half of the faces' voxels have it. NaN is it
    only where none lies within what is not NaN, holes filled.
    """
    value = _fourth_corner(array)
    unknown = tf.math.is_nan(value)
    faces = tf.concat([tf.reshape(tf.gather(array, end, axis=axis), [-1]) for axis in range(3)
                       for end in (0, tf.shape(array)[axis] - 1)], 0)
    same = tf.math.count_nonzero(tf.where(unknown, tf.math.is_nan(faces), faces == value), dtype=tf.int32)
    certain = not_zero(value) & ~tf.math.is_inf(value) & (2 * same >= tf.size(faces))
    there = ~tf.math.is_nan(array)
    certain &= tf.cond(certain & unknown, lambda: tf.reduce_all(without_holes(there) == there), lambda: True)
    array = tf.cond(certain, lambda: tf.cond(unknown, lambda: tf.where(there, array, 0.0), lambda: array - value), lambda: array)
    finite = tf.math.is_finite(tf.reduce_sum(tf.cast(array, tf.float64)))      # one pass; NaN and Inf survive a sum
    array = checked(array, finite, f"{name}: voxels are NaN or Inf; replace them (0 outside the brain)")
    return array, note(certain, "the background is ", general(value), "; taken as 0")


def check_background(array: Tensor, name: str) -> Tensor:
    """The FLAIR [X, Y, Z], settled, once enough of it is 0."""
    share = tf.math.count_nonzero(not_zero(array)) / tf.size(array, tf.int64)
    return checked(array, share <= rules.FILLED, f"{name}:", whole(100 * share), "% of the voxels are not 0, but around a brain "
                   f"there are more than {100 * (1 - rules.FILLED):.0f} % of background, which must be 0: is the skull on, or "
                   f"noise around the head? {rules.STRIP}")


def check_spacing(array: Tensor, spacing: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """The FLAIR, once its voxels' sides, float64 [3] in mm, are some that a network can see anything in; and a note."""
    def outside(limits: tuple[float, float]) -> Tensor:
        return (tf.reduce_min(spacing) < limits[0] - rules.ROUNDING) | (tf.reduce_max(spacing) > limits[1] + rules.ROUNDING)

    (least, most), (low, high) = rules.SIDES, rules.SPACING
    array = checked(array, ~outside(rules.SIDES), f"{name}: the voxels are", sides(spacing), f"mm, but sides of {least:g} to "
                    f"{most:g} mm are needed, best 1: correct the header, or resample to 1 mm "
                    "(`python -m synergynet_tf.prepare --raw`)")
    return array, note(outside(rules.SPACING), "voxels of ", sides(spacing), f" mm, but {low:g} to {high:g} are expected: "
                       "resample to 1 mm for sound results")


def within_fences(array: Tensor, measured: Tensor, name: str) -> tuple[Tensor, list[Tensor]]:
    """What was measured of a channel in the brain's box, float32 [x, y, z], the few values that no tissue can have clipped.

    Returns:
        The values, 0 where nothing was measured (bool, as array), and notes.
    """
    values = tf.boolean_mask(array, measured)
    count = tf.size(values)
    values, first, third = _of_a_scan(values, name)
    ends = tf.abs(tf.stack([first, third]))
    reach = tf.maximum(rules.FENCE[0] * (third - first), rules.FENCE[1] * tf.reduce_max(ends))
    low, high = tf.cast(first - reach, tf.float32), tf.cast(third + reach, tf.float32)
    below, above = (tf.math.count_nonzero(beyond, dtype=tf.int32) for beyond in (values < low, values > high))
    lowest, highest = tf.reduce_min(values), tf.reduce_max(values)
    few = below + above <= rules.CLIPPED[0] + count // rules.CLIPPED[1]
    array = checked(array, few, f"{name}:", below + above, "of the brain's", count, "voxels lie outside", general(low), "to",
                    general(high), ", far from all others (lowest", general(lowest), ", highest", general(highest),
                    "): an artefact, or no scan; mend or replace the file")
    notes = [note(number > 0, tf.strings.as_string(number), " voxel", note(number != 1, "s"), f" {where} ", general(limit),
                  tf.where(number == 1, " was", " were"), f" clipped (the {most} is ", general(value), ")")
             for number, where, limit, most, value in ((below, "below", low, "lowest", lowest),
                                                       (above, "above", high, "highest", highest))]
    array = tf.where(array < low, low, tf.where(array > high, high, array))     # clip_by_value would make 0 of what is nearly 0
    return tf.where(measured, array, 0.0), notes


def _of_a_scan(values: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Measured values [n], once they are some of a scan, and their quartiles, float64."""
    count = tf.size(values)
    values = checked(values, tf.reduce_any(values != values[:1]),
                     f"{name}: every voxel in the brain is the same, so there is nothing to see; replace the file")
    distinct = _distinct(values)
    values = checked(values, distinct > rules.FEW_VALUES, f"{name}: only", distinct, "different values in the brain, but a scan "
                     "has hundreds: is it a mask or a label map? Replace the file")
    first, third = (tf.cast(value, tf.float64) for value in _order_statistics(values, [count // 4, count - 1 - count // 4]))
    values = checked(values, first != third, f"{name}: at least half of the brain's voxels are", general(first),
                     ": it is no scan, or most of it is lost; replace the file")
    faint = tf.cast(rules.FAINT[0] * tf.abs(third), tf.float32)
    faints = tf.math.count_nonzero(tf.abs(values) < faint, dtype=tf.int32)
    values = checked(values, faints <= count // rules.FAINT[1], f"{name}:", whole(100 * faints / count), "% of the brain's "
                     "voxels are nearly 0 (below", general(faint), "), as resampling leaves them around a brain, but what is no "
                     "brain must be exactly 0: set them to 0, or strip it again")
    return values, first, third


def check_brain(values: Tensor, brain: Brain, spacing: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """What was measured of the FLAIR in the brain's box, float32 [x, y, z], once it is a brain and no head; and a note."""
    voxels = tf.math.count_nonzero(brain.mask, dtype=tf.int32)
    volume = tf.cast(voxels, tf.float64) * tf.reduce_prod(spacing) / 1000
    least, most = rules.BRAIN_ML
    values = checked(values, volume <= most, f"{name}: what is not 0 takes", whole(volume), f"ml, but a brain takes "
                     f"{most:.0f} ml at most: is the skull on? {rules.STRIP}")
    negative = tf.cast(tf.math.count_nonzero(values < 0), tf.float64) > rules.NEGATIVE * tf.cast(voxels, tf.float64)
    share = tf.cond((volume < least) | negative, lambda: tf.constant(0, tf.float64), lambda: skull_sign(values, spacing))
    refused, noted = rules.SKULL
    values = checked(values, share <= refused, f"{name}: below", whole(100 * share), "% of the surface a dark layer lies "
                     f"between bright ones, as bone does between scalp and brain, but {100 * noted:.0f} % at most are expected: "
                     f"is the skull on? {rules.STRIP}")
    small = note(volume < least, "the brain takes ", whole(volume), f" ml, but at least {least:.0f} are expected: is part of it "
                 "cut off, or the spacing wrong?")
    bright = note(share > noted, "below ", whole(100 * share), " % of the surface a dark layer lies between bright ones: is part "
                  "of the skull on?")
    return values, tf.strings.join([small, bright])     # one of them at most


def _fourth_corner(array: Tensor) -> Tensor:
    shape = tf.shape(array)
    for axis in range(3):
        array = tf.gather(array, tf.stack([0, shape[axis] - 1]), axis=axis)
    corners = tf.reshape(array, [-1])
    known = ~tf.math.is_nan(corners)
    fourth = tf.sort(tf.where(known, corners, float("inf")))[3]
    return tf.where(tf.math.count_nonzero(known) > 3, fourth, float("nan"))


def _distinct(values: Tensor) -> Tensor:
    """How many different values there are; one more than `FEW_VALUES` where there are more."""
    highest, count = tf.reduce_min(values), tf.constant(1)
    for _ in range(rules.FEW_VALUES):
        highest = tf.reduce_min(tf.where(values > highest, values, float("inf")))
        count += tf.cast(tf.math.is_finite(highest), tf.int32)
    return count


def _order_statistics(values: Tensor, ranks: list[Tensor]) -> list[Tensor]:
    """The values that have these ranks, counted from 0, among float32 [n]: sorting them all would take ten times as long."""
    order = _ordered(tf.bitcast(values, tf.int32))

    def halved(low: Tensor, high: Tensor, rank: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = tf.bitwise.right_shift(tf.bitwise.bitwise_xor(low, high), 1)
        middle = tf.bitwise.bitwise_and(low, high) + half       # (low + high) / 2, which may not fit
        enough = tf.math.count_nonzero(order <= middle, dtype=tf.int32) > rank
        return tf.where(enough, low, middle + 1), tf.where(enough, middle, high), rank

    ends = tf.reduce_min(order), tf.reduce_max(order)
    statistics = [tf.while_loop(lambda low, high, _: low < high, halved, (*ends, rank))[0] for rank in ranks]
    return [tf.bitcast(_ordered(bits), tf.float32) for bits in statistics]


def _ordered(bits: Tensor) -> Tensor:
    """A float32's bits, int32, as integers that are in its order; and back."""
    return tf.where(bits < 0, tf.bitwise.bitwise_xor(bits, 0x7fffffff), bits)
