"""Changes of a patch's intensities: graph code with static shapes. Images are float32 [X, Y, Z, C], z-scored.

`alter` applies them in the order in which a scan comes about: the tissue's grey (bias field, gamma, contrast, brightness), how it
was sampled (thick slices, blur, noise), and which channels there are. A voxel of 0 was not measured and stays exactly 0, and a
transform of no strength leaves the image as it is.
"""
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import ndtri

from synergynet_tf.config.augment import AugmentConfig
from synergynet_tf.data.draws import Draws

LEVELS = 2 ** 16    # different values of the noise
SEAM, ABOUT = 0.7, 3.0      # voxels, sigma: of a faded lesion's edge, and of what lies about it
FLUID = -0.5        # z-score


class Statistics(NamedTuple):
    """Of the measured voxels of each channel, float32 [C]; 0 for a channel without any."""

    low: tf.Tensor
    high: tf.Tensor
    mean: tf.Tensor
    deviation: tf.Tensor


def alter(image: tf.Tensor, draws: Draws, config: AugmentConfig) -> tf.Tensor:
    """Apply what `draws` (of one patch) holds, float32 [X, Y, Z, C]; transforms of probability 0 leave no trace in the graph."""
    inside = image != 0
    for name, change in CHANGES.items():
        if getattr(config, name):
            image = tf.ensure_shape(change(image, inside, draws, config), image.shape)
    return image


