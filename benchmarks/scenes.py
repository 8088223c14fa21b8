"""Inputs of a known kind: patches with a given number of lesions, boxes as the detector meets them."""
import itertools

import numpy as np

CELL = 16               # voxels a side: a lesion to a cell at most, so that none touch
RADII = (2.0, 3.5)      # voxels; their boxes, margin included, are as long as the anchors
SIDES = (7.0, 15.0)     # voxels, of the anchors


def lesions(size: tuple[int, int, int], count: int, seed: int = 0) -> np.ndarray:
    """Labels 1..`count` of balls strewn over a patch, 0 elsewhere: int32 [X, Y, Z]; as many as have room, if fewer have."""
    random, labels = np.random.default_rng(seed), np.zeros(size, np.int32)
    cells = list(itertools.product(*(range(n // CELL) for n in size)))
    cube = np.stack(np.meshgrid(*[np.arange(CELL)] * 3, indexing="ij"), -1)
    for label, cell in enumerate(random.permutation(cells)[:count], start=1):
        centre, radius = random.uniform(4, CELL - 5, 3), random.uniform(*RADII)
        ball = np.linalg.norm(cube - centre, axis=-1) <= radius
        labels[tuple(slice(CELL * n, CELL * (n + 1)) for n in cell)][ball] = label
    return labels


def boxes(size: tuple[int, int, int], count: int, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    """Boxes float32 [count, 6] with the sides of anchors times `scale`, all of them inside a volume."""
    random = np.random.default_rng(seed)
    side = scale * random.uniform(*SIDES, (count, 3))
    begin = random.uniform(size=(count, 3)) * (np.array(size) - side - 4) + 2
    return np.concatenate([begin, begin + side], 1).astype(np.float32)


def image(size: tuple[int, int, int], channels: int, batch: int = 1, seed: int = 0) -> np.ndarray:
    """Noise, float32 [batch, X, Y, Z, channels]."""
    return np.random.default_rng(seed).standard_normal((batch, *size, channels), np.float32)
