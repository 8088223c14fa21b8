"""Small prepared cases of known voxels, a configuration for them, and the batches of a dataset."""
import time
from dataclasses import dataclass, field, fields

import numpy as np

from synergynet_tf.config import Config, LesionConfig
from synergynet_tf.data.cache import CachedCase
from synergynet_tf.data.instances import lesion_table
from synergynet_tf.data.layouts import Case

SIZE = (16, 24, 16)
SLOTS = 12


def store(folder, name, image, instances, small_box_voxels):
    """A cached case from arrays, as `build_cache` leaves one."""
    (folder / name).mkdir()
    np.save(folder / name / "image.npy", image.astype(np.float16))
    np.save(folder / name / "instances.npy", instances.astype(np.int16))
    places = [np.argwhere(instances == label) for label in range(1, instances.max() + 1)]
    table = lesion_table([[*p.min(0), *(p.max(0) + 1)] for p in places], [len(p) for p in places],
                         LesionConfig(small_box_voxels=small_box_voxels))
    channels = ("flair", "t2")[:image.shape[-1]]
    case = Case(name, name, "", dict.fromkeys(channels, folder), folder, None)
    return CachedCase(name, name, folder / name, instances.shape, channels, (1.0, 1.0, 1.0), instances.size, True, table, case)


@dataclass(frozen=True, eq=False)
class WatchedCase(CachedCase):
    """A case whose image takes `seconds` to read and which logs +1 when that begins and -1 when it ends."""

    seconds: float = 0.0
    log: list[int] = field(default_factory=list)

    def image(self):
        self.log.append(1)
        time.sleep(self.seconds)
        self.log.append(-1)
        return super().image()


def watched(case, seconds, log):
    return WatchedCase(**{f.name: getattr(case, f.name) for f in fields(case)}, seconds=seconds, log=log)


def make_case(folder, name, shape, lesions, channels=2, small_box_voxels=100):
    """Noise below 1 with `lesions` boxes in it, 20 times as bright: boxes of 1 to 9 voxels a side."""
    rng = np.random.default_rng(sum(map(ord, name)))
    image, instances = rng.uniform(0.1, 1, (*shape, channels)), np.zeros(shape, np.int16)
    for label in range(1, lesions + 1):
        while True:
            low, side = rng.integers(0, np.array(shape) - 9), rng.integers(1, 10, 3)
            box = tuple(slice(a, a + n) for a, n in zip(low, side))
            if not instances[box].any():
                break
        instances[box], image[box] = label, 20
    return store(folder, name, image, instances, small_box_voxels)


def config(**groups):
    values = {"data": {"channels": ("flair", "t2")}, "lesions": {"max_lesions": SLOTS}, "patch": {"size": SIZE},
              "train": {"batch": 2, "seed": 7}}
    for name, given in groups.items():
        values[name] = {**values.get(name, {}), **given}
    return Config.from_dict(values)


def batches(dataset):
    return list(dataset.as_numpy_iterator())
