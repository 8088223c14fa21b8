"""What is drawn for the augmentation of an epoch's patches: NumPy on the host, no TensorFlow.

Every transform has a random stream of its own for each (seed, epoch, visit): switching one on, off or to another range leaves
the draws of the others as they are. A patch that is to miss a transform holds the strength that changes nothing.
"""
from typing import NamedTuple

import numpy as np

from synergynet_tf.config import Config
from synergynet_tf.config.augment import MOST_PASTED

PLACES = 16         # tried for each pasted lesion
BIAS_ORDER = 3      # of the bias field's polynomial

# What each stream is for. The numbers are part of every run's result: add new ones at the end.
_PURPOSES = {name: 16 + n for n, name in enumerate((
    "flip", "scale", "elastic", "gamma", "contrast", "brightness", "bias_field", "noise", "blur", "thick_slices",
    "modality_dropout", "paste"))}
_NEUTRAL = {"scale": 1.0, "elastic": 0.0, "gamma": 1.0, "contrast": 1.0, "brightness": 0.0, "bias_field": 0.0, "noise": 0.0,
            "blur": 0.0, "thick_slices": 1.0}


class Draws(NamedTuple):
    """The strengths for V patches; ranges and units as in AugmentConfig. O = BIAS_ORDER + 1, M = MOST_PASTED, J = PLACES."""

    flip: np.ndarray            # bool    [V]
    scale: np.ndarray           # float32 [V], 1 where it is off
    elastic: np.ndarray         # float32 [V], 0 where it is off
    gamma: np.ndarray           # float32 [V], 1 where it is off
    contrast: np.ndarray        # float32 [V], 1 where it is off
    brightness: np.ndarray      # float32 [V], 0 where it is off
    bias_field: np.ndarray      # float32 [V], 0 where it is off
    noise: np.ndarray           # float32 [V], 0 where it is off
    blur: np.ndarray            # float32 [V], 0 where it is off
    thick_slices: np.ndarray    # float32 [V], 1 where it is off
    thick_axis: np.ndarray      # int32   [V], 0, 1 or 2
    bias_terms: np.ndarray      # float32 [V, O, O, O], coefficients of x^i y^j z^k, 0 where i + j + k is 0 or above BIAS_ORDER
    dropped: np.ndarray         # bool    [V, C]
    elastic_seed: np.ndarray    # int32   [V, 2], for the control points
    noise_seed: np.ndarray      # int32   [V, 2], for the voxels
    paste: np.ndarray           # float32 [V, M, 2], 0 to 1: which case and which lesion each is; -1 where it is off
    paste_places: np.ndarray    # float32 [V, M, J, 3], 0 to 1: where in the patch to try it
    paste_border: np.ndarray    # float32 [V], 1 where it is off


def stream(seed: int, purpose: int, epoch: int, index: int) -> np.random.SeedSequence:
    """The random stream of one `purpose` (each number used once in the project) for the `index`-th item of an epoch."""
    return np.random.SeedSequence(seed % 2 ** 64, spawn_key=(purpose, epoch, index))


def neutral(visits: int, channels: int) -> Draws:
    """Draws that change nothing, for `visits` patches of `channels` channels."""
    strengths = {name: np.full(visits, value, np.float32) for name, value in _NEUTRAL.items()}
    side = BIAS_ORDER + 1
    return Draws(flip=np.zeros(visits, bool), thick_axis=np.zeros(visits, np.int32),
                 bias_terms=np.zeros((visits, side, side, side), np.float32), dropped=np.zeros((visits, channels), bool),
                 elastic_seed=np.zeros((visits, 2), np.int32), noise_seed=np.zeros((visits, 2), np.int32),
                 paste=np.full((visits, MOST_PASTED, 2), -1, np.float32),
                 paste_places=np.zeros((visits, MOST_PASTED, PLACES, 3), np.float32), paste_border=np.ones(visits, np.float32),
                 **strengths)


def draw(config: Config, epoch: int, visits: int) -> Draws:
    """Draw the augmentation of `visits` patches of training epoch `epoch`."""
    draws = neutral(visits, len(config.data.channels))
    for name, purpose in _PURPOSES.items():
        probability = getattr(config.augment, name)
        for visit in range(visits if probability else 0):
            key = stream(config.train.seed, purpose, epoch, visit)
            random = np.random.Generator(np.random.Philox(key))
            if name == "modality_dropout":
                draws.dropped[visit] = [random.random() < probability and channel != "flair" for channel in config.data.channels]
            elif random.random() >= probability:
                continue
            elif name == "paste":
                _paste(draws, visit, config, random)
            else:
                _strength(draws, name, visit, config, random)
                _extras(draws, name, visit, key, random)
    return draws


def _strength(draws: Draws, name: str, visit: int, config: Config, random: np.random.Generator) -> None:
    value = True if name == "flip" else random.uniform(*getattr(config.augment, f"{name}_range"))
    getattr(draws, name)[visit] = value


def _extras(draws: Draws, name: str, visit: int, key: np.random.SeedSequence, random: np.random.Generator) -> None:
    """What a transform needs beside its strength."""
    if name in ("elastic", "noise"):
        getattr(draws, f"{name}_seed")[visit] = key.generate_state(2).view(np.int32)
    elif name == "thick_slices":
        draws.thick_axis[visit] = random.integers(3)
    elif name == "bias_field":
        order = np.indices(draws.bias_terms.shape[1:]).sum(0)
        terms = random.uniform(-1, 1, order.shape)
        draws.bias_terms[visit] = np.where((order > 0) & (order <= BIAS_ORDER), terms, 0)


def _paste(draws: Draws, visit: int, config: Config, random: np.random.Generator) -> None:
    draws.paste_border[visit] = random.uniform(*config.augment.paste_border)
    draws.paste_places[visit] = random.random(draws.paste_places.shape[1:], np.float32)
    count = random.integers(*config.augment.paste_range, endpoint=True)
    draws.paste[visit, :count] = random.random((count, 2), np.float32)
