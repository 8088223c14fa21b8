"""The checks of one image file: its header, its voxels, its place beside the FLAIR."""

import numpy as np
from nibabel.affines import voxel_sizes

from synergynet_tf.data import nifti, preprocess
from synergynet_tf.data.check.problem import SECOND, Findings
from synergynet_tf.data.layouts import LESIONS
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.preprocess import Box
from synergynet_tf.errors import InputError

TILT = 20.0             # degrees between the voxels' axes and the patient's: more is a scan that was not registered
NEGATIVE = 0.02         # share of the brain's voxels: interpolation rings below 0 in 1 % at most of the scans at hand
LACKING = 0.05          # of the brain's volume: channels stripped one by one differ by up to 3 % in the scans at hand
BEYOND = 0.15           # of the brain's volume: the same, by 6 %


def read(file: str, findings: Findings) -> Volume | None:
    """Read a file of the case, note what is wrong with its header, and set NaN and Inf to 0; None where it cannot be read."""
    path = findings.paths[file]
    if path is None or not path.is_file():
        return None     # what is absent is said by the layout
    try:
        volume = nifti.read(path, finite=False)
        _check_header(volume, file, findings)
    except InputError as error:
        findings.error("file", file, str(error))
        return None
    except Exception as error:      # a file may be damaged in ways that no reader foresees; the others are still to be checked
        findings.error("file", file, f"cannot be read ({type(error).__name__}: {error}); replace the file")
        return None
    with findings.judging("intensities", file):
        if file in (LESIONS, SECOND):
            nifti.require_finite(volume)
        else:
            volume = preprocess.settled(volume)
    findings.notes(file, volume.notes)
    volume.array[~np.isfinite(volume.array)] = 0
    return volume


def same_grid(reference: Volume, volume: Volume, file: str, findings: Findings) -> bool:
    """Whether a file lies on the grid of another of its case; notes it where not."""
    try:
        nifti.check_same_grid(reference, volume)
    except InputError as error:
        findings.error("grid" if reference.array.shape != volume.array.shape else "affine", file, str(error))
        return False
    return True


def check_channel(volume: Volume, file: str, brain: np.ndarray, box: Box, findings: Findings) -> None:
    """A channel beside the FLAIR, on its grid: its intensities in the brain, bool [X, Y, Z], and how far it shows the same."""
    check_intensities(volume, file, brain, box, findings)
    size, nonzero = np.count_nonzero(brain), volume.array != 0
    if not nonzero.any():
        return
    lacking, beyond = np.count_nonzero(brain & ~nonzero) / size, np.count_nonzero(nonzero & ~brain) / size
    if lacking > LACKING:
        findings.warn("brain", file, f"{100 * lacking:.0f} % of the brain in flair is 0 here: is part of it cut off?")
    if beyond > BEYOND:
        findings.warn("brain", file, f"as much as {100 * beyond:.0f} % of the brain lies outside the brain in flair: is the "
                   "skull stripped?")


def check_intensities(volume: Volume, file: str, brain: np.ndarray, box: Box, findings: Findings) -> np.ndarray | None:
    """What a channel measured in the brain, as a training takes it: `preprocess.measured`; none where it would refuse it."""
    inside = tuple(slice(low, high) for low, high in zip(box[:3], box[3:]))
    with findings.judging("intensities", file):
        values, notes = preprocess.measured(volume, brain[inside], box)
        findings.notes(file, notes)
        _check_normalised(values[values != 0], file, findings)
        return values
    return None


def _check_normalised(values: np.ndarray, file: str, findings: Findings) -> None:
    """The values [n] of the brain's voxels that are not 0."""
    mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    negative = np.count_nonzero(values < 0) / values.size
    if abs(mean) < 0.1 and abs(deviation - 1) < 0.1:
        findings.warn("intensities", file, "z-scored already (mean 0, SD 1 in the brain): prefer the scan before it; 0 must mean "
                   "background")
    elif negative > NEGATIVE:
        findings.warn("intensities", file, f"{100 * negative:.0f} % of the brain's voxels are negative: was it normalised? 0 "
                   "must mean background")


def _check_header(volume: Volume, file: str, findings: Findings) -> None:
    header = volume.header
    if header["sform_code"] > 0 and header["qform_code"] > 0:
        apart = _corners_apart(header.get_sform(), header.get_qform(), volume.file_shape[:3])
        if apart > max(volume.spacing):
            findings.warn("orientation", file, f"sform and qform disagree by up to {apart:.3g} mm: tools differ in which they "
                       "follow; the sform is taken")
    cosine = np.diag(_directions(volume.affine)).min()
    tilt = np.degrees(np.arccos(min(cosine, 1.0)))
    if tilt > TILT:
        findings.warn("orientation", file, f"the voxels' axes are tilted by {tilt:.0f} degrees against the patient's: register "
                   "the scan first")


def _corners_apart(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """The largest distance in mm between where two affines [4, 4] put a corner of a grid."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij")).reshape(4, -1)
    return float(np.linalg.norm((first - second)[:3] @ corners, axis=0).max())


def _directions(affine: np.ndarray) -> np.ndarray:
    """The voxels' axes as unit vectors, in columns [3, 3]."""
    return affine[:3, :3] / voxel_sizes(affine)
