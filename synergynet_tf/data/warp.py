"""Rotation, scaling and elastic deformation of one patch as a single resampling: graph code with static shapes.

A voxel p of the patch, counted from its centre, shows the block at R p / s + u(p): R turns about X, s is the scale, and u is a
cubic B-spline through random control points. One field of coordinates serves the image and its labels.
"""
import math

import numpy as np
import tensorflow as tf

from synergynet_tf.augmentation import AugmentConfig

Size = tuple[int, int, int]


def margins(size: Size, rotation: float, config: AugmentConfig) -> Size:
    """Voxels to read beyond each side of a patch of `size`, so that no strongest transform looks outside the block.

    `rotation` is the largest turn about X in degrees, 0..180. Transforms of probability 0 need no margin.
    """
    scale = min(config.scale_range[0], 1.0) if config.scale else 1.0
    shift = config.elastic_range[1] if config.elastic else 0.0
    half_x, half_y, half_z = ((n - 1) / 2 for n in size)
    reaches = (half_x, half_x), (half_y, _turned(half_y, half_z, rotation)), (half_z, _turned(half_z, half_y, rotation))
    return tuple(math.ceil(max(reach / scale + shift - half, 0.0) - 1e-9) for half, reach in reaches)


def displacement(seed: tf.Tensor, strength: tf.Tensor, size: Size, spacing: float) -> tf.Tensor:
    """A smooth random field u, float32 [*size, 3] in voxels, nowhere beyond `strength` on any axis.

    Args:
        seed: int32 [2]; the same seed gives the same field (under XLA another one than in the plain graph of the pipeline).
        strength: scalar float32, voxels: control points are drawn evenly from -strength..strength.
        size: (X, Y, Z) of the patch.
        spacing: voxels between control points.
    """
    bases = [_spline_basis(n, spacing) for n in size]
    shape = [*(basis.shape[1] for basis in bases), 3]
    control = strength * tf.random.stateless_uniform(shape, seed, -1.0, 1.0, alg="philox")
    for axis, basis in enumerate(bases):
        control = tf.tensordot(tf.constant(basis, tf.float32), control, [[1], [axis]])
        control = tf.transpose(control, [*range(1, axis + 1), 0, *range(axis + 1, 4)])
    return control


def source(angle: tf.Tensor, scale: tf.Tensor, field: tf.Tensor | None, block: Size, out_size: Size) -> list[tf.Tensor]:
    """Where each voxel of the patch comes from: voxel indices x, y, z in the block, each float32, broadcastable to [*out_size].

    Args:
        angle: scalar float32, radians about X; positive turns +Y towards +Z.
        scale: scalar float32; above 1 the content grows.
        field: float32 [*out_size, 3], voxels, or none.
        block: (X, Y, Z) of the block, whose centre is that of the patch.
        out_size: (X, Y, Z) of the patch.
    """
    x, y, z = (tf.reshape((tf.range(n, dtype=tf.float32) - (n - 1) / 2) / scale, [-1 if i == axis else 1 for i in range(3)])
               for axis, n in enumerate(out_size))
    cos, sin = tf.cos(angle), tf.sin(angle)
    places = [place + (n - 1) / 2 for place, n in zip((x, cos * y + sin * z, cos * z - sin * y), block)]
    return places if field is None else [place + field[..., axis] for axis, place in enumerate(places)]


def resample(image: tf.Tensor, instances: tf.Tensor, places: list[tf.Tensor], out_size: Size) -> tuple[tf.Tensor, tf.Tensor]:
    """Look a block up at `places`: image trilinearly, labels of the nearest voxel, 0 outside.

    Args:
        image: [X, Y, Z, C], any float type, static shape.
        instances: int [X, Y, Z].
        places: voxel indices x, y, z, float32, broadcastable to [*out_size]; whole numbers give voxels exactly.
        out_size: shape of the result.

    Returns:
        image float32 [*out_size, C] and instances int32 [*out_size].
    """
    block, channels = image.shape[:3], image.shape[3]
    # A rim of zeros stands for all that is outside: places are held to it, and no sample needs to be asked whether it is inside.
    padded = tf.pad(image, [[1, 1], [1, 1], [1, 2], [0, 0]])
    # Each row holds a voxel and its neighbour in Z: four gathers instead of eight.
    rows = tf.reshape(tf.concat([padded[:, :, :-1], padded[:, :, 1:]], -1), [-1, 2 * channels])
    places = [tf.clip_by_value(place + 1, 0.0, n + 1.0) for place, n in zip(places, block)]
    low = [tf.minimum(tf.floor(place), float(n)) for place, n in zip(places, block)]
    part = [place - floor for place, floor in zip(places, low)]
    first = _row([tf.cast(floor, tf.int32) for floor in low], block)
    total = tf.zeros([], tf.float32)
    for step_x, weight_x in ((0, 1 - part[0]), (1, part[0])):
        for step_y, weight_y in ((0, 1 - part[1]), (1, part[1])):
            row = first + _row([step_x, step_y, 0], block)
            total += (weight_x * weight_y)[..., None] * tf.cast(tf.gather(rows, row), tf.float32)
    sampled = total[..., :channels] * (1 - part[2])[..., None] + total[..., channels:] * part[2][..., None]

    nearest = _row([tf.cast(tf.floor(place + 0.5), tf.int32) for place in places], block)
    labels = tf.gather(tf.reshape(tf.pad(instances, [[1, 1], [1, 1], [1, 1]]), [-1]), nearest)
    return tf.ensure_shape(sampled, [*out_size, channels]), tf.ensure_shape(tf.cast(labels, tf.int32), out_size)


def _turned(half: float, other: float, rotation: float) -> float:
    """How far a rectangle of half sides `half`, `other` reaches along `half` when turned by up to `rotation` degrees."""
    angle = min(math.radians(rotation), math.atan2(other, half))     # at the second the corner points along the axis
    return half * math.cos(angle) + other * math.sin(angle)


def _row(index: list, block: Size) -> tf.Tensor:
    """Row of voxel `index` in the flattened block with its rim."""
    return (index[0] * (block[1] + 2) + index[1]) * (block[2] + 2) + index[2]


def _spline_basis(n: int, spacing: float) -> np.ndarray:
    """Weights of the uniform cubic B-spline's control points at n voxels, [n, points]; rows sum to 1."""
    place = np.arange(n) / spacing
    points = int(place[-1]) + 4
    distance = np.abs(place[:, None] + 1 - np.arange(points))      # the first control point lies one spacing before voxel 0
    near, far = 2 / 3 - distance ** 2 + distance ** 3 / 2, (2 - distance) ** 3 / 6
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
