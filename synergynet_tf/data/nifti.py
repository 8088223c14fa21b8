"""NIfTI files in and out: scans in the closest canonical orientation (RAS+), results on the grid of the file they came from.

A file is read whole and its checksum verified, so a truncated download is noticed here and not as a dark slab in a result.
"""
import gzip
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from synergynet_tf.data import judgement
from synergynet_tf.data.container import read_contents
from synergynet_tf.data.judgement import Note
from synergynet_tf.errors import InputError
from synergynet_tf.storage.files import replace_file
from synergynet_tf.storage.names import NIFTI_ENDINGS

log = logging.getLogger(__name__)

FilePath = str | os.PathLike[str]
CANONICAL = np.array([[0, 1], [1, 1], [2, 1]])
TOLERANCE_MM = 1e-3         # between the corners of two grids: what float32 affines lose by rounding
TOLERANCE_VOXELS = 0.05     # or this share of a voxel: quaternions lose hundredths of a mm at the corners of a tilted grid
COMBINE: dict[str, Callable[..., np.ndarray]] = {"union": np.logical_or, "intersection": np.logical_and}
COMPRESSION = 4             # of gzip: masks gain nothing above it, probabilities take three times as long at 9


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan in the closest canonical orientation, and what writing on its file's own grid needs."""

    array: np.ndarray               # [X, Y, Z], float32 (bool for a mask)
    affine: np.ndarray              # float64 [4, 4], voxel indices of `array` to mm, RAS+
    spacing: tuple[float, float, float]     # mm; their product is the volume of a voxel, the affine's determinant
    path: Path
    header: nib.Nifti1Header = field(repr=False)    # the file's own, untouched (NIfTI-2 is a subclass)
    file_shape: tuple[int, ...]     # as stored; a trailing axis of 1 is kept
    file_affine: np.ndarray         # float64 [4, 4], of the grid as stored
    orientation: np.ndarray         # [3, 2]: row i is the canonical axis, and its direction, of the file's axis i
    notes: tuple[Note, ...] = ()    # what of the header was mended or taken for granted

    @property
    def axes(self) -> str:
        """Where the file's own axes run, as in LAS."""
        return "".join(nib.orientations.ornt2axcodes(self.orientation))


def read(path: FilePath, finite: bool = True) -> Volume:
    """Read a scan as float32, reoriented (never resampled) to the closest canonical orientation, its affine in mm.

    Raises:
        InputError: as `container.read_contents` does, for an affine that is no grid, or skewed, or in no unit of length; for NaN
            or Inf, unless `finite` is false: then they are the caller's to look for, and the notes to pass on, which are else
            logged.
    """
    path = Path(path)
    found = read_contents(path)
    try:
        affine, taken = _affine(found.header)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    file_shape = found.header.get_data_shape()
    notes = (*(Note("file", f"the header is damaged: {text}") for text in found.mended), *taken)
    orientation = io_orientation(affine)
    array = apply_orientation(found.voxels().reshape(file_shape[:3]), orientation)
    canonical = affine @ inv_ornt_aff(orientation, file_shape[:3])
    volume = Volume(array, canonical, _sides_mm(canonical), path, found.header, file_shape, affine, orientation, notes)
    if finite:
        require_finite(volume)
        for note in notes:
            log.warning("%s: %s", path, note.text)
    return volume


def read_mask(path: FilePath) -> Volume:
    """Read a binary mask: `array` is bool. 0 and any one other value will do (0/1, 0/255); all zero is an empty mask.

    Raises:
        InputError: as `read` does, and for more than one value beside 0.
    """
    return as_mask(read(path))


def as_mask(volume: Volume) -> Volume:
    """The mask that a volume holds, as `read_mask` gives it.

    Raises:
        InputError: more than one value beside 0.
    """
    array = volume.array
    mask = array != 0
    first = array[tuple(np.unravel_index(np.argmax(mask), mask.shape))]
    if first != 0 and not np.array_equal(array, np.where(mask, first, np.float32(0))):
        values = np.unique(array)
        shown = ", ".join(f"{v:g}" for v in values[:6]) + (", ..." if len(values) > 6 else "")
        raise InputError(f"{volume.path}: a mask holds 0 and one other value, but this file has {len(values)} values ({shown}); "
                         "threshold it, or choose the one label that means lesion")
    return replace(volume, array=mask)


