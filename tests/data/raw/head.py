"""A head whose place is known: the MNI152 brain in a dark skull and a brighter scalp, seen through thick, tilted slices."""
import functools
import pathlib

import nibabel as nib
import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom import atlas
from synergynet_tf.data.raw.grid import MNI, Grid, resample

HALF = Grid((91, 109, 91), MNI.affine @ np.diag([2.0, 2, 2, 1]))


def turn(tilt: float, nod: float, shift: tuple[float, float, float], scale: float = 1.0) -> np.ndarray:
    """A rotation about z and x in degrees, a scale and a shift in mm: float64 [4, 4]."""
    a, b = np.deg2rad((tilt, nod))
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = scale * about_z @ about_x, shift
    return matrix


FROM_MNI = turn(6, -8, (7.0, -12.0, 20.0), 0.92)        # from MNI mm to the head's


@functools.lru_cache(maxsize=1)
def anatomy() -> dict[str, np.ndarray]:
    """Float32 on HALF: the brain, and a FLAIR and a T1 of the head."""
    grey, white, brain = (np.asarray(part)[::2, ::2, ::2] / 255 for part in atlas.template_atlas()[:3])
    away = ndimage.distance_transform_edt(brain < 0.5, sampling=2.0)
    skull, scalp = (away > 0) & (away <= 6), (away > 6) & (away <= 14)
    scans = {}
    for channel, (of_grey, of_white, of_skull, of_scalp) in {"flair": (180, 140, 20, 110), "t1": (90, 140, 20, 600)}.items():
        scans[channel] = np.where(brain > 0.5, 40 + (of_grey - 40) * grey + (of_white - 40) * white, 0) \
            + of_skull * skull + of_scalp * scalp
    return {"brain": brain, **scans}


def slices(axes: str = "PSR", sides: tuple[float, ...] = (2.0, 4.0, 2.0), counts: tuple[int, ...] = (110, 46, 90)) -> Grid:
    """The grid of a scan around the head's middle; `axes` says where its axes run, `sides` in mm."""
    affine = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axes), (1, 1, 1)) @ np.diag([*sides, 1.0])
    middle = (FROM_MNI @ [0, -18, 5, 1])[:3]
    affine[:3, 3] = middle - affine[:3, :3] @ (np.array(counts) - 1) / 2
    return Grid(counts, affine)


def view(part: str, grid: Grid, from_mni: np.ndarray = FROM_MNI, seed: int | None = 0) -> np.ndarray:
    """A part of the anatomy on a grid, with noise unless `seed` is None: float32 [X, Y, Z]."""
    seen = resample(anatomy()[part], HALF, grid, np.linalg.inv(from_mni))
    return seen if seed is None else np.abs(seen + np.random.default_rng(seed).normal(0, 3, grid.shape)).astype(np.float32)


def save(path: pathlib.Path, array: np.ndarray, grid: Grid) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, grid.affine), path)
    return path


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))