def fade(image: tf.Tensor, inside: tf.Tensor, lesions: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Each channel's difference, in `lesions` (bool [X, Y, Z]), from the tissue about them times `factor`.

    A confluent load that is hardly brighter than grey matter is rare in small cohorts. The change ends softly at the lesions'
    edges, so that no seam shows. What is darker than `FLUID` is no tissue.
    """
    def faded() -> tf.Tensor:
        mask = tf.cast(lesions, tf.float32)[..., None]
        soft, near = (blur(mask, tf.constant(sigma), sigma) for sigma in (SEAM, ABOUT))
        weight = tf.where(inside & (image > FLUID), near * tf.cast(soft < 0.05, tf.float32), 0.0)
        level = tf.reduce_sum(weight * image, [0, 1, 2]) / tf.maximum(tf.reduce_sum(weight, [0, 1, 2]), 1e-6)
        return image + soft * (factor - 1) * (image - level)

    return _at_once((factor != 1) & tf.reduce_any(lesions), faded, image, inside)


def gamma(image: tf.Tensor, inside: tf.Tensor, exponent: tf.Tensor) -> tf.Tensor:
    """Each channel's values `inside` (bool, as image), brought to 0..1, to a power, and back to their mean and deviation.

    A scan is z-scored whatever its gamma: what changes is how its greys are spread, not where they lie.
    """
    def bend(plane: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        grey = tf.clip_by_value((plane - before.low) / tf.maximum(before.high - before.low, 1e-6), 0.0, 1.0)
        return tf.exp(exponent * tf.math.log(grey))     # a power without the special cases of one

    active = exponent != 1
    before = _statistics(active, image, inside)
    bent = _by_plane(active, bend, image, inside)
    after = _statistics(active, bent, inside)
    factor = before.deviation / tf.maximum(after.deviation, 1e-6)
    return _by_plane(active, lambda plane, _: before.mean + factor * (plane - after.mean), bent, inside)


def contrast(image: tf.Tensor, inside: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Each channel's distance from its mean `inside` (bool, as image) times `factor`."""
    active = factor != 1
    mean = _statistics(active, image, inside).mean
    return _by_plane(active, lambda plane, _: mean + factor * (plane - mean), image, inside)


def bias(image: tf.Tensor, inside: tf.Tensor, strength: tf.Tensor, terms: tf.Tensor) -> tf.Tensor:
    """Multiply by a smooth field exp(f), f the polynomial with coefficients `terms` [O, O, O] and largest value `strength`.

    The zero of a z-score has no physical meaning: the field acts on a voxel's excess over the darkest one `inside` (bool, as
    image).
    """
    active = strength > 0
    low = _statistics(active, image, inside).low
    log = terms
    for n in image.shape[:3]:       # the first axis is summed out and its voxels come last: three times is once around
        powers = tf.stack([tf.linspace(-1.0, 1.0, n) ** k for k in range(terms.shape[0])])
        log = tf.tensordot(log, powers, [[0], [0]])
    log *= strength / tf.maximum(tf.reduce_max(tf.abs(log)), 1e-6)
    return _by_plane(active, lambda plane, number: low + (plane - low) * tf.exp(log[number])[..., None], image, inside)


def noise(image: tf.Tensor, inside: tf.Tensor, deviation: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Add `normal` numbers times `deviation` to what lies `inside` (bool, as image)."""
    count = math.prod(image.shape[1:])
    first = tf.reshape(tf.range(count), image.shape[1:])
    return _by_plane(deviation > 0, lambda plane, number: plane + deviation * normal(first + number * count, seed), image, inside)


def thick_slices(image: tf.Tensor, thickness: tf.Tensor, axis: tf.Tensor) -> tf.Tensor:
    """Average slabs of `thickness` voxels (1 or more, whole or not) along `axis` (0, 1, 2); interpolate between their centres."""
    def along(number: int) -> tf.Tensor:
        mix = _slab_matrix(image.shape[number], thickness)
        mixed = tf.tensordot(mix, image, [[1], [number]])
        return tf.transpose(mixed, [*range(1, number + 1), 0, *range(number + 1, 4)])

    return tf.switch_case(axis, [lambda number=number: along(number) for number in range(3)])


def blur(image: tf.Tensor, sigma: tf.Tensor, largest: float) -> tf.Tensor:
    """Gaussian of `sigma` voxels, cut at 4 x `largest` (the largest sigma there is), 0 beyond the patch."""
    reach = max(math.ceil(4 * largest), 1)
    weights = tf.exp(-0.5 * (tf.range(-reach, reach + 1, dtype=tf.float32) / tf.maximum(sigma, 1e-3)) ** 2)
    weights /= tf.reduce_sum(weights)
    for axis in range(3):
        padded = tf.pad(image, [[reach, reach] if a == axis else [0, 0] for a in range(4)])
        parts = [tf.slice(padded, [k if a == axis else 0 for a in range(4)], image.shape) for k in range(2 * reach + 1)]
        image = tf.add_n([weights[k] * part for k, part in enumerate(parts)])
    return image


def normal(number: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A standard normal number, float32, for each `number` (int32, any shape), another for another `seed` (int32 [2]).

    It is one of `LEVELS` quantiles of equal share: a look-up costs less than the formula. Which one is chosen by the mixing
    function "lowbias32" (Wellons 2018, "Prospecting for Hash Functions"), since TensorFlow's generators cost five times as
    much when compiled.
    """
    bits = tf.bitcast(number, tf.uint32)
    for key in tf.unstack(tf.bitcast(seed, tf.uint32)):
        bits += key
        for shift, factor in ((16, 0x7feb352d), (15, 0x846ca68b), (16, 1)):
            bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, shift)) * factor
    quantiles = ndtri((np.arange(LEVELS) + 0.5) / LEVELS)
    return tf.gather(tf.constant(quantiles / quantiles.std(), tf.float32), tf.cast(tf.bitwise.right_shift(bits, 16), tf.int32))


