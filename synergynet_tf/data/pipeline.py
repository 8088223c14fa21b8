"""From cached cases to batches: the host reads a block of each case's memory map; what follows is graph code.

A dataset is one epoch. `training_dataset(cases, config, epoch)` gives the same batches, bit for bit, whenever and with however
many threads it runs, so a run resumes by asking for its next epoch. Memory does not grow with the number of cases: a case is
open only while a block of it is read.
"""
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.config.augment import AugmentConfig
from synergynet_tf.data import crops, donors, transforms, warp
from synergynet_tf.data.cache import CachedCase
from synergynet_tf.data.instances import check_room
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.processes import cores, give_back, giving_back
from synergynet_tf.structures import Batch

TRIM = 0.02     # seconds between two times that memory is given back while XLA compiles, which frees as fast as it takes
_compiled: set[tuple] = set()       # what this process has had compiled


def training_dataset(cases: Sequence[CachedCase], config: Config, epoch: int, parallel: int | None = None, replicas: int = 1,
                     replica: int = 0) -> tf.data.Dataset:
    """One epoch of augmented training patches (paper, 3).

    Args:
        cases: the training split, in an order that does not change between runs: `Batch.case` and the draws refer to it.
        config: its patch, augment, lesions, train and data.channels settings.
        epoch: the epoch's number, 0 or more, over the whole run.
        parallel: patches prepared at a time, without effect on the result; none: two, or one where two cores are all.
        replicas: how many share the epoch: their batches in turn are those that one would take with as many times the batch.
        replica: which of them this is, from 0.

    Returns:
        A dataset of structures.Batch with static shapes, B = train.batch x train.accumulate.

    Raises:
        InputError: there is no case, or one has no lesion mask or does not fit data.channels or lesions.max_lesions.
    """
    _check(cases, config)
    visits = crops.plan_training(cases, config, epoch, replicas)
    dealt = _dealt(visits, config.train.patches, replicas, replica)
    return _dataset(cases, dealt, config, config.train.patches, parallel or _at_a_time())


def validation_patches(cases: Sequence[CachedCase], config: Config, workers: int = 1, worker: int = 0) -> tf.data.Dataset:
    """The centre patch of each case, in order, not augmented, as structures.Batch with B = 1. Raises as `training_dataset`.

    Args:
        cases: the validation split.
        config: as for `training_dataset`.
        workers: processes that share the cases.
        worker: which of them this is, from 0.
    """
    _check(cases, config)
    plain = dataclasses.replace(config, patch=dataclasses.replace(config.patch, rotation=0.0), augment=AugmentConfig())
    return _dataset(cases, _dealt(crops.plan_validation(cases, config), 1, workers, worker), plain, 1, _at_a_time())


