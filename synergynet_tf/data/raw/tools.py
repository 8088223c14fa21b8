"""SimpleITK and deepbet: found, or asked for. SimpleITK's images are made from and turned back into arrays [X, Y, Z].

SimpleITK's world is LPS (x to the left, y to the back), NIfTI's is RAS+; outside this module everything is RAS+.
"""
import importlib
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from synergynet_tf.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
EXTRAS = {"SimpleITK": "prepare", "deepbet": "deepbet", "pydicom": "dicom", "highdicom": "dicom"}


def load(name: str) -> ModuleType:
    """Import an optional tool.

    Raises:
        InputError: it is absent; how to install it is said.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{name} is needed here, which is not installed ({error}): "
                         f"pip install synergynet_tf[{EXTRAS[name]}]") from None


def version(name: str) -> str:
    """The installed version of a tool.

    Raises:
        InputError: as `load`.
    """
    load(name)
    return metadata.version(name)


def use_threads(count: int) -> None:
    """Limit the threads of SimpleITK's filters in this process, where it is installed."""
    try:
        load("SimpleITK").ProcessObject.SetGlobalDefaultNumberOfThreads(count)
    except InputError:
        return      # the step that needs it will say so


def distances(mask: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """From each voxel to the nearest of a mask, float32 [X, Y, Z], mm (Maurer et al., IEEE Trans. PAMI 25, 2003).

    It takes ITK's threads, and a third of SciPy's time. 0 or less in the mask; very large where the mask is empty.

    Args:
        mask: bool [X, Y, Z].
        sides: of a voxel, mm.
    """
    image = to_image(mask, np.diag([*sides, 1.0]))
    return to_array(load("SimpleITK").SignedMaurerDistanceMap(image, False, False, True))


def to_image(array: np.ndarray, affine: np.ndarray) -> "sitk.Image":
    """An image of an array [X, Y, Z] whose voxel indices `affine` (float64 [4, 4]) takes to mm, RAS+."""
    sitk = load("SimpleITK")
    stored = array.astype(np.uint8) if array.dtype == bool else array
    image = sitk.GetImageFromArray(np.ascontiguousarray(stored.T))
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def to_array(image: "sitk.Image") -> np.ndarray:
    """The voxels [X, Y, Z] of an image."""
    return load("SimpleITK").GetArrayFromImage(image).T


def to_matrix(transform: "sitk.Euler3DTransform | sitk.Similarity3DTransform | sitk.AffineTransform") -> np.ndarray:
    """The float64 [4, 4] matrix, mm to mm in RAS+, of a linear transform with a centre."""
    matrix, linear = np.eye(4), np.reshape(transform.GetMatrix(), (3, 3))
    centre = np.array(transform.GetCenter())
    matrix[:3, :3] = linear
    matrix[:3, 3] = centre + transform.GetTranslation() - linear @ centre
    return LPS @ matrix @ LPS


def to_transform(matrix: np.ndarray, centre: np.ndarray) -> "sitk.AffineTransform":
    """The affine transform, about a centre in mm, of a float64 [4, 4] matrix, mm to mm in RAS+: what `to_matrix` undoes."""
    lps, about = LPS @ matrix @ LPS, LPS[:3, :3] @ centre
    transform = load("SimpleITK").AffineTransform(3)
    transform.SetCenter(about.tolist())
    transform.SetMatrix(lps[:3, :3].ravel().tolist())
    transform.SetTranslation((lps[:3, :3] @ about + lps[:3, 3] - about).tolist())
    return transform
