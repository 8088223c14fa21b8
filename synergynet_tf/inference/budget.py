"""How much memory a segmentation takes, and the coverage that fits into what there is.

The estimate is of the whole process at its highest. Its terms were measured on a CPU (docs/performance.md), and all are counted
as if they came together, which leaves a margin: TensorFlow itself, arrays of the scan's size, the local branch on its patches,
what the windows leave for merging, and the U-Net's maps on one window.
"""
import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from synergynet_tf.config import Config, InferConfig
from synergynet_tf.errors import InputError
from synergynet_tf.inference import coverage
from synergynet_tf.inference.coverage import STRIDE, Windows
from synergynet_tf.models.synergynet import CHUNK
from synergynet_tf.runtime.memory import GB

SMALLEST = 64               # voxels a side: in smaller windows the network sees too little about a lesion
PROCESS = 0.9 * GB          # Python, TensorFlow, the traced graph
SCAN = 150                  # bytes for a voxel of the scan: logits, weights, probability, masks, files; channels on top
PATCHES = 8                 # maps of the CHUNK patches that are segmented at a time
MAPS = 5                    # maps of full resolution, each of widths[0] channels
FLOAT = 4

Triple = tuple[int, int, int]


class Coverage(NamedTuple):
    """How a volume is covered, decided once a case."""

    infer: InferConfig      # the settings, with the coverage that is used
    windows: Windows


def peak(config: Config, shape: tuple[int, ...], windows: Windows) -> float:
    """Bytes that a process takes at most to segment a volume [X, Y, Z] in these windows."""
    detector, mask = config.detector, config.mask
    cells, count = mask.size ** 3, len(windows.starts)
    rpn = (len(detector.anchor_sizes) + detector.rpn_width) / detector.stride ** 3     # floats for a voxel
    scan = math.prod(shape) * (SCAN + 2 * FLOAT * len(config.data.channels))
    window = math.prod(_size(windows)) * (MAPS * config.unet.widths[0] + rpn)
    merged = 2 * count * detector.max_detections * cells if count > 1 else 0
    return PROCESS + scan + FLOAT * (PATCHES * CHUNK * cells * mask.width + merged + window)


def sizes(shape: tuple[int, ...]) -> Iterator[Triple]:
    """Window sizes for a volume [X, Y, Z], from the whole of it down to SMALLEST a side, the longest side shortened each time."""
    size = tuple(coverage.whole_size(shape).numpy().tolist())
    yield size
    while max(size) > SMALLEST:
        longest = int(np.argmax(size))
        size = tuple(n - STRIDE if axis == longest else n for axis, n in enumerate(size))
        yield size


def as_asked(config: Config, shape: tuple[int, ...]) -> Coverage:
    """How the run's `infer` settings cover a volume [X, Y, Z], whatever memory that takes."""
    return Coverage(config.infer, coverage.place(shape, config.infer))


def fitting(config: Config, shape: tuple[int, ...], memory: float) -> Coverage:
    """The run's `infer` settings with the coverage that fits: the whole volume at once, else the largest windows.

    Args:
        config: of the run.
        shape: X, Y, Z of the volume.
        memory: of the process, bytes.

    Raises:
        InputError: no windows take so little; the message says what the most frugal ones take.
    """
    whole = dataclasses.replace(config, infer=dataclasses.replace(config.infer, coverage="whole"))
    return _first_fitting(whole, shape, memory, "--memory-budget is {memory:g} GB, but {volume} takes {least} at least, in "
                          "windows; give it that or more")


def fitting_free(config: Config, shape: tuple[int, ...], memory: float) -> Coverage:
    """As `fitting`, but the run's `infer` settings as they are where they fit; for a centre crop there are no smaller windows."""
    return _first_fitting(config, shape, max(memory, 0), "{volume} takes {least} at least, but there are {memory:.1f} GB for it; "
                          "end other programs, or use a machine with more memory")


def _first_fitting(config: Config, shape: tuple[int, ...], memory: float, too_little: str) -> Coverage:
    """The first coverage that fits, from the one that is asked for on; else InputError, in the words of `too_little`."""
    least = math.inf
    for chosen in _coverages(config, shape):
        needed = peak(config, shape, chosen.windows)
        if needed <= memory:
            return chosen
        least = min(least, needed)
    volume = f"a volume of {'x'.join(map(str, shape))} voxels"
    raise InputError(too_little.format(volume=volume, least=_rounded_up(least), memory=memory / GB))


def _coverages(config: Config, shape: tuple[int, ...]) -> Iterator[Coverage]:
    """The coverage of the settings, then ever smaller windows."""
    infer, asked = config.infer, as_asked(config, shape)
    yield asked
    if infer.coverage == "centre":
        return
    largest = math.prod(_size(asked.windows))
    for size in sizes(shape):
        if math.prod(size) < largest:
            smaller = dataclasses.replace(infer, coverage="windows", window=size)
            yield Coverage(smaller, coverage.place(shape, smaller))


def described(config: Config, shape: tuple[int, ...], windows: Windows) -> str:
    """How a volume is covered and what it takes, in words."""
    count = len(windows.starts)
    how = "in one pass" if count == 1 else f"in {count} windows of {'x'.join(map(str, _size(windows)))} voxels"
    return f"{how}, {_rounded_up(peak(config, shape, windows))} at most"


def _size(windows: Windows) -> list[int]:
    return windows.size.numpy().tolist()


def _rounded_up(memory: float) -> str:
    return f"{math.ceil(memory / GB * 10) / 10:.1f} GB"
