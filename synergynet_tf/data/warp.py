"""Rotation, scaling, elastic deformation and flip of one patch as a single resampling: graph code with static shapes.

A voxel p of the patch, counted from its centre, shows the block at R p / s + u(p): R turns about X, s is the scale, and u is a
cubic B-spline through random control points. A flip reverses the patch, that is p and u along X. One field of coordinates serves
the image and its labels. Written for XLA, which makes one loop of coordinates, weights and look-ups. It goes plane by plane along
X, so that of the field no more than a plane is ever stored.
"""
import itertools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from synergynet_tf.config.augment import AugmentConfig

Size = tuple[int, int, int]


class Block(NamedTuple):
    """What is read of a case for one patch: the patch with `margins` around it."""

    image: tf.Tensor        # any float type [X, Y, Z, C], static shape
    instances: tf.Tensor    # int [X, Y, Z], its lesion labels
    centre: tf.Tensor       # float32 [3], the voxel index of the patch's centre in the block; between two voxels for an even side


class Pose(NamedTuple):
    """How a patch lies in its block, scalars."""

    angle: tf.Tensor        # float32, radians about X; positive turns +Y towards +Z
    scale: tf.Tensor        # float32; above 1 the content grows
    flip: tf.Tensor         # bool, left-right


def margins(size: Size, rotation: float, config: AugmentConfig) -> Size:
    """Voxels to read beyond each side of a patch of `size`, so that no strongest transform looks outside the block.

    `rotation` is the largest turn about X in degrees, 0..180. Transforms of probability 0 need no margin.
    """
    scale = min(config.scale_range[0], 1.0) if config.scale else 1.0
    shift = config.elastic_range[1] if config.elastic else 0.0
    half_x, half_y, half_z = ((n - 1) / 2 for n in size)
    reaches = (half_x, half_x), (half_y, _turned(half_y, half_z, rotation)), (half_z, _turned(half_z, half_y, rotation))
    x, y, z = (math.ceil(max(reach / scale + shift - half, 0.0) - 1e-9) for half, reach in reaches)
    return x, y, z


def control_points(seed: tf.Tensor, strength: tf.Tensor, flip: tf.Tensor, size: Size, spacing: float) -> tf.Tensor:
    """Of a smooth random field u, which is nowhere beyond `strength` on any axis: float32 [X, 3, J, K], a row for each plane.

    Args:
        seed: int32 [2]; the same seed gives the same field.
        strength: scalar float32, voxels: control points are drawn evenly from -strength..strength.
        flip: scalar bool, whether the field runs backwards along X.
        size: (X, Y, Z) of the patch.
        spacing: voxels between control points.
    """
    along_x, along_y, along_z = (_spline_basis(n, spacing) for n in size)
    shape = [3, along_x.shape[1], along_y.shape[1], along_z.shape[1]]
    # From bits, which are the same in a compiled and in a plain graph; TensorFlow's own fractions are not.
    bits = tf.random.stateless_uniform(shape, seed, None, None, tf.int32, alg="philox")
    control = strength * tf.cast(bits, tf.float32) / 2 ** 31
    return tf.einsum("aijk,xi->xajk", control, tf.where(flip, along_x[::-1], along_x))


def displacement(control: tf.Tensor, size: Size, spacing: float) -> tf.Tensor:
    """u in one plane, float32 [3, Y, Z] in voxels, from its row [3, J, K] of `control_points`."""
    along_y, along_z = (_spline_basis(n, spacing) for n in size[1:])
    return tf.einsum("ayk,zk->ayz", tf.einsum("ajk,yj->ayk", control, along_y), along_z)


def warp(block: Block, pose: Pose, control: tf.Tensor | None, spacing: float, size: Size) -> tuple[tf.Tensor, tf.Tensor]:
    """Make a patch of a block: image trilinearly, labels of the nearest voxel, 0 outside. Whole shifts give voxels exactly.

    Args:
        block: the voxels, labels and place that the patch is cut from.
        pose: rotation, scale and flip.
        control: `control_points` of the displacement with `spacing` and the same flip, or none.
        spacing: voxels between control points.
        size: (X, Y, Z) of the patch.

    Returns:
        image float32 [*size, C] and instances int32 [*size].
    """
    (image, instances, centre), (angle, scale, flip) = block, pose
    x, y, z = ((tf.range(n, dtype=tf.float32) - (n - 1) / 2) / scale for n in size)
    x = tf.where(flip, -x, x) + centre[0]
    cos, sin, y, z = tf.cos(angle), tf.sin(angle), y[:, None], z[None, :]
    turned = cos * y + sin * z + centre[1], cos * z - sin * y + centre[2]

    def of_plane(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        places = [x[number], *turned]
        if control is not None:
            shift = displacement(control[number], size, spacing)
            places = [place + shift[axis] for axis, place in enumerate(places)]
        return _look_up(image, instances, places)

    made, labels = tf.map_fn(of_plane, tf.range(size[0]), fn_output_signature=(tf.float32, tf.int32))
    return tf.ensure_shape(made, [*size, image.shape[3]]), tf.ensure_shape(labels, size)


def _look_up(image: tf.Tensor, instances: tf.Tensor, places: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """A plane's image float32 [Y, Z, C] and instances int32 [Y, Z], at voxel indices x, y, z, each broadcastable to [Y, Z]."""
    block, channels = tuple(image.shape[:3]), image.shape[3]
    voxels, sampled = tf.reshape(image, [-1, channels]), tf.zeros([], tf.float32)
    for (x, weight_x), (y, weight_y), (z, weight_z) in itertools.product(*map(_neighbours, places, block)):
        voxel = tf.cast(tf.gather(voxels, (x * block[1] + y) * block[2] + z), tf.float32)
        sampled += (weight_x * weight_y * weight_z)[..., None] * voxel

    x, y, z = (tf.cast(tf.floor(place + 0.5), tf.int32) for place in places)
    inside = (x >= 0) & (x < block[0]) & (y >= 0) & (y < block[1]) & (z >= 0) & (z < block[2])
    nearest = tf.where(inside, (x * block[1] + y) * block[2] + z, 0)
    labels = tf.gather(tf.reshape(instances, [-1]), nearest)
    return sampled, tf.cast(tf.where(inside, labels, 0), tf.int32)


def _turned(half: float, other: float, rotation: float) -> float:
    """How far a rectangle of half sides `half`, `other` reaches along `half` when turned by up to `rotation` degrees."""
    angle = min(math.radians(rotation), math.atan2(other, half))     # at the second the corner points along the axis
    return half * math.cos(angle) + other * math.sin(angle)


def _spline_basis(n: int, spacing: float) -> np.ndarray:
    """Weights of the uniform cubic B-spline's control points at n voxels, float32 [n, points]; rows sum to 1."""
    place = np.arange(n) / spacing
    points = int(place[-1]) + 4
    distance = np.abs(place[:, None] + 1 - np.arange(points))      # the first control point lies one spacing before voxel 0
    near, far = 2 / 3 - distance ** 2 + distance ** 3 / 2, (2 - distance) ** 3 / 6
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0)).astype(np.float32)


def _neighbours(place: tf.Tensor, n: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """The two voxels about each place along an axis of n voxels, held to it, and their weights: 0 for one outside."""
    low = tf.floor(place)
    part, first = place - low, tf.cast(low, tf.int32)
    return [(tf.clip_by_value(index, 0, n - 1), tf.where((index >= 0) & (index < n), weight, 0.0))
            for index, weight in ((first, 1 - part), (first + 1, part))]
