"""Bias correction: N4 (Tustison et al. 2010), inside the brain."""
import numpy as np
from scipy import ndimage

from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.raw import tools
from synergynet_tf.errors import InputError

STEP_MM = 6.0               # between the voxels that N4 sees; the field is smooth
ITERATIONS = (50, 50, 50)   # at each of three widths of the spline


def log_field(scan: Volume, brain: np.ndarray) -> np.ndarray:
    """The logarithm of the scan's bias field at every `strides`-th voxel: float32 [A, B, C]. `brain` is bool [X, Y, Z].

    The brain's mean is left as it is.

    Raises:
        InputError: N4 fails.
    """
    sitk = tools.load("SimpleITK")
    strides = _strides(scan)
    sparse = tuple(slice(None, None, n) for n in strides)
    affine = scan.affine @ np.diag([*strides, 1])
    array, mask = scan.array[sparse], brain[sparse] & (scan.array[sparse] > 0)      # N4 takes logarithms
    if np.count_nonzero(mask) < 1000:
        raise InputError(f"{scan.path}: only {np.count_nonzero(mask)} of its voxels in the brain are above 0, too few for bias "
                         "correction; check that it shows the FLAIR's brain, or use --steps.bias false")
    image = tools.to_image(array, affine)
    correct = sitk.N4BiasFieldCorrectionImageFilter()
    correct.SetMaximumNumberOfIterations(ITERATIONS)
    try:
        correct.Execute(image, tools.to_image(mask, affine))
        field = tools.to_array(correct.GetLogBiasFieldAsImage(image)).astype(np.float32)
    except RuntimeError as error:
        raise InputError(f"{scan.path}: bias correction fails ({str(error).strip().splitlines()[-1]}); use --steps.bias false") \
            from None
    return field + np.log(np.average(np.exp(-field[mask]), weights=array[mask]))


def corrected(scan: Volume, field: np.ndarray) -> np.ndarray:
    """The scan divided by its bias field (`log_field`, spread by linear interpolation): float32 [X, Y, Z]."""
    strides = _strides(scan)
    spread = ndimage.affine_transform(field, np.diag(1 / np.array(strides)), 0, scan.array.shape, np.float32, 1, mode="nearest")
    return scan.array / np.exp(spread)


def _strides(scan: Volume) -> list[int]:
    return [max(1, round(STEP_MM / mm)) for mm in scan.spacing]
