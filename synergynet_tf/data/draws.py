"""What is drawn for the augmentation of an epoch's patches: NumPy on the host, no TensorFlow.

Every transform has a random stream of its own for each (seed, epoch, visit): switching one on, off or to another range leaves
the draws of the others as they are. A patch that is to miss a transform holds the strength that changes nothing.
"""
import numpy as np

from synergynet_tf.config import Config
from synergynet_tf.config.augment import MOST_PASTED, TRANSFORMS, strengths
from synergynet_tf.structures import Array

PLACES = 16         # tried for each pasted lesion
BIAS_ORDER = 3      # of the bias field's polynomial

FIRST_STREAM = 16   # number of the first transform's random stream; those below are of data/crops

# What is drawn for V patches, an array [V, ...] by name. Ranges and units as in AugmentConfig; O = BIAS_ORDER + 1,
# M = MOST_PASTED, J = PLACES. Of a transform that is off, the value that changes nothing.
#
# flip                bool    [V]
# scale, gamma, ...   float32 [V], for each transform that has a strength
# scale_seed, ...     int32   [V, 2], likewise, for those that draw voxels or control points
# thick_axis          int32   [V], 0, 1 or 2
# bias_terms          float32 [V, O, O, O], coefficients of x^i y^j z^k, 0 where i + j + k is 0 or above BIAS_ORDER
# dropped             bool    [V, C]
# paste               float32 [V, M, 2], 0 to 1: which case and which lesion each is; -1 where it is off
# paste_places        float32 [V, M, J, 3], 0 to 1: where in the patch to try it
# paste_border        float32 [V], 1 where it is off
Draws = dict[str, Array]


def stream(seed: int, purpose: int, epoch: int, index: int) -> np.random.SeedSequence:
    """The random stream of one `purpose` (each number used once in the project) for the `index`-th item of an epoch."""
    return np.random.SeedSequence(seed % 2 ** 64, spawn_key=(purpose, epoch, index))


def neutral(visits: int, channels: int) -> Draws:
    """Draws that change nothing, for `visits` patches of `channels` channels."""
    side = BIAS_ORDER + 1
    made = {"flip": np.zeros(visits, bool), "thick_axis": np.zeros(visits, np.int32),
            "bias_terms": np.zeros((visits, side, side, side), np.float32), "dropped": np.zeros((visits, channels), bool),
            "paste": np.full((visits, MOST_PASTED, 2), -1, np.float32),
            "paste_places": np.zeros((visits, MOST_PASTED, PLACES, 3), np.float32), "paste_border": np.ones(visits, np.float32)}
    for name, strength in strengths().items():
        made[name] = np.full(visits, strength.neutral, np.float32)
        made[f"{name}_seed"] = np.zeros((visits, 2), np.int32)
    return made


def draw(config: Config, epoch: int, visits: int) -> Draws:
    """Draw the augmentation of `visits` patches of training epoch `epoch`."""
    draws = neutral(visits, len(config.data.channels))
    for purpose, name in enumerate(TRANSFORMS, FIRST_STREAM):
        probability = getattr(config.augment, name)
        for visit in range(visits if probability else 0):
            key = stream(config.train.seed, purpose, epoch, visit)
            random = np.random.Generator(np.random.Philox(key))
            if name == "modality_dropout":
                channels = config.data.channels
                draws["dropped"][visit] = [random.random() < probability and channel != "flair" for channel in channels]
            elif random.random() >= probability:
                continue
            elif name == "paste":
                _paste(draws, visit, config, random)
            else:
                draws[name][visit] = True if name == "flip" else random.uniform(*getattr(config.augment, f"{name}_range"))
                if f"{name}_seed" in draws:
                    draws[f"{name}_seed"][visit] = key.generate_state(2).view(np.int32)
                _extras(draws, name, visit, random)
    return draws


def _extras(draws: Draws, name: str, visit: int, random: np.random.Generator) -> None:
    """What a transform needs beside its strength and seed."""
    if name == "thick_slices":
        draws["thick_axis"][visit] = random.integers(3)
    elif name == "bias_field":
        order = np.indices(draws["bias_terms"].shape[1:]).sum(0)
        terms = random.uniform(-1, 1, order.shape)
        draws["bias_terms"][visit] = np.where((order > 0) & (order <= BIAS_ORDER), terms, 0)


def _paste(draws: Draws, visit: int, config: Config, random: np.random.Generator) -> None:
    draws["paste_border"][visit] = random.uniform(*config.augment.paste_border)
    draws["paste_places"][visit] = random.random(draws["paste_places"].shape[1:], np.float32)
    count = random.integers(*config.augment.paste_range, endpoint=True)
    draws["paste"][visit, :count] = random.random((count, 2), np.float32)
