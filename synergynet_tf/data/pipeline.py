"""From cached cases to batches: the host reads a block of each case's memory map; what follows is graph code.

A dataset is one epoch. `training_dataset(cases, config, epoch)` gives the same batches, bit for bit, whenever and with however
many threads it runs, so a run resumes by asking for its next epoch. Memory does not grow with the number of cases: a case is
open only while a block of it is read.
"""
import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from synergynet_tf.augmentation import AugmentConfig
from synergynet_tf.config import Config
from synergynet_tf.data import augment, crops, warp
from synergynet_tf.data.cache import CachedCase
from synergynet_tf.data.instances import check_room
from synergynet_tf.errors import InputError
from synergynet_tf.structures import Batch


def training_dataset(cases: Sequence[CachedCase], config: Config, epoch: int, parallel: int = 2) -> tf.data.Dataset:
    """One epoch of augmented training patches (paper, 3).

    Args:
        cases: the training split, in an order that does not change between runs: `Batch.case` and the draws refer to it.
        config: its patch, augment, lesions, train and data.channels settings.
        epoch: the epoch's number, 0 or more, over the whole run.
        parallel: patches prepared at a time; without effect on the result.

    Returns:
        A dataset of structures.Batch with static shapes, B = train.batch.

    Raises:
        InputError: there is no case, or one has no lesion mask or does not fit data.channels or lesions.max_lesions.
    """
    _check(cases, config)
    visits = crops.plan_training(cases, config, epoch)
    return _dataset(cases, visits, config, config.train.batch, parallel)


def validation_patches(cases: Sequence[CachedCase], config: Config) -> tf.data.Dataset:
    """The centre patch of each case, in order, not augmented, as structures.Batch with B = 1. Raises as `training_dataset`."""
    _check(cases, config)
    plain = dataclasses.replace(config, patch=dataclasses.replace(config.patch, rotation=0.0), augment=AugmentConfig())
    return _dataset(cases, crops.plan_validation(cases, config), plain, 1, 2)


def _dataset(
    cases: Sequence[CachedCase], visits: crops.Visits, config: Config, batch: int, parallel: int,
) -> tf.data.Dataset:
    size, slots, channels = config.patch.size, config.lesions.max_lesions, len(config.data.channels)
    margin = np.array(warp.margins(size, config.patch.rotation, config.augment))
    block = tuple(int(n) for n in size + 2 * margin)
    augmented = config.patch.rotation or config.augment != AugmentConfig()

    def read(case: int, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        source = cases[case]
        is_small = np.zeros(slots, bool)
        is_small[:len(source.table.is_small)] = source.table.is_small
        return (crops.read_crop(source.image(), start - margin, block),
                crops.read_crop(source.instances(), start - margin, block), is_small)

    def sample(visit: crops.Visits) -> Batch:
        # Reading gives the same whenever it runs, hence stateful=False: under op determinism a stateful map would run serially.
        image, instances, is_small = tf.numpy_function(
            read, [visit.case, visit.start], (tf.float16, tf.int16, tf.bool), stateful=False)
        image, instances = tf.ensure_shape(image, (*block, channels)), tf.ensure_shape(instances, block)
        if augmented:
            image, instances = augment.augment_patch(image, instances, visit.angle, visit.draws, config.augment, size)
        else:
            image, instances = tf.cast(image, tf.float32), tf.cast(instances, tf.int32)
        annotation = augment.annotate(instances, tf.ensure_shape(is_small, [slots]), config.lesions.min_voxels)
        return Batch(image, instances, *annotation, visit.seed, visit.case)

    dataset = tf.data.Dataset.from_tensor_slices(visits).map(sample, num_parallel_calls=parallel, deterministic=True)
    return dataset.batch(batch, drop_remainder=True).prefetch(1).with_options(_options(parallel))


def _options(threads: int) -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False        # the buffers hold whole patches: their number is fixed, not searched for
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    return options


def _check(cases: Sequence[CachedCase], config: Config) -> None:
    for case in cases:
        check_room(len(case.table.boxes), config.lesions, case.name)
        if case.channels != config.data.channels:
            raise InputError(f"case {case.name}: cached with the channels {', '.join(case.channels)}, but data.channels is "
                             f"{', '.join(config.data.channels)}; prepare it again")
        if not case.has_lesions:
            raise InputError(f"case {case.name}: has no lesion mask, but training and validation need one; add it (all 0 where "
                             "there is no lesion) or take the case out of the split")
