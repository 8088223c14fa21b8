"""The checks of one image file: its header, its voxels, its place beside the FLAIR."""

import numpy as np
from nibabel.affines import voxel_sizes

from synergynet_tf.data import nifti
from synergynet_tf.data.check.problem import Findings
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.preprocess import SPACING, far_from_1mm
from synergynet_tf.errors import InputError

TILT = 20.0             # degrees between the voxels' axes and the patient's: more is a scan that was not registered
NEGATIVE = 0.02         # share of the brain's voxels: interpolation rings below 0 in 1 % at most of the scans at hand
FEW_VALUES = 8          # distinct intensities: a label map, or a scan stored in too few bits
LACKING = 0.05          # of the brain's volume: channels stripped one by one differ by up to 3 % in the scans at hand
BEYOND = 0.15           # of the brain's volume: the same, by 6 %


def read(file: str, found: Findings) -> Volume | None:
    """Read a file of the case, note what ails its header, and set what is not finite to 0; none where it cannot be read."""
    path = found.paths[file]
    if path is None or not path.is_file():
        return None     # what is absent is said by the layout
    try:
        volume = nifti.read(path, finite=False)
        _check_header(volume, file, found)
    except InputError as error:
        found.error("file", file, str(error))
        return None
    except Exception as error:      # a file may be damaged in ways that no reader foresees; the others are still to be checked
        found.error("file", file, f"cannot be read ({type(error).__name__}: {error}); replace the file")
        return None
    bad = ~np.isfinite(volume.array)
    if bad.any():
        found.error("intensities", file, f"{np.count_nonzero(bad)} voxels are NaN or Inf; replace them (0 outside the brain)")
        volume.array[bad] = 0
    return volume


def check_spacing(flair: Volume, found: Findings) -> None:
    """Voxels far from 1 mm: what is in voxels (small lesions, anchors, patches) no longer means what it says."""
    if far_from_1mm(flair.spacing):
        sides = " x ".join(f"{mm:.3g}" for mm in flair.spacing)
        found.warn("spacing", "flair", f"voxels of {sides} mm, but {SPACING[0]:g} to {SPACING[1]:g} are expected: resample to "
                   "1 mm")


def same_grid(reference: Volume, volume: Volume, file: str, found: Findings) -> bool:
    """Whether a file lies on the grid of another of its case; notes it where not."""
    try:
        nifti.check_same_grid(reference, volume)
    except InputError as error:
        found.error("grid" if reference.array.shape != volume.array.shape else "affine", file, str(error))
        return False
    return True


def check_channel(volume: Volume, file: str, brain: np.ndarray, found: Findings) -> None:
    """A channel beside the FLAIR, on its grid: its intensities in the brain, and how far it shows the same brain."""
    check_intensities(volume.array[brain & (volume.array != 0)], file, found)
    size, there = np.count_nonzero(brain), volume.array != 0
    if not there.any():
        return
    lacking, beyond = np.count_nonzero(brain & ~there) / size, np.count_nonzero(there & ~brain) / size
    if lacking > LACKING:
        found.warn("brain", file, f"{100 * lacking:.0f} % of the brain in flair is 0 here: is part of it cut off?")
    if beyond > BEYOND:
        found.warn("brain", file, f"as much as {100 * beyond:.0f} % of the brain lies outside the brain in flair: is the skull "
                   "stripped?")


def check_intensities(values: np.ndarray, file: str, found: Findings) -> None:
    """The values [n] of the brain's voxels that are not 0."""
    if values.size == 0 or values.min() == values.max():
        value = 0 if values.size == 0 else values[0]
        found.error("intensities", file, f"every voxel in the brain is {value:g}: there is nothing to see; replace the file")
        return
    mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    negative = np.count_nonzero(values < 0) / values.size
    if abs(mean) < 0.1 and abs(deviation - 1) < 0.1:
        found.warn("intensities", file, "z-scored already (mean 0, SD 1 in the brain): prefer the scan before it; 0 must mean "
                   "background")
    elif negative > NEGATIVE:
        found.warn("intensities", file, f"{100 * negative:.0f} % of the brain's voxels are negative: was it normalised? 0 must "
                   "mean background")
    distinct = np.unique(values[::max(1, values.size // 20_000)]).size
    if distinct <= FEW_VALUES:
        found.warn("intensities", file, f"only {distinct} different values in the brain: a label map, or stored in too few bits?")


def _check_header(volume: Volume, file: str, found: Findings) -> None:
    header = volume.header
    if header["sform_code"] == 0 and header["qform_code"] == 0:
        found.warn("orientation", file, "the header states no orientation (sform and qform codes are 0); taken as LAS")
    elif header["sform_code"] > 0 and header["qform_code"] > 0:
        apart = _corners_apart(header.get_sform(), header.get_qform(), volume.file_shape[:3])
        if apart > max(volume.spacing):
            found.warn("orientation", file, f"sform and qform disagree by up to {apart:.3g} mm: tools differ in which they "
                       "follow; the sform is taken")
    cosine = np.diag(_directions(volume.affine)).min()
    tilt = np.degrees(np.arccos(min(cosine, 1.0)))
    if tilt > TILT:
        found.warn("orientation", file, f"the voxels' axes are tilted by {tilt:.0f} degrees against the patient's: register the "
                   "scan first")


def _corners_apart(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """The largest distance in mm between where two affines [4, 4] put a corner of a grid."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij")).reshape(4, -1)
    return float(np.linalg.norm((first - second)[:3] @ corners, axis=0).max())


def _directions(affine: np.ndarray) -> np.ndarray:
    """The voxels' axes as unit vectors, in columns [3, 3]."""
    return affine[:3, :3] / voxel_sizes(affine)