def read_reference(path: FilePath, other: FilePath | None = None, combine: str | None = None) -> Volume:
    """Read a reference mask, or the union or intersection of two raters' masks as `combine` says; grid and path are the first's.

    Raises:
        InputError: as `read_mask` does, and where the two grids differ.
        ValueError: two masks without such a word.
    """
    first = read_mask(path)
    if other is None:
        return first
    if combine not in COMBINE:
        raise ValueError(f"two masks become one by {' or '.join(COMBINE)}, not by {combine!r}")
    second = read_mask(other)
    check_same_grid(first, second)
    return replace(first, array=COMBINE[combine](first.array, second.array))


def read_prediction(mask: FilePath | None, probability: FilePath | None) -> Volume:
    """Read a tool's mask; of a tool that gives none, its probability map above 1/2.

    Raises:
        InputError: as `read_mask` does.
    """
    if mask is not None:
        return read_mask(mask)
    if probability is None:
        raise ValueError("a prediction is a mask or a probability map, but neither is named")
    volume = read(probability)
    return replace(volume, array=volume.array > 0.5)


def check_same_grid(a: Volume, b: Volume) -> None:
    """See that two canonical grids are one: equal shapes, and every corner at the same place.

    Corners may differ by `TOLERANCE_MM`, or by `TOLERANCE_VOXELS` of the smallest voxel side where that is more.

    Raises:
        InputError: they are two.
    """
    if a.array.shape != b.array.shape:
        raise InputError(f"{b.path}: the grid is {_sides(b)}, but {a.path} has {_sides(a)}; "
                         "resample one file onto the other's grid")
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in a.array.shape], [1], indexing="ij")).reshape(4, -1)
    distance = float(np.linalg.norm((a.affine - b.affine)[:3] @ corners, axis=0).max())
    if distance <= max(TOLERANCE_MM, TOLERANCE_VOXELS * min(a.spacing + b.spacing)):
        return
    if a.axes != b.axes:
        cause = "one of the two headers is probably flipped: correct it, or save both files from one tool"
    elif np.allclose(a.affine[:3, :3], b.affine[:3, :3], atol=TOLERANCE_MM):
        cause = "one is shifted: resample one file onto the other's grid, or correct its header"
    else:
        cause = "resample one file onto the other's grid, or correct its header"
    raise InputError(f"{b.path}: the affine is {_matrix(b)}, axes {b.axes}, but {a.path} has {_matrix(a)}, axes {a.axes}: "
                     f"up to {distance:.3g} mm apart; {cause}")


def write_like(path: FilePath, array: np.ndarray, like: Volume, dtype: np.dtype | type | str) -> None:
    """Write a canonical array [X, Y, Z] on the grid of the file that `like` was read from, as `dtype`, without scaling.

    Shape, orientation, sform, qform and their codes are the file's own, bit for bit; the display range (cal_min, cal_max) is
    cleared, as it belonged to other values. The file appears whole or not at all. `path` ends in .nii.gz or .nii.

    Raises:
        InputError: it cannot be written.
        ValueError: the array is not on `like`'s grid or does not fit `dtype`.
    """
    path = Path(path)
    if not path.name.endswith(NIFTI_ENDINGS):
        raise InputError(f"{path}: a result is written as .nii.gz or .nii; change the name")
    content = bytes_like(array, like, dtype)
    replace_file(path, gzip.compress(content, COMPRESSION, mtime=0) if path.name.endswith(".gz") else content)


