"""A scan and its masks as a browser shows them: small volumes for the viewer, and a picture for where there is none.

A page opened from disk may not read other files, but it may run scripts: volumes travel as base64 text of gzipped NIfTI files,
cut to the brain, the FLAIR in 8 bits with the slope and intercept that give its own units back.
"""
import base64
import gzip
import io
from collections.abc import Sequence
from typing import NamedTuple

import nibabel as nib
import numpy as np
from matplotlib.image import imsave
from scipy import ndimage

from synergynet_tf.data.nifti import Volume
from synergynet_tf.metrics.extent import bounding_box
from synergynet_tf.report.figures import viewpoint

LEVELS = 255                # grey levels of an embedded FLAIR; 0 is the background's, 1 to 255 the brain's
PERCENTILES = (1.0, 99.9)   # of the brain, between which they lie
TOGETHER = 8                # masks in one embedded volume
COMPRESSION = 6             # of gzip: 9 takes three times as long for a hundredth
PICTURE_OPACITY = 0.55


class Layer(NamedTuple):
    """A mask that can be switched on over a scan."""

    name: str
    mask: np.ndarray        # bool [X, Y, Z], the scan's canonical grid
    colour: str             # "#rrggbb"
    shown: bool = True      # when the page opens


class Scan(NamedTuple):
    """An image and its masks."""

    name: str               # its file's
    title: str
    flair: Volume
    layers: Sequence[Layer]


def grey_range(flair: np.ndarray) -> tuple[float, float]:
    """The intensities between which a FLAIR scan [X, Y, Z], 0 outside the brain, is shown."""
    brain = flair[flair != 0]
    low, high = (float(value) for value in np.percentile(brain, PERCENTILES)) if len(brain) else (0.0, 1.0)
    return low, max(high, low + 1e-6)


def flair_text(flair: Volume) -> str:
    """The scan for the viewer: uint8, cut to the brain; what lies beyond `grey_range` takes its ends."""
    box = brain_box(flair.array)
    inside = flair.array[box]
    low, high = grey_range(flair.array)
    slope = (high - low) / (LEVELS - 1)
    levels = np.clip(np.rint((inside - low) / slope), 0, LEVELS - 1) + 1
    image = nib.Nifti1Image(np.where(inside != 0, levels, 0).astype(np.uint8), shifted(flair.affine, box))
    image.header.set_slope_inter(slope, low - slope)
    return _text(image)


def masks_text(masks: Sequence[np.ndarray], flair: Volume) -> str:
    """Up to `TOGETHER` masks as one volume for the viewer, uint8: bit 0 is the first mask's.

    The viewer draws one volume of eight masks in an eighth of the time of eight volumes. The volume is cut as its scan is; where
    a mask reaches beyond the brain, it is larger, so that it holds the mask too.
    """
    together = np.zeros(flair.array.shape, np.uint8)
    for bit, mask in enumerate(masks):
        together |= np.left_shift(mask, bit, dtype=np.uint8)
    box = brain_box(flair.array)
    if together.any():
        box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, brain_box(together)))
    image = nib.Nifti1Image(together[box], shifted(flair.affine, box))
    image.header.set_intent("label")        # the viewer colours its values one by one
    return _text(image)


def brain_box(array: np.ndarray) -> tuple[slice, ...]:
    """The slices that hold all that is not 0; the whole grid where all is."""
    return bounding_box(array != 0)


def shifted(affine: np.ndarray, box: Sequence[slice]) -> np.ndarray:
    """The affine of a grid's part."""
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ [part.start for part in box] + affine[:3, 3]
    return moved


def world(affine: np.ndarray, voxel: Sequence[float]) -> tuple[float, float, float]:
    """Where a voxel's centre lies, mm, to hundredths."""
    x, y, z = (round(float(v), 2) for v in affine[:3, :3] @ np.asarray(voxel, np.float64) + affine[:3, 3])
    return x, y, z


def picture(scan: Scan) -> bytes:
    """A PNG of three slices, sagittal, coronal, axial, through the largest lesion, with the layers that are shown."""
    box = brain_box(scan.flair.array)
    flair = scan.flair.array[box]
    layers = [(layer.mask[box], layer.colour) for layer in scan.layers if layer.shown]
    any_lesion = np.logical_or.reduce([np.zeros(flair.shape, bool), *(mask for mask, _ in layers)])
    place = viewpoint(flair, any_lesion)
    low, high = grey_range(scan.flair.array)
    grey = np.where(flair != 0, np.clip((flair - low) / (high - low), 0, 1), 0)
    planes = [_plane(grey, layers, axis, place[axis], scan.flair.spacing) for axis in range(3)]
    tallest = max(plane.shape[0] for plane in planes)
    padded = [np.pad(plane, (((tallest - len(plane)) // 2, (tallest - len(plane) + 1) // 2), (3, 3), (0, 0))) for plane in planes]
    file = io.BytesIO()
    imsave(file, np.concatenate(padded, axis=1), format="png")
    return file.getvalue()


def _plane(grey: np.ndarray, layers: Sequence[tuple[np.ndarray, str]], axis: int, index: int,
           spacing: Sequence[float]) -> np.ndarray:
    """A slice in colour [height, width, 3], 0 to 1, in square pixels of the scan's smallest voxel side, up being up."""
    colour = np.repeat(np.moveaxis(grey, axis, 0)[index][..., None], 3, axis=-1)
    for mask, name in layers:
        rgb = np.array([int(name[i:i + 2], 16) for i in (1, 3, 5)]) / 255
        inside = np.moveaxis(mask, axis, 0)[index]
        colour[inside] = (1 - PICTURE_OPACITY) * colour[inside] + PICTURE_OPACITY * rgb
    sides = [spacing[other] / min(spacing) for other in range(3) if other != axis]
    if max(sides) > 1.01:
        colour = ndimage.zoom(colour, (*sides, 1), order=0, grid_mode=True, mode="nearest")
    return np.flip(colour.transpose(1, 0, 2), axis=0)


def _text(image: nib.Nifti1Image) -> str:
    return base64.b64encode(gzip.compress(image.to_bytes(), COMPRESSION, mtime=0)).decode()
