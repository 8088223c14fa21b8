"""Brains for phantoms as they are stored: the MNI152 template, or labelled brains of the user's own.

The grid that phantoms are made on is the 182x218x182, 1 mm MNI grid in LAS: voxel (i, j, k) lies at (90 - i, j - 126, k - 72) mm.
"""
import functools
import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
from scipy import ndimage

from synergynet_tf.errors import InputError
from synergynet_tf.storage.names import NIFTI_ENDINGS

GRID = (182, 218, 182)
AFFINE = np.array([[-1, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1]], np.float64)

CORTEX, WHITE, DEEP_GREY, PALLIDUM, VENTRICLE, OTHER_VENTRICLE, CSF, CEREBELLUM, BRAINSTEM = range(1, 10)

# FreeSurfer labels (left, right) of each region; what is not named here is background.
_FREESURFER = {
    CORTEX: (3, 42, 17, 53, 18, 54), WHITE: (2, 41, 25, 57, 77, 251, 252, 253, 254, 255, 85),
    DEEP_GREY: (10, 49, 11, 50, 12, 51, 26, 58), PALLIDUM: (13, 52), VENTRICLE: (4, 43, 5, 44, 31, 63, 72),
    OTHER_VENTRICLE: (14, 15), CSF: (24, 30, 62), CEREBELLUM: (7, 46, 8, 47), BRAINSTEM: (16, 28, 60),
}
_WHITE_LABELS = (*_FREESURFER[WHITE], 7, 46, 16, 28, 60)
_GREY_LABELS = (*_FREESURFER[CORTEX], *_FREESURFER[DEEP_GREY], 8, 47)

_LEFT = np.arange(256, dtype=np.uint8)      # each label's own side, or the left one
_LEFT[41:45], _LEFT[46:55] = np.arange(2, 6), (7, 8, 9, 10, 11, 12, 13, 17, 18)
_LEFT[[57, 58, 60, 62, 63]] = (25, 26, 28, 30, 31)

# Approximate centroids in MNI space (mm, right side; x is negated on the left), with the labels (left, right): they turn a
# labelled brain into the grid's pose. Only the rotation and the mean position are taken from them.
_LANDMARKS = {
    (10, 49): (11, -19, 8), (11, 50): (14, 9, 11), (12, 51): (26, 2, 0), (13, 52): (20, -5, -1), (17, 53): (27, -22, -14),
    (18, 54): (23, -4, -19), (8, 47): (25, -63, -35), (16,): (0, -29, -33), (15,): (0, -47, -33), (3, 42): (36, -20, 14),
}


class Atlas(NamedTuple):
    """A brain as stored. Maps are [X, Y, Z] on its own grid."""

    grey: np.ndarray            # uint8, share of grey matter, 255 is all
    white: np.ndarray           # uint8, share of white matter
    brain: np.ndarray           # uint8, 255 in the brain with its sulci and ventricles
    regions: np.ndarray         # uint8, CORTEX..BRAINSTEM, 0 outside
    to_index: np.ndarray        # float64 [3, 4], from mm in the grid's pose to voxels of the maps
    ventricle_pull: np.ndarray  # float32 [3, A, B, C], mm: gradient of the smoothed ventricles, at every 4th voxel
    volume: float               # mm3 of the brain
    averaged: bool              # maps are means over people: they are sharpened when they are used
    labels: np.ndarray          # uint8, FreeSurfer labels, those of the left side on both; 0 outside
    to_mni: np.ndarray          # float64 [3, 4], from voxels of the maps to mm in MNI space, size and all


def anatomy_files(folder: str | Path) -> list[Path]:
    """The label maps of a folder, by name.

    Raises:
        InputError: there is none.
    """
    files = sorted(p for p in Path(folder).glob("*") if p.name.endswith(NIFTI_ENDINGS))
    if not files:
        raise InputError(f"anatomy folder {folder} holds no .nii or .nii.gz file; give a folder of FreeSurfer-style label maps")
    return files


def template_map(kind: str) -> np.ndarray:
    """One of nilearn's MNI152 maps, uint8 on GRID. nilearn is found, not imported: its import takes seconds."""
    spec = importlib.util.find_spec("nilearn")
    name = f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0]) / "datasets" / "data" / name if folders else Path(name)
    if not path.is_file():
        raise InputError(f"{name} is not in the installed nilearn ({path.parent}); install nilearn >= 0.10, or give label maps")
    image: Any = nibabel.load(path)
    return np.ascontiguousarray(np.asarray(image.dataobj)[7:189, 8:226, 0:182][::-1])


