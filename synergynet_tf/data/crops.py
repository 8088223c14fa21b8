"""Where the patches of an epoch lie, and how one is read: NumPy on the host, no TensorFlow.

Everything random of an epoch is drawn here, before it starts, into a small table (`Visits`). Each row is keyed on
(seed, epoch, visit) alone, so neither the number of threads nor an interruption changes what a visit holds.
"""
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from synergynet_tf.config import Config, PatchConfig
from synergynet_tf.data.cache import CachedCase
from synergynet_tf.data.draws import Draws, draw, neutral, stream
from synergynet_tf.errors import InputError
from synergynet_tf.structures import Array

LESION_JITTER = 0.25    # share of the patch by which a lesion may lie off its centre, per axis: it stays in the inner half

_ORDER, _TRAINING, _VALIDATION, _SHARES = range(4)      # what a random stream is for; those of data/draws begin at 16


class Visits(NamedTuple):
    """The patches of an epoch in order, V of them."""

    case: Array             # int32   [V], position among the cases
    start: Array            # int32   [V, 3], the patch's first voxel in the case; negative where it reaches outside
    angle: Array            # float32 [V], rotation about X, radians
    seed: Array             # int32   [V, 2], for the model's own sampling
    draws: Draws            # the augmentation beyond the rotation


def steps_of_epoch(cases: int, config: Config, replicas: int = 1) -> int:
    """Steps of a training epoch: `train.steps_per_epoch`, or as many visits as there are cases, or a few more."""
    return config.train.steps_per_epoch or math.ceil(cases / (config.train.patches * replicas))


def plan_training(cases: Sequence[CachedCase], config: Config, epoch: int, replicas: int = 1) -> Visits:
    """Draw the visits of training epoch `epoch` (paper, 3): V = steps x replicas x `train.patches`.

    A step takes the next `train.patches` of them for its first replica, then as many for its second and so on. A share
    `patch.lesion_fraction` of the patches is centred on a lesion, if the case has any; the others on the brain. Raises
    InputError without cases.
    """
    _require_cases(cases, "training")
    visits = steps_of_epoch(len(cases), config, replicas) * replicas * config.train.patches
    order = visit_order([case.case.weight for case in cases], visits, config.train.seed, epoch)
    limit = math.radians(config.patch.rotation)
    starts, angles, seeds = [], [], []
    for visit, position in enumerate(order):
        key = stream(config.train.seed, _TRAINING, epoch, visit)
        seeds.append(key.generate_state(2))
        random = np.random.Generator(np.random.Philox(key))
        # Drawn in any case, so that one setting does not change what the others draw.
        about_lesion, angle = random.random() < config.patch.lesion_fraction, random.uniform(-limit, limit)
        starts.append(_place(cases[position], config.patch, about_lesion, random))
        angles.append(angle)
    return Visits(order, np.array(starts, np.int32), np.array(angles, np.float32), np.array(seeds, np.uint32).view(np.int32),
                  draw(config, epoch, len(order)))


def plan_validation(cases: Sequence[CachedCase], config: Config) -> Visits:
    """The centre patch of every case once, in order, without rotation.

    Raises:
        InputError: there are no cases.
    """
    _require_cases(cases, "validation")
    starts = np.array([centre_start(case.shape, config.patch.size) for case in cases], np.int32)
    seeds = [stream(config.train.seed, _VALIDATION, 0, visit).generate_state(2) for visit in range(len(cases))]
    return Visits(np.arange(len(cases), dtype=np.int32), starts, np.zeros(len(cases), np.float32),
                  np.array(seeds, np.uint32).view(np.int32), neutral(len(cases), len(config.data.channels)))


def visit_order(weights: Sequence[float], visits: int, seed: int, epoch: int) -> np.ndarray:
    """Positions of the cases in visiting order, int32 [visits]: one permutation after another, each of its own key.

    A permutation holds the cases of the largest weight once, and the others in as many of them as their weight says, as evenly
    as can be: a case of a third of it in every third one, beginning with one that the epoch draws.
    """
    share = np.asarray(weights, np.float64) / np.max(weights)
    first = np.random.Generator(np.random.Philox(stream(seed, _SHARES, epoch, 0))).random(len(share))
    rounds: list[np.ndarray] = []
    while sum(map(len, rounds)) < visits:
        k = len(rounds)
        taken = np.flatnonzero(np.floor((k + 1) * share + first) > np.floor(k * share + first))
        rounds.append(np.random.Generator(np.random.Philox(stream(seed, _ORDER, epoch, k))).permutation(taken))
    return np.concatenate(rounds)[:visits].astype(np.int32)


def centre_start(shape: ArrayLike, size: ArrayLike) -> np.ndarray:
    """First voxel, int [3], of a patch of `size` about the centre of a volume of `shape`; negative where the patch is longer."""
    return (np.asarray(shape) - np.asarray(size)) // 2


def read_crop(volume: np.ndarray, start: ArrayLike, size: ArrayLike) -> np.ndarray:
    """Copy the block of `size` (3) from voxel `start` (3, may be negative) of `volume` [X, Y, Z, ...]; outside is 0.

    Of a memory map only the pages that the block touches are read.
    """
    first, extent = np.asarray(start), np.asarray(size)
    low, high = np.maximum(first, 0), np.minimum(first + extent, volume.shape[:3])
    crop = np.zeros((*extent, *volume.shape[3:]), volume.dtype)
    if (low < high).all():
        target = tuple(slice(a, b) for a, b in zip(low - first, high - first))
        crop[target] = volume[tuple(slice(a, b) for a, b in zip(low, high))]
    return crop


def _place(case: CachedCase, patch: PatchConfig, about_lesion: bool, random: np.random.Generator) -> np.ndarray:
    """First voxel of a training patch, int [3].

    Without `patch.jitter` every placement is as likely in which, axis by axis, the shorter of patch and volume lies within the
    longer. A patch about a lesion is held to the same placements, so that it spends no voxels outside the volume.
    """
    size, slack = np.asarray(patch.size), np.asarray(case.shape) - np.asarray(patch.size)
    low, high = np.minimum(slack, 0), np.maximum(slack, 0)
    boxes = case.table.boxes
    if about_lesion and len(boxes):
        box = boxes[random.integers(len(boxes))]
        reach = (size * LESION_JITTER).astype(int)
        start = (box[:3] + box[3:] - size) // 2 + random.integers(-reach, reach, endpoint=True)
        return np.clip(start, low, high)
    if patch.jitter is None:
        return random.integers(low, high, endpoint=True)
    jitter = np.asarray(patch.jitter)
    return centre_start(case.shape, size) + random.integers(-jitter, jitter, endpoint=True)


def _require_cases(cases: Sequence[CachedCase], split: str) -> None:
    if not len(cases):
        raise InputError(f"the {split} split has 0 cases, but needs at least 1: add scans or change data.split")
