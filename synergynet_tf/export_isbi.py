"""Predictions under the names of the ISBI 2015 challenge: `python -m synergynet_tf.export_isbi --data ... --predictions ...`.

The challenge's own instructions stand behind its registration (smart-stats-tools.org/lesion-challenge-2015). The names are those
that nnU-Net writes for its submission, test01_01_nnUNet.nii: version 1 of github.com/MIC-DKFZ/nnUNet,
nnunet/dataset_conversion/Task035_ISBI_MSLesionSegmentationChallenge.py, `convert_for_submission`.
"""
import argparse
import pathlib
import re
import sys
from collections.abc import Sequence

from synergynet_tf import arguments, progress
from synergynet_tf.data.layouts import Case, discover, first_file
from synergynet_tf.data.layouts.sources import sources
from synergynet_tf.errors import InputError, command
from synergynet_tf.files import claim

DESCRIPTION = """Write the masks that `synergynet_tf.predict` has made of the ISBI 2015 challenge's test scans under the names of
a submission: uncompressed NIfTI files test01_01_NAME.nii of 0 and 1 on the scans' own grid, one a scan. Every scan found must
have its mask; nothing is written before that is sure."""


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    given = _parser().parse_args(argv)
    if not re.fullmatch("[A-Za-z0-9]+", given.name):
        raise InputError(f"--name is {given.name!r}, but it must be letters and digits: it is the last part of each file's name")
    scans = test_scans(given.data)
    masks = find_masks(scans, given.predictions)
    files = [given.out / f"{case.name}_{given.name}.nii" for case in scans]
    claim("--out", files, [*sources(given.data, scans), *masks])
    with progress.bar("writing", len(scans)) as advance:
        for case, mask, path in zip(scans, masks, files):
            export(case, mask, path)
            advance()
    print(f"{len(scans)} masks are in {given.out}")


def test_scans(path: pathlib.Path) -> list[Case]:
    """The challenge's test scans at a path, by name. Raises InputError where there are none."""
    cases = [case for case in discover(path, "isbi2015", raters=None) if case.patient.startswith("test")]
    if not cases:
        raise InputError(f"--data is {path}, but its patients are all of the training part: name the folder of test01, test02")
    return cases


def find_masks(cases: Sequence[Case], folder: pathlib.Path) -> list[pathlib.Path]:
    """The mask of each case, `<case>_mask.nii.gz` or .nii. Raises InputError where any is missing; all are named."""
    found = [first_file(folder, (f"{case.name}_mask",)) for case in cases]
    missing = [case.name for case, mask in zip(cases, found) if mask is None]
    if missing:
        raise InputError(f"{folder} has no <case>_mask.nii.gz for {len(missing)} of {len(cases)} scans: {', '.join(missing)}; "
                         "segment them with `python -m synergynet_tf.predict` first")
    return found


def export(case: Case, mask: pathlib.Path, path: pathlib.Path) -> None:
    """Write a mask as uint8 (0 and 1) on the grid and with the header of the case's FLAIR file.

    Raises InputError where a file cannot be read or written, the mask is not binary, or its grid is not the scan's.
    """
    import numpy as np

    from synergynet_tf.data import nifti

    scan, predicted = nifti.read(case.images["flair"], finite=False), nifti.read_mask(mask)
    nifti.check_same_grid(scan, predicted)
    nifti.write_like(path, predicted.array, scan, np.uint8)


def _parser() -> argparse.ArgumentParser:
    parser = arguments.Parser(prog="python -m synergynet_tf.export_isbi", description=DESCRIPTION)
    parser.add_argument("--data", type=arguments.path, required=True, metavar="DIR",
                        help="the challenge's test part: the folder of test01, test02, ...")
    parser.add_argument("--predictions", type=arguments.path, required=True, metavar="DIR",
                        help="what predict was given as --out")
    parser.add_argument("--out", type=arguments.path, required=True, metavar="DIR", help="folder for the files; made if absent")
    parser.add_argument("--name", default="synergynet", help="of your tool, in the files' names (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
