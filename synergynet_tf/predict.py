"""Segment scans: `python -m synergynet_tf.predict --run RUN --out DIR INPUT...`."""
import argparse
import pathlib
import sys
from collections.abc import Sequence

from synergynet_tf.config import arguments
from synergynet_tf.data.dicom.files import is_dicom
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.entry import command
from synergynet_tf.storage.files import make_folder
from synergynet_tf.workflows import networks
from synergynet_tf.workflows.inputs import names_scan

DESCRIPTION = """Segment MS lesions in FLAIR scans, skull-stripped or raw, with the network that ships or one of your own."""
EPILOG = """For each case three files are written, on the FLAIR scan's own grid: <case>_mask.nii.gz (0 and 1),
<case>_probability.nii.gz and <case>_lesions.json, which lists every predicted lesion with its place, size and
score. cases.csv and lesions.csv hold a row for each scan and each lesion of all that is in DIR. With --picture there is also
<case>.png, with --report a folder report that opens in a browser, and for raw scans, and those from
`prepare --raw`, <case>_mask_native.nii.gz, in the raw FLAIR's own space.

A scan that cannot be used is named on stderr, and the others are still segmented. The exit status is 0 if all
were segmented, 2 if any was not."""



@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    options = _parser().parse_args(argv)
    options.run = networks.resolve_runs(options.run)
    _check_arguments(options)
    make_folder(options.out, "--out")
    from synergynet_tf.workflows.predicting import predict

    predict(options)


def _check_arguments(options: argparse.Namespace) -> None:
    if not options.input and not options.split:
        raise InputError("no INPUT is given; name FLAIR files, folders or manifests, or take a split of the run (--split test)")
    if options.split and options.input:
        raise InputError(f"--split is {options.split}, but INPUT is {_joined(options.input)}: --split takes the run's own cases; "
                         "give one or the other")
    if options.raters and not options.picture:
        raise InputError(f"--raters is {options.raters}, but it says whose reference is drawn: add --picture, or leave it out")
    if options.memory_budget is not None and options.coverage:
        raise InputError(f"--coverage is {options.coverage}, but --memory-budget chooses it: give one or the other")
    if options.t2 and not (len(options.input) == 1 and names_scan(options.input[0])):
        raise InputError(f"--t2 is {options.t2}, but INPUT is {_joined(options.input)}: --t2 goes with one FLAIR file; "
                         "name that one")
    if options.t2 and (not options.t2.is_file() or options.t2.resolve() == options.input[0].resolve()):
        raise InputError(f"{options.t2}: {'is given as the FLAIR too' if options.t2.is_file() else 'no such file'}; check --t2")
    if options.cluster and not options.workers:
        raise InputError(f"--cluster is {options.cluster}, but it is for --workers: say how many are to share the cases")
    for option, value in (("--series", options.series), ("--dicom", options.dicom)):
        if value and not any(map(is_dicom, options.input)):
            raise InputError(f"{option} is given, but INPUT is {_joined(options.input)}, no DICOM study: leave it out")
    for run in options.run:
        networks.require_run(run, options.weights)


def _joined(paths: Sequence[pathlib.Path]) -> str:
    return " ".join(str(path) for path in paths) or "absent"


def _parser() -> argparse.ArgumentParser:
    parser = arguments.Parser(prog="python -m synergynet_tf.predict", description=DESCRIPTION, epilog=EPILOG,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="*", type=arguments.path, metavar="INPUT",
                        help="FLAIR files, folders of cases, CSV manifests, DICOM studies (a folder or zip file each; extra "
                             "[dicom]), in any number; of a network with more channels: <case>_flair.nii.gz, beside which "
                             "<case>_t2.nii.gz lies")
    networks.add_arguments(parser)
    parser.add_argument("--out", type=arguments.path, required=True, metavar="DIR", help="folder for the results; made if absent")
    parser.add_argument("--t2", type=arguments.path, metavar="FILE",
                        help="the T2 scan that goes with a single FLAIR file, if the network was trained with T2")
    parser.add_argument("--series", type=arguments.text, metavar="NUMBER_OR_TEXT",
                        help="of a DICOM study: the series that is the FLAIR, by its number or a part of its description "
                             "(default: seen by its header, and said)")
    parser.add_argument("--dicom", action="store_true",
                        help="of DICOM studies also write <case>_seg.dcm and <case>_report.dcm for the PACS: a DICOM "
                             "Segmentation, and a structured report (TID 1500) of the lesions' number and volume")
    parser.add_argument("--as", dest="how", choices=("prepared", "raw"), default="auto",
                        help="what the scans are; without it, one with its skull on, or on slices of more than 3 mm, is taken "
                             "for raw and brought to the network's space first, in DIR/prepared (extra [prepare])")
    parser.add_argument("--strict", action="store_true",
                        help="refuse scans whose noise, detail, contrast, sharpness, slices, field of view or motion is worse "
                             "than in the scans that the network was trained on (default: segment them, with a note)")
    parser.add_argument("--split", choices=("train", "validation", "test"),
                        help="instead of INPUT: the (first) run's own cases of this split")
    parser.add_argument("--memory-budget", type=arguments.number(0, inner=True), metavar="GB",
                        help="take no more memory: the whole brain at once if it fits, else the largest windows that do "
                             "(GB of 2**30 bytes, the whole process)")
    parser.add_argument("--report", action="store_true",
                        help="also write report/index.html, which opens offline: a page a case with its lesions in a viewer, and "
                             "for several scans of a patient on one grid the new, enlarged, shrunk and resolved lesions")
    parser.add_argument("--bids", type=arguments.path, metavar="DIR",
                        help="also write the masks as a BIDS derivative into this folder, which holds nothing else")
    parser.add_argument("--picture", action="store_true", help="also draw each case, its lesions outlined, as <case>.png")
    parser.add_argument("--resume", action="store_true",
                        help="leave out the cases of which --out holds all files, of this network with these settings")
    parser.add_argument("--workers", type=arguments.workers, metavar="N",
                        help="share the cases among N processes, each with the network (extra [cluster]: Ray)")
    parser.add_argument("--cluster", type=arguments.text, metavar="ADDRESS",
                        help="with --workers: the Ray cluster that they run on, HOST:PORT, or auto for the one that this machine "
                             "is of; scans, run and --out must be there under the same paths (default: this machine)")
    parser.add_argument("--raters", choices=("first", "second", "union", "intersection"),
                        help="with --picture: whose reference is drawn where two have made one (default: the run's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
