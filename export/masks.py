"""Whether an answer is one to a scan: it is checked before anything is written.

A mask is a NIfTI file on exactly the scan's grid that holds 0 and 1, and the number and the volume of its lesions are those that
it shows. Whatever is not so, by mistake or by intent, is an InputError.
"""
import io
import math
import pathlib
from typing import Final, NamedTuple

import cc3d
import nibabel as nib
import numpy as np

from synergynet_tf.data.container import Contents, parse, read_contents
from synergynet_tf.data.judgement import power_of_thousand
from synergynet_tf.errors import InputError

from .answers import Answer, malformed

GEOMETRY = ((76, 92), (123, 124), (252, 328))   # bytes of pixdim[0:4], xyzt_units, and from qform_code to srow_z
UINT8 = 2                           # NIfTI's code of that type
VOLUME_TOLERANCE = 1e-4             # relative; the server's is a float32
CONNECTIVITIES: Final = (6, 18, 26)        # one of them is the network's


class Grid(NamedTuple):
    """Where a scan's voxels are, and how long the file of its mask can be."""

    shape: tuple[int, ...]
    header: bytes           # the part of the header that says where they are, mended
    voxel_ml: float
    limit: int              # bytes; in a mask a short extension of the header is filled up, to twice its length at most


def grid_of(scan: pathlib.Path) -> Grid:
    """The grid of a scan.

    Raises:
        InputError: it is none that a server would take; the file is named.
    """
    header = read_contents(scan).header
    if isinstance(header, nib.Nifti2Header):
        raise InputError(f"{scan}: a NIfTI-2 file, but a served network takes NIfTI-1; convert it")
    shape, before = header.get_data_shape(), int(header["vox_offset"])
    return Grid(shape, _geometry(header), _voxel_ml(header.get_best_affine(), scan), math.prod(shape) + 2 * before)


def check(answer: Answer, grid: Grid) -> None:
    """See that the mask is one of the scan, and that the numbers are the mask's.

    Raises:
        InputError: it is not, or they are not.
    """
    try:
        mask = parse(io.BytesIO(answer.mask), len(answer.mask))
    except InputError:
        raise malformed("the mask is no NIfTI file") from None
    voxels = _voxels(mask, len(answer.mask), grid)
    count = int(voxels.sum())
    volume = count * grid.voxel_ml
    if not math.isclose(answer.volume_ml, volume, rel_tol=VOLUME_TOLERANCE, abs_tol=1e-9):
        raise malformed(f"'lesion_volume_ml' is {answer.volume_ml:g}, but the mask has {volume:g} ml")
    if answer.lesions not in _lesions(voxels.reshape(grid.shape[:3], order="F")):
        raise malformed(f"'lesion_count' is {answer.lesions}, which is not the mask's")


def _voxels(mask: Contents, length: int, grid: Grid) -> np.ndarray:
    """The voxels of a mask of `length` bytes as stored, bool [n]. Raises InputError where they are not of the grid, 0 and 1."""
    header = mask.header
    if isinstance(header, nib.Nifti2Header) or header.get_data_shape() != grid.shape or _geometry(header) != grid.header:
        raise malformed("the mask is not on the scan's grid")
    if [float(header[name]) for name in ("datatype", "scl_slope", "scl_inter")] != [UINT8, 1, 0] or len(mask.content) != length:
        raise malformed("the mask's header is not that of as many bytes, a byte each voxel")
    voxels = np.frombuffer(mask.content, np.uint8, offset=int(header["vox_offset"]))
    if voxels.max() > 1:
        raise malformed(f"the mask holds {voxels.max()}, but 0 and 1 alone mean something")
    return voxels.astype(bool)


def _lesions(mask: np.ndarray) -> set[int]:
    """The numbers of lesions that a mask, bool [X, Y, Z], can be said to have."""
    held = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not held[0].size:
        return {0}
    box = np.ascontiguousarray(mask[tuple(slice(places[0], places[-1] + 1) for places in held)])
    return {cc3d.connected_components(box, connectivity=each, return_N=True)[1] for each in CONNECTIVITIES}


def _geometry(header: "nib.Nifti1Header") -> bytes:
    """The byte order and the bytes of a header by which any program would place the voxels, whichever of them it looks at."""
    raw = header.binaryblock
    return header.endianness.encode() + b"".join(raw[begin:end] for begin, end in GEOMETRY)


def _voxel_ml(affine: np.ndarray, scan: pathlib.Path) -> float:
    """The volume of a voxel, in whatever unit the header is. Raises InputError where it is none."""
    power = power_of_thousand(np.linalg.norm(affine[:3, :3], axis=0))
    if power is None:
        raise InputError(f"{scan}: the header's affine is no grid of voxels; correct it")
    return abs(float(np.linalg.det(affine[:3, :3]))) * 1000.0 ** (3 * power - 1)
