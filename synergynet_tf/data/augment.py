"""Augmentation of one patch, and the annotation that is recomputed after it: graph code with static shapes.

The paper (3) turns each crop by a random angle within 15 degrees "along the sagittal coordinate axis": each Y-Z plane about X. A
patch is turned out of a block that is larger by `margins`, so that its corners hold tissue instead of zeros. What else may be
switched on (config.AugmentConfig) lies in data/warp and data/intensity.
"""
import tensorflow as tf

from synergynet_tf.augmentation import AugmentConfig
from synergynet_tf.data import intensity, warp
from synergynet_tf.data.draws import Draws
from synergynet_tf.ops import boxes


def augment_patch(
    block: tf.Tensor, instances: tf.Tensor, angle: tf.Tensor, draws: Draws, config: AugmentConfig, size: tuple[int, int, int],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Make a patch of `size` from the middle of a block: resampled once, then changed in its intensities.

    Args:
        block: [X, Y, Z, C], any float type, static shape: the patch with `warp.margins` around it.
        instances: int [X, Y, Z], its lesion labels.
        angle: scalar float32, radians about X.
        draws: of this one patch.
        config: which transforms there are at all.
        size: (X, Y, Z) of the patch.

    Returns:
        image float32 [*size, C] and instances int32 [*size].
    """
    if config.scale or config.elastic:
        bent = (draws.scale != 1) | (draws.elastic > 0)
        image, labels = tf.cond(bent, lambda: _warped(block, instances, angle, draws, config, size),
                                lambda: _turned(block, instances, angle, size))
        image, labels = tf.ensure_shape(image, [*size, block.shape[-1]]), tf.ensure_shape(labels, size)
    else:
        image, labels = _turned(block, instances, angle, size)
    if config.flip:     # the patch's voxels in reverse: what a field of coordinates with -x would give, without a second sampling
        image, labels = (tf.where(draws.flip, tf.reverse(volume, [0]), volume) for volume in (image, labels))
    return intensity.alter(image, draws, config), labels


def rotate_about_x(
    image: tf.Tensor, instances: tf.Tensor, angle: tf.Tensor, out_size: tuple[int, int, int],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Turn a block about the X axis through its centre and keep the `out_size` voxels in the middle (paper, 3).

    Args:
        image: float [X, Y, Z, C], any float type, static shape; interpolated bilinearly in Y and Z, 0 outside.
        instances: int [X, Y, Z]; the nearest voxel's label, 0 outside.
        angle: scalar float32, radians; positive turns +Y towards +Z. 0 gives the middle of the block exactly.
        out_size: (X, Y, Z) of the result, X that of the block.

    Returns:
        image float32 [*out_size, C] and instances int32 [*out_size].
    """
    x, y, z, channels = image.shape
    # X and C do not take part: with them innermost, a sample is one contiguous row of x * channels numbers.
    rows = tf.transpose(tf.reshape(tf.cast(image, tf.float32), [x, y * z, channels]), [1, 0, 2])
    rows = tf.reshape(rows, [y * z, x * channels])
    source_y, source_z = _source(angle, (y, z), out_size[1:])
    low_y, low_z = tf.floor(source_y), tf.floor(source_z)
    part_y, part_z = source_y - low_y, source_z - low_z
    turned = tf.zeros([], tf.float32)
    for row_y, weight_y in ((low_y, 1 - part_y), (low_y + 1, part_y)):
        for row_z, weight_z in ((low_z, 1 - part_z), (low_z + 1, part_z)):
            row, inside = _flat_row(row_y, row_z, (y, z))
            weight = tf.where(inside, tf.reshape(weight_y * weight_z, [-1]), 0.0)
            turned += weight[:, None] * tf.gather(rows, row)
    turned = tf.transpose(tf.reshape(turned, [-1, x, channels]), [1, 0, 2])

    row, inside = _flat_row(tf.floor(source_y + 0.5), tf.floor(source_z + 0.5), (y, z))
    labels = tf.gather(tf.transpose(tf.reshape(tf.cast(instances, tf.int32), [x, y * z])), row)
    labels = tf.transpose(tf.where(inside[:, None], labels, 0))
    return tf.reshape(turned, [*out_size, channels]), tf.reshape(labels, out_size)


def annotate(instances: tf.Tensor, is_small: tf.Tensor, min_voxels: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What the detector is to find in a patch, and what it is to pass over.

    Args:
        instances: int32 [X, Y, Z], labels 1..L.
        is_small: bool [L], whether the whole lesion is small (paper, 2.1), whatever part of it the patch shows.
        min_voxels: visible lesions of fewer voxels in the patch are ignored.

    Returns:
        gt_boxes float32 [L, 6], gt_valid bool [L], gt_ignore bool [L], as in structures.Batch.
    """
    gt_boxes, counts = boxes.from_instances(instances, is_small.shape[0])
    visible = counts > 0
    valid = visible & is_small & (counts >= min_voxels)
    return gt_boxes, valid, visible & ~valid


def _turned(block: tf.Tensor, instances: tf.Tensor, angle: tf.Tensor, size: tuple[int, int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """The paper's turn alone: nothing moves along X, so that a margin there is cut off."""
    margin = (block.shape[0] - size[0]) // 2
    inner = slice(margin, margin + size[0])
    return rotate_about_x(block[inner], instances[inner], angle, size)


def _warped(
    block: tf.Tensor, instances: tf.Tensor, angle: tf.Tensor, draws: Draws, config: AugmentConfig, size: tuple[int, int, int],
) -> tuple[tf.Tensor, tf.Tensor]:
    field = warp.displacement(draws.elastic_seed, draws.elastic, size, config.elastic_spacing) if config.elastic else None
    return warp.resample(block, instances, warp.source(angle, draws.scale, field, tuple(instances.shape), size), size)


def _source(angle: tf.Tensor, block: tuple[int, int], out: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Where each voxel of the turned plane comes from: voxel indices y and z in the block, each float32 [out y, out z]."""
    y = tf.range(out[0], dtype=tf.float32)[:, None] - (out[0] - 1) / 2
    z = tf.range(out[1], dtype=tf.float32)[None, :] - (out[1] - 1) / 2
    cos, sin = tf.cos(angle), tf.sin(angle)
    return cos * y + sin * z + (block[0] - 1) / 2, cos * z - sin * y + (block[1] - 1) / 2


def _flat_row(y: tf.Tensor, z: tf.Tensor, block: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Row numbers int32 [n] of whole-numbered float positions, held to the block, and whether they lay inside, bool [n]."""
    inside = (y >= 0) & (y < block[0]) & (z >= 0) & (z < block[1])
    y = tf.clip_by_value(tf.cast(y, tf.int32), 0, block[0] - 1)
    z = tf.clip_by_value(tf.cast(z, tf.int32), 0, block[1] - 1)
    return tf.reshape(y * block[1] + z, [-1]), tf.reshape(inside, [-1])
