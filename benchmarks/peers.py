"""MONAI's and torchio's side of benchmarks/pipeline.py, in an environment that has them (extra `[bench]`).

They are given what suits them: volumes prepared beforehand as float32, channels first, memory-mapped; the crop first, so that
nothing outside it is touched; one resampling for turn, scale and crop; metadata not tracked. All transforms are always on, with
the ranges of ours.
"""
import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import worker

ANGLE, SCALE, SHIFT, SPACING, NOISE = 15.0, 0.15, 6.0, 24.0, 0.1      # degrees, -, voxels, voxels, z-score
GAMMA = (0.7, 1.5)


def main() -> None:
    """Entry point: serve the samples of one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=sorted(SIDES))
    parser.add_argument("folder", type=Path, help="of NAME.image.npy and NAME.label.npy")
    parser.add_argument("size", type=int, nargs=3)
    parser.add_argument("--core", type=int, required=True)
    own = parser.parse_args()
    worker.pin(own.core)
    import torch
    from torch.utils.data import DataLoader, Dataset

    torch.set_num_threads(1)
    torch.manual_seed(0)
    transform = SIDES[own.side](tuple(own.size))

    class Cases(Dataset):
        names = sorted(str(path)[:-len(".image.npy")] for path in own.folder.glob("*.image.npy"))

        def __len__(self) -> int:
            return len(self.names)

        def __getitem__(self, index: int) -> dict:
            return transform(*(np.load(f"{self.names[index]}.{kind}.npy", mmap_mode="c") for kind in ("image", "label")))

    def endless():
        while True:
            yield from DataLoader(Cases(), batch_size=1, shuffle=True)

    samples = endless()
    worker.serve({"sample": lambda: next(samples)})


def monai_elastic(size: tuple[int, int, int]) -> Callable[..., dict]:
    """Turn, scale, deformation and crop by the one transform that has them all."""
    from monai import transforms as mt

    return _monai(size, _margin(size), [mt.Rand3DElasticd(
        ("image", "label"), prob=1, spatial_size=size, sigma_range=(5, 8), magnitude_range=(20, 40), padding_mode="zeros",
        rotate_range=(math.radians(ANGLE), 0, 0), scale_range=(SCALE,) * 3, mode=("bilinear", "nearest"))])


def monai_smooth(size: tuple[int, int, int]) -> Callable[..., dict]:
    """The same by two resamplings, the second with a coarse field interpolated linearly: rougher, but several times faster."""
    from monai import transforms as mt

    keys, modes = ("image", "label"), ("bilinear", "nearest")
    return _monai(size, size, [
        mt.RandAffined(keys, prob=1, spatial_size=size, rotate_range=(math.radians(ANGLE), 0, 0), scale_range=(SCALE,) * 3,
                       mode=modes, padding_mode="zeros"),
        mt.RandSmoothDeformd(keys, prob=1, spatial_size=size, rand_size=[math.ceil(n / SPACING) + 1 for n in size],
                             def_range=2 * SHIFT / max(size), field_mode="trilinear", grid_mode=modes,
                             grid_padding_mode="zeros")])


def torchio(size: tuple[int, int, int]) -> Callable[..., dict]:
    """SimpleITK's transforms on the finished crop."""
    import torch
    import torchio as tio

    points = tuple(max(math.ceil(n / SPACING) + 3, 4) for n in size)
    augment = tio.Compose([
        tio.RandomAffine(scales=SCALE, degrees=(ANGLE, 0, 0), isotropic=True), tio.RandomElasticDeformation(points, SHIFT),
        tio.RandomFlip(0, 0.5), tio.RandomGamma(tuple(map(math.log, GAMMA))), tio.RandomNoise(0, (0, NOISE))])
    random = np.random.default_rng(0)

    def make(image: np.ndarray, label: np.ndarray) -> dict:
        start = [random.integers(max(n - m, 0) + 1) for n, m in zip(image.shape[1:], size)]
        part = (slice(None), *(slice(a, a + m) for a, m in zip(start, size)))
        subject = tio.Subject(image=tio.ScalarImage(tensor=torch.from_numpy(image[part].copy())),
                              label=tio.LabelMap(tensor=torch.from_numpy(label[part].copy())))
        made = augment(tio.CropOrPad(size)(subject))
        return {name: made[name].data for name in ("image", "label")}

    return make


def _monai(size: tuple[int, int, int], block: tuple[int, int, int], spatial: list) -> Callable[..., dict]:
    from monai import transforms as mt
    from monai.data import set_track_meta
    from monai.utils import set_determinism

    set_determinism(0)
    set_track_meta(False)
    keys = ("image", "label")
    augment = mt.Compose([
        mt.RandSpatialCropd(keys, block, random_size=False), *spatial, mt.RandFlipd(keys, prob=0.5, spatial_axis=0),
        mt.RandAdjustContrastd("image", prob=1, gamma=GAMMA), mt.RandGaussianNoised("image", prob=1, std=NOISE)])
    return lambda image, label: augment({"image": image, "label": label})


def _margin(size: tuple[int, int, int]) -> tuple[int, int, int]:
    """The block that the strongest turn and scale reach."""
    sin, cos = math.sin(math.radians(ANGLE)), math.cos(math.radians(ANGLE))
    x, y, z = size
    return tuple(math.ceil(n / (1 - SCALE) + 2 * SHIFT) for n in (x, cos * y + sin * z, cos * z + sin * y))


SIDES = {"monai-elastic": monai_elastic, "monai-smooth": monai_smooth, "torchio": torchio}

if __name__ == "__main__":
    sys.exit(main())