def bytes_like(array: np.ndarray, like: Volume, dtype: np.dtype | type | str) -> bytes:
    """The bytes of the uncompressed file that `write_like` writes.

    Raises:
        ValueError: the array is not on `like`'s grid or does not fit `dtype`.
    """
    dtype = np.dtype(dtype)
    if array.shape != like.array.shape:
        raise ValueError(f"the array is {array.shape}, but the grid of {like.path} is {like.array.shape}")
    cast = array.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(cast, array):
        raise ValueError(f"the values {array.min()} to {array.max()} ({array.dtype}) do not fit {dtype}")
    stored = to_file_grid(cast, like).reshape(like.file_shape)
    header = like.header.copy()
    header.set_data_dtype(dtype)
    header["cal_min"] = header["cal_max"] = header["vox_offset"] = 0        # nibabel finds the offset, and has remarks on others
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    return kind(stored, None, header).to_bytes()      # no affine given: the header's sform and qform stay as they are


def to_file_grid(array: np.ndarray, volume: Volume) -> np.ndarray:
    """Turn an array [X, Y, Z] in canonical orientation to the orientation in which `volume`'s file stores its voxels."""
    return apply_orientation(array, ornt_transform(CANONICAL, volume.orientation))


def _affine(header: nib.Nifti1Header) -> tuple[np.ndarray, list[Note]]:
    """The affine in force (sform, else qform), float64 [4, 4], in mm, and what was taken for granted in it.

    Raises InputError where it is no grid, or a skewed one.
    """
    with np.errstate(over="ignore", invalid="ignore"):      # of a damaged header: then it is no grid
        affine = np.array(header.get_best_affine(), dtype=np.float64)
        sides = np.linalg.norm(affine[:3, :3], axis=0)
        volume = abs(np.linalg.det(affine[:3, :3] / np.where(sides > 0, sides, 1)))      # of the axes' directions
    if not np.isfinite([*affine.flat, *sides]).all() or volume <= 1e-6:
        raise InputError(f"the affine {_rows(affine)} is no grid (NaN, or axes that fall together); correct the header")
    skew = judgement.skew(affine)
    if skew > judgement.SKEW:
        raise InputError(f"the voxels' axes are {skew:.1f} degrees off right angles, but {judgement.SKEW:g} at most are taken: "
                         "volumes and distances would be wrong; resample the scan onto a straight grid with a registration tool, "
                         f"or correct the affine {_rows(affine)}")
    power = judgement.power_of_thousand(sides)
    if power is None:
        raise InputError(f"the header gives voxels of {judgement.shown(sides)}, which are lengths in no unit; correct its affine")
    affine[:3] *= 1000.0 ** power
    notes = [Note("spacing", f"the header gives voxels of {judgement.shown(sides)}: {judgement.UNITS[power]}, by their size; "
                  f"taken as {judgement.shown(sides * 1000.0 ** power)} mm")] if power else []
    if header["sform_code"] == 0 and header["qform_code"] == 0:
        notes.append(Note("orientation", "the header states no orientation (sform and qform codes are 0); taken as LAS"))
    return affine, notes


def require_finite(volume: Volume) -> None:
    """See that a volume holds neither NaN nor Inf.

    Raises:
        InputError: it does; the first place is said as the file stores it.
    """
    with np.errstate(invalid="ignore"):
        if np.isfinite(volume.array.sum(dtype=np.float64)):     # one pass; NaN and Inf survive a sum
            return
    stored = to_file_grid(volume.array, volume)
    bad = ~np.isfinite(stored)
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    raise InputError(f"{volume.path}: {int(bad.sum())} voxels are NaN or Inf, the first at {first} of the stored array "
                     f"({stored[first]}); replace them (0 outside the brain)")


def _sides_mm(affine: np.ndarray) -> tuple[float, float, float]:
    """The sides of a voxel: the axes' lengths, all scaled alike, by 1e-4 at most, so that their product is its volume."""
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    scale = np.cbrt(abs(np.linalg.det(affine[:3, :3])) / np.prod(sides))
    x, y, z = (float(side * scale) for side in sides)
    return x, y, z


def _sides(volume: Volume) -> str:
    return " x ".join(map(str, volume.array.shape))


def _matrix(volume: Volume) -> str:
    return _rows(volume.affine)


def _rows(affine: np.ndarray) -> str:
    return "[" + "; ".join(" ".join(f"{v:.6g}" for v in row) for row in affine[:3]) + "]"
