"""Predictions under the names of the ISBI 2015 challenge: `python -m synergynet_tf.export_isbi --data ... --predictions ...`."""
import argparse
import re
import sys

from synergynet_tf.config import arguments
from synergynet_tf.data.layouts.sources import sources
from synergynet_tf.errors import InputError
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.entry import command
from synergynet_tf.storage.files import claim
from synergynet_tf.workflows.submission import export, find_masks, test_scans

DESCRIPTION = """Write the masks that `synergynet_tf.predict` has made of the ISBI 2015 challenge's test scans under the names of
a submission: uncompressed NIfTI files test01_01_NAME.nii of 0 and 1 on the scans' own grid, one a scan. Every scan found must
have its mask; nothing is written before that is sure."""


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    options = _parser().parse_args(argv)
    if not re.fullmatch("[A-Za-z0-9]+", options.name):
        raise InputError(f"--name is {options.name!r}, but it must be letters and digits: it is the last part of each file's "
                         "name")
    scans = test_scans(options.data)
    masks = find_masks(scans, options.predictions)
    files = [options.out / f"{case.name}_{options.name}.nii" for case in scans]
    claim("--out", files, [*sources(options.data, scans), *masks])
    with progress.bar("writing", len(scans)) as advance:
        for case, mask, path in zip(scans, masks, files):
            export(case, mask, path)
            advance()
    print(f"{len(scans)} masks are in {options.out}")


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