def _by_plane(active: tf.Tensor, change: Callable, image: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """The image, if `active` with every plane along X made `change(plane, its number)` where that lies `inside`, else 0.

    Compiled, each plane is overwritten where it lies: there is no second image, nor a copy of one that stays as it is.
    """
    def step(number: tf.Tensor, planes: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        changed = tf.where(inside[number], change(planes.read(number), number), 0.0)
        return number + 1, planes.write(number, changed)

    count = tf.where(active, image.shape[0], 0)
    planes = tf.TensorArray(image.dtype, image.shape[0], clear_after_read=False, element_shape=image.shape[1:]).unstack(image)
    return tf.while_loop(lambda number, _: number < count, step, (0, planes))[1].stack()


def _at_once(active: tf.Tensor, change: Callable, image: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """The image, if `active` as `change()` makes it where that lies `inside`, else 0."""
    return tf.cond(active, lambda: tf.where(inside, change(), 0.0), lambda: image)


def _statistics(active: tf.Tensor, image: tf.Tensor, inside: tf.Tensor) -> Statistics:
    """Of the values `inside` (bool, as image), if `active`; else zeros, at no cost."""
    nothing = tf.zeros([image.shape[3]])
    return tf.cond(active, lambda: _measure(image, inside), lambda: Statistics(*[nothing] * len(Statistics._fields)))


def _measure(image: tf.Tensor, inside: tf.Tensor) -> Statistics:
    """It goes plane by plane, so that compiled, no more than a plane is stored."""
    def of_plane(plane: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        # In rows of Z x C: compiled, adding rows up is ten times faster than adding up all of them at once.
        values, there = (tf.reshape(part, [image.shape[1], -1]) for part in plane)
        known = tf.where(there, values, 0.0)
        low, high = tf.where(there, values, values.dtype.max), tf.where(there, values, values.dtype.min)
        return (tf.reduce_min(low, 0), tf.reduce_sum(known, 0), tf.reduce_sum(known ** 2, 0), tf.reduce_max(high, 0),
                tf.reduce_sum(tf.cast(there, tf.float32), 0))

    rows = tf.map_fn(of_plane, (image, inside), fn_output_signature=(tf.float32,) * 5)
    low, total, square, high, count = (tf.reshape(row, [-1, image.shape[3]]) for row in rows)
    low, high, count = tf.reduce_min(low, 0), tf.reduce_max(high, 0), tf.maximum(tf.reduce_sum(count, 0), 1.0)
    mean, square = tf.reduce_sum(total, 0) / count, tf.reduce_sum(square, 0) / count    # in one pass; z-scores lie about 0
    some = low <= high
    return Statistics(tf.where(some, low, 0.0), tf.where(some, high, 0.0), mean, tf.sqrt(tf.maximum(square - mean ** 2, 0.0)))


def _slab_matrix(n: int, thickness: tf.Tensor) -> tf.Tensor:
    """What slabs of `thickness` make of n voxels, float32 [n, n]; the identity for 1. The last slab may be cut short."""
    voxel, slab = tf.range(n, dtype=tf.float32)[None, :], tf.range(n, dtype=tf.float32)[:, None]
    share = tf.maximum(tf.minimum(voxel + 1, (slab + 1) * thickness) - tf.maximum(voxel, slab * thickness), 0.0)
    mean = share / tf.maximum(tf.reduce_sum(share, 1, keepdims=True), 1e-6)
    last = tf.math.ceil(n / thickness - 1e-4) - 1
    place = tf.clip_by_value((tf.range(n, dtype=tf.float32) + 0.5) / thickness - 0.5, 0.0, last)
    between = tf.maximum(1 - tf.abs(place[:, None] - tf.range(n, dtype=tf.float32)[None, :]), 0.0)
    return tf.linalg.matmul(between, mean)


# By transform, in the order in which they are applied: image, where it was measured (bool, as image), draws of the patch and
# settings -> image. To add one, see config/augment.py.
CHANGES: dict[str, Callable[[tf.Tensor, tf.Tensor, Draws, AugmentConfig], tf.Tensor]] = {
    "bias_field": lambda image, inside, draws, _: bias(image, inside, draws["bias_field"], draws["bias_terms"]),
    "gamma": lambda image, inside, draws, _: gamma(image, inside, draws["gamma"]),
    "contrast": lambda image, inside, draws, _: contrast(image, inside, draws["contrast"]),
    "brightness": lambda image, inside, draws, _: _by_plane(
        draws["brightness"] != 0, lambda plane, _: plane + draws["brightness"], image, inside),
    "thick_slices": lambda image, inside, draws, _: _at_once(
        draws["thick_slices"] > 1, lambda: thick_slices(image, draws["thick_slices"], draws["thick_axis"]), image, inside),
    "blur": lambda image, inside, draws, config: _at_once(
        draws["blur"] > 0, lambda: blur(image, draws["blur"], config.blur_range[1]), image, inside),
    "noise": lambda image, inside, draws, _: noise(image, inside, draws["noise"], draws["noise_seed"]),
    "modality_dropout": lambda image, inside, draws, _: _by_plane(
        tf.reduce_any(draws["dropped"]), lambda plane, _: tf.where(draws["dropped"], 0.0, plane), image, inside),
}