def _at_a_time() -> int:
    """Two patches where there are cores for it: one takes some 30 MB and 0.1 s, and on two cores a step takes seconds."""
    return max(1, min(2, cores() // 2))


def _dealt(visits: crops.Visits, patches: int, owners: int, owner: int) -> crops.Visits:
    """Those of `owner`, where `owners` take so many `patches` each in turn."""
    taken = np.arange(len(visits.case)) // patches % owners == owner
    return tf.nest.map_structure(lambda values: values[taken], visits)


class Reader:
    """Reads what one visit needs from the memory maps: NumPy on the host.

    Attributes:
        augmented: whether anything is to be done to a patch.
        types, shapes: of the arrays that it returns. Of its own case it reads the patch with its margins, or where the margins
            are longer than any case, all of the case along that axis.
    """

    types = (tf.float16, tf.int16, tf.float32, tf.bool, tf.float16, tf.float16, tf.float32, tf.int32)

    def __init__(self, cases: Sequence[CachedCase], config: Config):
        self._cases, self._slots = cases, config.lesions.max_lesions
        self._margin = np.array(warp.margins(config.patch.size, config.patch.rotation, config.augment))
        self.augmented = bool(config.patch.rotation) or config.augment.active
        block = config.patch.size + 2 * self._margin
        self._block = tuple(map(int, np.minimum(block, np.max([case.shape for case in cases], 0)) if self.augmented else block))
        self._half = (np.array(config.patch.size) - 1) / 2
        self._pool = donors.eligible(cases, config.lesions.min_voxels) if config.augment.paste else []
        self._most = config.augment.paste_range[1] if config.augment.paste else 0
        channels, cube = len(config.data.channels), (donors.SIDE,) * 3
        self.shapes = ((*self._block, channels), self._block, (3,), (self._slots,),
                       (self._most, *cube, channels), (self._most, *cube), (self._most, channels), (self._most,))
        self._unread = True         # no block yet

    def __call__(self, case: int, start: np.ndarray, pasted: np.ndarray) -> tuple[np.ndarray, ...]:
        """What a patch that starts at `start` of case number `case` is made of, with the lesions `pasted` (draws.Draws).

        Returns the block's image and instances, the place of the patch's centre in it (float32 [3]), is_small [L], and Donors.
        """
        if self._unread:
            self._unread = False
            give_back()     # what building the dataset took
        source = self._cases[case]
        lesions = len(source.table.is_small)
        donated = donors.read_donors(self._cases, self._pool, case, pasted[:self._most], lesions + 1, self._slots)
        is_small = np.zeros(self._slots, bool)
        is_small[:lesions] = source.table.is_small
        is_small[donated.label[donated.label > 0] - 1] = True
        first = start
        if self.augmented:      # nothing is asked for beyond the case, where all is 0
            first = np.clip(start - self._margin, 0, np.maximum(np.array(source.shape) - self._block, 0))
        # One map after the other: the pages that were read count as this process's memory while their map is open.
        image, instances = (crops.read_crop(mapped(), first, self._block) for mapped in (source.image, source.instances))
        return image, instances, np.asarray(start + self._half - first, np.float32), is_small, *donated


def _dataset(
    cases: Sequence[CachedCase], visits: crops.Visits, config: Config, batch: int, parallel: int,
) -> tf.data.Dataset:
    reader = Reader(cases, config)
    prepare = transforms.compiled(config.augment, config.patch.size)

    def make(visit: crops.Visits, read: Sequence[tf.Tensor]) -> Batch:
        image, instances, centre, is_small, *donated = read
        if reader.augmented:
            block = warp.Block(image, instances, centre)
            image, instances = prepare(block, visit.angle, visit.draws, donors.Donors(*donated))
        else:
            image, instances = tf.cast(image, tf.float32), tf.cast(instances, tf.int32)
        gt_boxes, gt_valid, gt_ignore = transforms.annotate(instances, is_small, config.lesions.min_voxels)
        made = Batch(image, instances, gt_boxes, gt_valid, gt_ignore, visit.seed, visit.case)
        return Batch(*(value[None] for value in made)) if batch == 1 else made      # not copied into a batch of one

    def sample(visit: crops.Visits) -> Batch:
        # Reading gives the same whenever it runs, hence stateful=False: under op determinism a stateful map would run serially.
        read = tf.numpy_function(reader, [visit.case, visit.start, visit.draws["paste"]], reader.types, stateful=False)
        return make(visit, [tf.ensure_shape(value, shape) for value, shape in zip(read, reader.shapes)])

    settings = (config.augment, config.patch.size, config.lesions.min_voxels, reader.shapes)
    if reader.augmented and settings not in _compiled:
        _compile(make, reader, tf.nest.map_structure(lambda values: values[:1], visits))
        _compiled.add(settings)
    dataset = tf.data.Dataset.from_tensor_slices(visits).map(sample, num_parallel_calls=parallel, deterministic=True)
    if batch > 1:
        dataset = dataset.batch(batch, drop_remainder=True).prefetch(1)
    return dataset.with_options(_options(parallel))     # patches of one are made ahead by the map itself


def _compile(make: Callable[..., Batch], reader: Reader, visit: crops.Visits) -> None:
    """Have XLA compile what makes a patch, before any block is read: the compiler takes more memory than a patch and its block.

    A patch is made of tensors that nothing is written to, which take no memory, and in a dataset: what is compiled for one
    serves the next, what is compiled for a plain call does not.
    """
    def of_nothing(visit: crops.Visits) -> Batch:
        return make(visit, [tf.raw_ops.Empty(shape=shape, dtype=kind) for shape, kind in zip(reader.shapes, reader.types)])

    with giving_back(TRIM):
        for _ in tf.data.Dataset.from_tensor_slices(visit).map(of_nothing).with_options(_options(1)):
            pass


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
