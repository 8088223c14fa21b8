"""Three slices of a case for a sheet of thumbnails."""
import cc3d
import numpy as np
from scipy import ndimage

from synergynet_tf.data.check.problem import Views
from synergynet_tf.data.nifti import Volume
from synergynet_tf.metrics.extent import bounding_box

GAP, MARGIN = 6, 3      # mm between the slices and around the head
WINDOW = (1, 99.7)      # percentiles of what is not 0: black and white
LARGEST = 256           # mm a side: what is larger is no head, but a header that is wrong


def slices_of(flair: Volume, mask: np.ndarray | None) -> Views:
    """The slices through the largest lesion of the mask, bool [X, Y, Z], or through the middle of what is not 0."""
    inside = flair.array != 0
    box = _bounds(inside if inside.any() else np.ones_like(inside), flair.spacing)
    array = flair.array[box]
    lesions = np.zeros(array.shape, bool) if mask is None else mask[box]
    point = _point(lesions)
    shown = array[array != 0][::17]
    low, high = np.percentile(shown, WINDOW) if shown.size else (0.0, 1.0)
    grey = np.clip((np.where(array != 0, array, low) - low) / max(high - low, 1e-6), 0, 1)
    planes = [(grey.take(point[axis], axis), lesions.take(point[axis], axis), axis) for axis in (2, 1, 0)]
    pictures, outlines = zip(*(_at_1mm(*plane, flair.spacing) for plane in planes))
    return Views((255 * _beside(pictures)).astype(np.uint8), _beside(outlines) > 0.5)


def _bounds(inside: np.ndarray, spacing: tuple[float, float, float]) -> tuple[slice, ...]:
    """The box of a mask, a margin around it."""
    margins = [round(MARGIN / mm) for mm in spacing]
    return tuple(slice(max(part.start - margin, 0), part.stop + margin) for part, margin in zip(bounding_box(inside), margins))


def _point(lesions: np.ndarray) -> tuple[int, ...]:
    """Where the largest lesion is largest on each axis, else the middle."""
    if not lesions.any():
        return tuple(side // 2 for side in lesions.shape)
    labels = cc3d.connected_components(np.ascontiguousarray(lesions), connectivity=26)
    largest = labels == np.bincount(labels[lesions]).argmax()
    counts = (largest.sum(axis=others) for others in ((1, 2), (0, 2), (0, 1)))
    return tuple(int(np.flatnonzero(count == count.max())[np.count_nonzero(count == count.max()) // 2]) for count in counts)


def _at_1mm(grey: np.ndarray, lesions: np.ndarray, axis: int,
            spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A plane as a picture [rows, columns] of 1 mm pixels, or coarser ones where it would be larger than a head."""
    sides = [mm for other, mm in enumerate(spacing) if other != axis]
    coarser = max(1.0, *(n * mm / LARGEST for n, mm in zip(grey.shape, sides)))
    factors = [mm / coarser for mm in sides]
    if np.allclose(factors, 1, atol=0.02):
        return grey.T, lesions.T.astype(np.float32)
    factors = [max(factor, 1 / n) for factor, n in zip(factors, grey.shape)]
    scaled = (ndimage.zoom(plane.astype(np.float32), factors, order=1, mode="nearest", grid_mode=True)
              for plane in (grey, lesions))
    return tuple(plane.T for plane in scaled)


def _beside(planes: tuple[np.ndarray, ...]) -> np.ndarray:
    """Pictures in one row, each in the middle of its height, black between."""
    height = max(plane.shape[0] for plane in planes)
    padded = []
    for i, plane in enumerate(planes):
        below = (height - plane.shape[0]) // 2
        padded.append(np.pad(plane, ((below, height - plane.shape[0] - below), (GAP if i else 0, 0))))
    return np.concatenate(padded, axis=1)
