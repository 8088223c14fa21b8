"""Scans that nobody was in, for warm-up records and for `verify`."""
import gzip
import pathlib
from collections.abc import Sequence

import nibabel as nib
import numpy as np

SAMPLE_SHAPE = (56, 64, 48)     # voxels
BRAIN_SHAPE = (144, 176, 136)       # the box of the MNI152 template's brain, to multiples of 8


def sample_scan(folder: pathlib.Path, channels: Sequence[str]) -> dict[str, pathlib.Path]:
    """Write a scan that nobody was in, an ellipsoid with bright spots, as NAME.nii.gz for each channel."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in SAMPLE_SHAPE), indexing="ij")
    brain = np.sum(np.square(axes), axis=0) < 1
    spots = np.zeros(brain.shape, bool)
    for _ in range(6):
        start, size = rng.integers(14, 38, 3), rng.integers(3, 8, 3)
        spots[tuple(slice(a, a + n) for a, n in zip(start, size))] = True
    paths = {}
    for channel in channels:
        values = np.where(brain, 100 + rng.normal(0, 8, brain.shape) + 70 * spots, 0)
        paths[channel] = folder / f"{channel}.nii.gz"
        nib.save(nib.Nifti1Image(values.astype(np.int16), np.diag([-1.0, 1.0, 1.0, 1.0])), paths[channel])
    return paths


def brain_sized(channels: Sequence[str]) -> dict[str, np.ndarray]:
    """The inputs of `segment_nifti` for a scan as large as a brain's box, an ellipsoid of smooth greys: files as uint8 arrays."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in BRAIN_SHAPE), indexing="ij", sparse=True)
    greys = np.where(x ** 2 + y ** 2 + z ** 2 < 1, 100 + 10 * np.sin(9 * x) * np.cos(7 * y), 0).astype(np.uint8)
    content = gzip.compress(nib.Nifti1Image(greys, np.diag([-1.0, 1.0, 1.0, 1.0])).to_bytes(), mtime=0)
    return {f"segment_nifti/inputs/{channel}_bytes": np.frombuffer(content, np.uint8) for channel in channels}