def _ellipsoid(mm: tuple[np.ndarray, ...], centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Bool: within an ellipsoid about (|x|, y, z), so that both sides are meant."""
    x, y, z = mm
    return (((np.abs(x) - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 + ((z - centre[2]) / radii[2]) ** 2) < 1


def _template_regions(grey: np.ndarray, white: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Regions of the template, uint8: tissue by the larger share, structures by their place in MNI space."""
    i, j, k = np.ogrid[:GRID[0], :GRID[1], :GRID[2]]
    mm = (90.0 - i, j - 126.0, k - 72.0)
    x, y, z = mm
    csf = brain & (grey.astype(np.int16) + white < 128)
    regions = np.where(white > grey, WHITE, CORTEX).astype(np.uint8)
    deep = (_ellipsoid(mm, (11, -19, 7), (10, 15, 10)) | _ellipsoid(mm, (26, 2, 0), (8, 18, 12))
            | _ellipsoid(mm, (13, 12, 8), (7, 12, 12)) | _ellipsoid(mm, (16, -8, 20), (5, 14, 6)))
    regions[deep & (grey > 90)] = DEEP_GREY
    regions[_ellipsoid(mm, (19, -5, -1), (5, 8, 6)) & (white + grey > 128)] = PALLIDUM
    regions[(y < -36) & (z < -6 + 0.4 * (y + 40) - 0.25 * np.abs(x))] = CEREBELLUM
    regions[_ellipsoid(mm, (0, -27, -38), (19, 17, 34)) & (regions != CEREBELLUM) & (z < -8)] = BRAINSTEM
    regions[csf] = CSF
    regions[csf & (np.abs(x) < 5) & (y > -32) & (y < 8) & (z > -14) & (z < 10)] = OTHER_VENTRICLE
    regions[csf & (np.abs(x) < 14) & (y > -58) & (y < -34) & (z > -50) & (z < -18)] = OTHER_VENTRICLE
    place = csf & (np.abs(x) < 40) & (np.abs(x) > 1) & (y > -72) & (y < 38) & (z > 1) & (z < 34) & (regions != OTHER_VENTRICLE)
    labels, _ = ndimage.label(place)
    sizes = np.bincount(labels.ravel())[1:]
    regions[np.isin(labels, np.argsort(sizes)[-2:] + 1)] = VENTRICLE
    regions[~brain] = 0
    return regions


def _ventricle_pull(regions: np.ndarray, side: tuple[int, int, int]) -> np.ndarray:
    """Gradient of the smoothed lateral ventricles in mm, largest 1, at every 4th voxel. side: +1 or -1, an axis' way in mm."""
    soft = ndimage.gaussian_filter((regions == VENTRICLE).astype(np.float32)[::4, ::4, ::4], 1.2)
    pull = np.stack([g * s for g, s in zip(np.gradient(soft), side)])
    return (pull / max(np.abs(pull).max(), 1e-6)).astype(np.float32)


@functools.lru_cache(maxsize=1)
def template_brain() -> np.ndarray:
    """Where the MNI152 template's brain is: bool on GRID.

    Raises:
        InputError: the installed nilearn lacks its map.
    """
    labels, _ = ndimage.label(template_map("t1") > 0)
    return labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1


@functools.lru_cache(maxsize=1)
def template_atlas() -> Atlas:
    """The MNI152 2009a symmetric template.

    Raises:
        InputError: the installed nilearn lacks its maps.
    """
    brain = template_brain()
    grey, white = (np.where(brain, template_map(kind), 0).astype(np.uint8) for kind in ("gm", "wm"))
    regions = _template_regions(grey, white, brain)
    return Atlas(grey, white, brain.astype(np.uint8) * 255, regions, np.linalg.inv(AFFINE)[:3],
                 _ventricle_pull(regions, (-1, 1, 1)), float(brain.sum()), True, _template_labels(regions, white), AFFINE[:3])


def _template_labels(regions: np.ndarray, white: np.ndarray) -> np.ndarray:
    """FreeSurfer labels of the template's regions, uint8: deep grey matter by its place."""
    table = np.zeros(10, np.uint8)
    for region, label in ((CORTEX, 3), (WHITE, 2), (DEEP_GREY, 12), (PALLIDUM, 13), (VENTRICLE, 4), (OTHER_VENTRICLE, 14),
                          (CSF, 24), (CEREBELLUM, 8), (BRAINSTEM, 16)):
        table[region] = label
    labels = table[regions]
    i, j, k = np.ogrid[:GRID[0], :GRID[1], :GRID[2]]
    mm = (90.0 - i, j - 126.0, k - 72.0)
    labels[(regions == DEEP_GREY) & _ellipsoid(mm, (11, -19, 7), (10, 15, 10))] = 10
    labels[(regions == DEEP_GREY) & (_ellipsoid(mm, (13, 12, 8), (7, 12, 12)) | _ellipsoid(mm, (16, -8, 20), (5, 14, 6)))] = 11
    labels[(regions == CORTEX) & _ellipsoid(mm, (27, -22, -14), (8, 18, 9))] = 17
    labels[(regions == CEREBELLUM) & (white > 128)] = 7
    return labels


def _landmarks(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the landmarks lie: float [N, 3] in mm of MNI space, and in voxels."""
    mni, voxels = [], []
    codes = [c for pair in _LANDMARKS for c in pair]
    centres = ndimage.center_of_mass(np.ones_like(labels), labels, codes)
    centre_of = dict(zip(codes, np.atleast_2d(centres)))
    for pair, (x, y, z) in _LANDMARKS.items():
        for code, sign in zip(pair, (-1, 1)):
            if np.isfinite(centre_of[code]).all():
                mni.append((sign * x, y, z))
                voxels.append(centre_of[code])
    return np.array(mni, float), np.array(voxels, float)


def _pose(ours: np.ndarray, voxels: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3, 3] and translation [3] from the grid's mm to the file's mm: least squares over `_landmarks`."""
    theirs = np.array([affine[:3, :3] @ voxel + affine[:3, 3] for voxel in voxels], float)
    u, _, vt = np.linalg.svd((theirs - theirs.mean(0)).T @ (ours - ours.mean(0)))
    rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return rotation, theirs.mean(0) - rotation @ ours.mean(0)


def _closed(mask: np.ndarray, radius: int) -> np.ndarray:
    """Bool: a mask closed by a ball of `radius` voxels, through distance transforms at every second voxel."""
    coarse = np.pad(mask[::2, ::2, ::2], radius)
    grown = ndimage.distance_transform_edt(~coarse) <= radius / 2
    closed = ndimage.distance_transform_edt(grown) > radius / 2
    inner = closed[radius:-radius, radius:-radius, radius:-radius]
    for axis, n in enumerate(mask.shape):
        inner = np.take(np.repeat(inner, 2, axis=axis), np.arange(n), axis=axis)
    return inner | mask


@functools.lru_cache(maxsize=1)
def label_atlas(path: Path) -> Atlas:
    """A FreeSurfer-style label map, turned into the grid's pose.

    Raises:
        InputError: a file that holds no such brain.
    """
    try:
        image = nibabel.as_closest_canonical(nibabel.load(path))
        labels = np.asarray(image.dataobj).astype(np.int32)
    except Exception as error:
        raise InputError(f"{path} cannot be read as NIfTI ({error}); give FreeSurfer-style label maps") from error
    if labels.ndim != 3 or not (np.isin((2, 41, 4, 43, 16), labels)).all():
        raise InputError(f"{path} has shape {labels.shape} and lacks one of the labels 2, 41, 4, 43, 16; "
                         "give FreeSurfer-style label maps of whole brains")
    labels = np.where((labels >= 0) & (labels < 256), labels, 0).astype(np.uint8)
    table = np.zeros(256, np.uint8)
    for region, codes in _FREESURFER.items():
        table[list(codes)] = region
    regions = table[labels]
    sigma = 0.6 / np.sqrt((image.affine[:3, :3] ** 2).sum(0))
    soft = {}
    for name, codes in (("white", _WHITE_LABELS), ("grey", _GREY_LABELS)):
        share = np.zeros(256, np.float32)
        share[list(codes)] = 255
        soft[name] = ndimage.gaussian_filter(share[labels], sigma).astype(np.uint8)
    inner = (regions > 0) & (regions != CSF)
    mm3 = float(np.abs(np.linalg.det(image.affine[:3, :3])))
    mni, voxels = _landmarks(labels)
    rotation, shift = _pose(mni, voxels, image.affine)
    to_mni = np.linalg.lstsq(np.column_stack([voxels, np.ones(len(voxels))]), mni, rcond=None)[0].T
    inverse = np.linalg.inv(image.affine)
    to_index = np.column_stack([inverse[:3, :3] @ rotation, inverse[:3, :3] @ shift + inverse[:3, 3]])
    brain = np.where(_closed(inner, 4), np.uint8(255), np.uint8(0))     # with sulci, cisterns, and choroid plexus without a label
    return Atlas(soft["grey"], soft["white"], brain, regions, to_index, _ventricle_pull(regions, (1, 1, 1)),
                 float(np.count_nonzero(brain)) * mm3, False, _LEFT[labels], to_mni)
