"""Augmentation of one patch, and the annotation that is recomputed after it: graph code with static shapes.

The paper (3) turns each crop by a random angle within 15 degrees "along the sagittal coordinate axis": each Y-Z plane about X. A
patch is turned out of a block that is larger by `warp.margins`, so that its corners hold tissue instead of zeros. What else may
be switched on (config.AugmentConfig) lies in data/pasting, data/warp and data/intensity.
"""
import functools
from collections.abc import Callable

import tensorflow as tf

from synergynet_tf.config.augment import AugmentConfig
from synergynet_tf.data import intensity, pasting, warp
from synergynet_tf.data.donors import Donors
from synergynet_tf.data.draws import Draws
from synergynet_tf.ops import boxes


@functools.cache
def compiled(config: AugmentConfig, size: tuple[int, int, int]) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """`augment_patch` with these settings compiled by XLA, several times faster on a processor than op by op.

    It takes what that takes up to `donors`. There is one function for the same settings, so that all epochs share its
    compilation. `annotate` is better left outside: inside, the labels are looked up anew for each of its passes.
    """
    @tf.function(jit_compile=True, autograph=False)
    def prepare(block: warp.Block, angle: tf.Tensor, draws: Draws, donors: Donors) -> tuple[tf.Tensor, tf.Tensor]:
        return augment_patch(block, angle, draws, donors, config, size)

    return prepare


def augment_patch(block: warp.Block, angle: tf.Tensor, draws: Draws, donors: Donors, config: AugmentConfig,
                  size: warp.Size) -> tuple[tf.Tensor, tf.Tensor]:
    """Make a patch of `size` from a block: lesions pasted, resampled once, then changed in its intensities.

    Args:
        block: the voxels, labels and place that the patch is cut from.
        angle: scalar float32, radians about X; positive turns +Y towards +Z.
        draws: of this one patch.
        donors: of this one patch; no rows where nothing is pasted.
        config: which transforms there are at all.
        size: (X, Y, Z) of the patch.

    Returns:
        image float32 [*size, C] and instances int32 [*size].
    """
    if config.paste:
        block = warp.Block(*pasting.paste(block.image, block.instances, donors, draws, block.centre, size), block.centre)
    control = None
    if config.elastic:
        control = warp.control_points(draws["elastic_seed"], draws["elastic"], draws["flip"], size, config.elastic_spacing)
    pose = warp.Pose(angle, draws["scale"], draws["flip"])
    image, labels = warp.warp(block, pose, control, config.elastic_spacing, size)
    if config.fade:
        image = intensity.fade(image, image != 0, labels > 0, draws["fade"])
    return intensity.alter(image, draws, config), labels


@functools.partial(tf.function, jit_compile=True, autograph=False)
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
