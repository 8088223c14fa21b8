"""Pasting lesions of other cases into a block, image and labels together: graph code with static shapes.

Of the places drawn for a lesion it takes the one whose tissue is most like that about it in its own scan, among those where it
lies inside the brain and clear of all other lesions; where there is none, it is left out.
"""
import tensorflow as tf

from synergynet_tf.data.donors import SIDE, Donors
from synergynet_tf.data.draws import Draws

CLEARANCE = 2.0     # voxels to other lesions and to the brain's border: a pasted lesion stays a separate lesion


def paste(image: tf.Tensor, instances: tf.Tensor, donors: Donors, draws: Draws, centre: tf.Tensor,
          size: tuple[int, int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Add `donors` to a block, one after another.

    Args:
        image: [X, Y, Z, C], any float type, static shape; 0 outside the brain.
        instances: int [X, Y, Z], its lesion labels, none of which is a donor's.
        donors: of this patch, K rows.
        draws: of this patch: places and the border's width.
        centre: float32 [3], voxel index of the patch's centre in the block.
        size: (X, Y, Z) of the patch; a lesion's centre comes to lie within it.

    Returns:
        image and instances, types and shapes as given.
    """
    block, channels = instances.shape, image.shape[-1]
    low = tf.cast(tf.floor(centre - (tf.constant(size, tf.float32) - 1) / 2), tf.int32) - SIDE // 2
    voxels, labels = tf.reshape(image, [-1, channels]), tf.reshape(instances, [-1])
    for k in range(donors.label.shape[0]):
        corners = low + tf.cast(draws["paste_places"][k] * tf.constant(size, tf.float32), tf.int32)
        donor = Donors(tf.cast(donors.contrast[k], tf.float32), tf.cast(donors.depth[k], tf.float32), donors.level[k],
                       donors.label[k])
        index, fits = _best_place(voxels, labels, donor, draws["paste_border"], corners, block)
        pasted = fits & (donor.label > 0)
        blend = tf.where(pasted, tf.clip_by_value(0.5 + donor.depth / draws["paste_border"], 0.0, 1.0), 0.0)
        added = tf.where(tf.gather(voxels, index) != 0, blend[..., None] * donor.contrast, 0.0)
        written = tf.where(pasted & (donor.depth > 0), donor.label, 0)
        # Voxels beyond the block stand for one of its border here; nothing is added to them.
        where = tf.reshape(index, [-1, 1])
        voxels = tf.tensor_scatter_nd_add(voxels, where, tf.cast(tf.reshape(added, [-1, channels]), voxels.dtype))
        labels = tf.tensor_scatter_nd_max(labels, where, tf.cast(tf.reshape(written, [-1]), labels.dtype))
    return tf.reshape(voxels, image.shape), tf.reshape(labels, block)


def _best_place(voxels: tf.Tensor, labels: tf.Tensor, donor: Donors, border: tf.Tensor, corners: tf.Tensor,
                block: tuple[int, int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Of the cubes from `corners` [J, 3] the best one's voxel numbers int32 [S, S, S], and whether the donor fits there at all.

    `voxels` [N, C] and `labels` [N] are the flattened block.
    """
    index, inside = _voxels_of(corners, block)
    sampled = tf.cast(tf.gather(voxels, index), tf.float32)
    free = inside & (tf.gather(labels, index) == 0) & tf.reduce_any(sampled != 0, -1)
    reached = donor.depth > -tf.maximum(border / 2, CLEARANCE)
    fits = tf.reduce_all(free | ~reached, [1, 2, 3])
    lesion = tf.cast(donor.depth > 0, tf.float32)
    mean = tf.einsum("jxyzc,xyz->jc", sampled, lesion) / tf.maximum(tf.reduce_sum(lesion), 1.0)
    unlike = tf.reduce_sum(tf.abs(mean - donor.level), -1)
    best = tf.argmin(tf.where(fits, unlike, unlike.dtype.max), output_type=tf.int32)
    # The cube is numbered anew: compiling a slice of `index` does not come to an end (XLA in TensorFlow 2.21).
    chosen, _ = _voxels_of(tf.gather(corners, best[None]), block)
    return chosen[0], tf.gather(fits, best)


def _voxels_of(corners: tf.Tensor, block: tuple[int, int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Flat voxel numbers int32 [J, S, S, S] of cubes from `corners` [J, 3], held to the block, and whether they lie inside it."""
    index, inside = tf.zeros([], tf.int32), tf.ones([], tf.bool)
    for axis, n in enumerate(block):
        along = [-1] + [SIDE if i == axis else 1 for i in range(3)]
        place = tf.reshape(corners[:, axis, None] + tf.range(SIDE), along)
        inside &= (place >= 0) & (place < n)
        index = index * n + tf.clip_by_value(place, 0, n - 1)
    return index, inside
