"""Small scans, and what `predict` leaves of them, for the tests of reports."""
import pathlib

import nibabel as nib
import numpy as np

from synergynet_tf.data.layouts import Case
from synergynet_tf.inference.lesions import Evidence, lesion_table
from synergynet_tf.storage.sealed import sealed
from synergynet_tf.workflows.pairs import Pair

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1, 0, -10], [0, 0, 2, -5], [0, 0, 0, 1]])      # stored from right to left, 2 mm high
SHAPE = (24, 26, 14)
# Boxes of voxels as stored, from and to: 18, 48 and 2 voxels, 36, 96 and 4 mm3, and one between that joins A and B.
A, B, C, BRIDGE = ((4, 5, 2), (7, 8, 4)), ((12, 12, 6), (16, 16, 9)), ((20, 20, 3), (22, 21, 4)), ((6, 6, 3), (13, 13, 7))
CHECKPOINT = {"run": "mine", "weights": "best", "sha256": "0" * 64}


def flair(seed: int = 0) -> np.ndarray:
    array = np.random.default_rng(seed).normal(100, 10, SHAPE)
    array[:2] = array[:, :3] = array[..., -2:] = 0
    return array


def mask(*boxes) -> np.ndarray:
    array = np.zeros(SHAPE, bool)
    for low, high in boxes:
        array[tuple(slice(a, b) for a, b in zip(low, high))] = True
    return array


def write(path: pathlib.Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.astype(np.float32), affine), path)
    return path


def write_prediction(folder: pathlib.Path, name: str, array: np.ndarray, affine: np.ndarray = AFFINE, **further) -> None:
    """What `predict` leaves of a case, as far as a report reads it."""
    write(folder / f"{name}_mask.nii.gz", array, affine)
    rows = lesion_table(array, Evidence(0.75 * array, 0.9 * array, array, ~array), affine, 18)
    about = {"case": name, "images": {"flair": f"{name}_flair.nii.gz"}, "brain_ml": 8.0, "count": len(rows),
             "volume_ml": float(array.sum() * 0.002), "connectivity": 18, "threshold": 0.5, "gamma": 0.3, "coverage": "whole",
             "checkpoint": CHECKPOINT, "notes": ["flair: 3 voxels were clipped"], "lesions": rows, "files": {}}
    (folder / f"{name}_lesions.json").write_bytes(sealed(about | further))


def comparison(folder: pathlib.Path) -> tuple[dict[str, list[Pair]], dict[str, pathlib.Path]]:
    """Two systems on two cases. P1: `unet` finds the large lesion of two, `synergynet` both and one that is none. P2: none."""
    images, pairs = {}, {"unet": [], "synergynet": []}
    results = {"P1": (mask(A, B), mask(B), mask(A, B, C)), "P 2": (mask(), mask(), mask(C))}
    for number, (case, (reference, unet, synergynet)) in enumerate(results.items()):
        images[case] = write(folder / f"{case}_flair.nii.gz", flair(number))
        known = write(folder / f"{case}_lesions.nii.gz", reference)
        for system, found in (("unet", unet), ("synergynet", synergynet)):
            pairs[system].append(Pair(case, case, known, write(folder / system / f"{case}_mask.nii.gz", found), None))
    return pairs, images


def timeline(folder: pathlib.Path) -> list[Case]:
    """Three segmented scans of patient P, out of order, and one of Q. P: A; then A and B; then they have merged, and C is new."""
    for number, (name, array) in enumerate({"P_1": mask(A, C), "P_2": mask(A, B), "P_3": mask(A, B, BRIDGE, C),
                                            "Q_1": mask(C)}.items()):
        write(folder / f"{name}_flair.nii.gz", flair(number))
        write_prediction(folder, name, array)
    return [Case(name, name[0], name[2], {"flair": folder / f"{name}_flair.nii.gz"}, None, None)
            for name in ("P_3", "Q_1", "P_1", "P_2")]
