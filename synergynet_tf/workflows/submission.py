"""Masks under the names of the ISBI 2015 challenge.

The challenge's own instructions stand behind its registration (smart-stats-tools.org/lesion-challenge-2015). The names are those
that nnU-Net writes for its submission, test01_01_nnUNet.nii: version 1 of github.com/MIC-DKFZ/nnUNet,
nnunet/dataset_conversion/Task035_ISBI_MSLesionSegmentationChallenge.py, `convert_for_submission`.
"""
import pathlib
from collections.abc import Sequence

from synergynet_tf.data.layouts import Case, discover, first_file
from synergynet_tf.errors import InputError


def test_scans(path: pathlib.Path) -> list[Case]:
    """The challenge's test scans at a path, by name.

    Raises:
        InputError: there are none.
    """
    cases = [case for case in discover(path, "isbi2015", raters=None) if case.patient.startswith("test")]
    if not cases:
        raise InputError(f"--data is {path}, but its patients are all of the training part: name the folder of test01, test02")
    return cases


def find_masks(cases: Sequence[Case], folder: pathlib.Path) -> list[pathlib.Path]:
    """The mask of each case, `<case>_mask.nii.gz` or .nii.

    Raises:
        InputError: any is missing; all are named.
    """
    masks = {case.name: first_file(folder, (f"{case.name}_mask",)) for case in cases}
    missing = [name for name, mask in masks.items() if mask is None]
    if missing:
        raise InputError(f"{folder} has no <case>_mask.nii.gz for {len(missing)} of {len(cases)} scans: {', '.join(missing)}; "
                         "segment them with `python -m synergynet_tf.predict` first")
    return [mask for mask in masks.values() if mask is not None]


def export(case: Case, mask: pathlib.Path, path: pathlib.Path) -> None:
    """Write a mask as uint8 (0 and 1) on the grid and with the header of the case's FLAIR file.

    Raises:
        InputError: a file cannot be read or written, the mask is not binary, or its grid is not the scan's.
    """
    import numpy as np

    from synergynet_tf.data import nifti

    scan, predicted = nifti.read(case.images["flair"], finite=False), nifti.read_mask(mask)
    nifti.check_same_grid(scan, predicted)
    nifti.write_like(path, predicted.array, scan, np.uint8)
