"""`python -m synergynet_tf.prepare`: check a cohort, fill the cache that training reads, and list the cases."""
import argparse
import pathlib
import sys

from synergynet_tf.config import arguments, command_line
from synergynet_tf.data import layouts
from synergynet_tf.data.raw.config import RawConfig
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.entry import command

DESCRIPTION = f"""Check every scan of a cohort, prepare it for training, and list the cases.

Training does this itself where it finds nothing prepared; this command does it beforehand and shows what is there. Scans are
skull-stripped, registered to one grid per case, near 1 mm. With --check nothing is prepared: every file is read once, and every
problem of every case is listed. The layouts: {layouts.describe()}.
With --raw the scans may be as they left the scanner, with skull, in any orientation and thickness; see docs/raw.md.
"""


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    config, options = command_line.parse(argv, DESCRIPTION, _add_arguments, groups={"steps": RawConfig})
    if config.data.path is None:
        raise InputError("data.path is not set: name a folder of scans or a CSV manifest with --data.path")
    if options.raw and options.check:
        raise InputError(f"--raw is {options.raw}, but --check prepares nothing; give one after the other")
    if options.raw and options.preview:
        raise InputError(f"--raw is {options.raw}, but --preview draws what training reads; give one after the other")
    if options.raw:
        from synergynet_tf.workflows import raw_scans

        raw_scans.prepare_raw(config, options)
        return
    folder = (options.preview or pathlib.Path()).resolve().parent
    if options.preview and options.preview.suffix.lower() != ".png":
        raise InputError(f"--preview is {options.preview}, but a picture is written: name it FILE.png")
    if not folder.is_dir():
        raise InputError(f"--preview is {options.preview}, but the folder {folder} does not exist; make it or name another file")
    if options.out and not options.check:
        raise InputError(f"--out is {options.out}, but it is for what --check finds; add --check, or leave it out")
    from synergynet_tf.workflows import preparing

    if options.check:
        preparing.check_cohort(config, options)
    else:
        preparing.prepare(config, options)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="prepare nothing: read every file once and list every problem of "
                        "every case; the exit status is 2 where a training would refuse one, 0 where there are warnings alone")
    parser.add_argument("--out", type=arguments.path, metavar="DIR",
                        help="with --check: write check.csv and a sheet of all cases, check.png, there")
    parser.add_argument("--raw", type=arguments.path, metavar="DIR", help="bring raw scans to the network's space, in this "
                        "folder, which training and prediction then take; finished steps are kept there")
    parser.add_argument("--require-lesions", action="store_true", help="refuse cases without a reference mask")
    parser.add_argument("--workers", type=arguments.workers, help="processes; default: one a core, or one in all for a few cases")
    parser.add_argument("--preview", type=arguments.path, metavar="FILE.png",
                        help="draw what the augmentation makes of a patch: each "
                        "transform alone at its strongest, and random draws of all that is switched on")


if __name__ == "__main__":
    sys.exit(main())
