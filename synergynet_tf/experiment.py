"""`python -m synergynet_tf.experiment`: the paper's comparison on any cohort: train, segment, score, and set side by side.

    <out>/experiment.json                       what the experiment is; a second call must be the same one
    <out>/fold<k>/manifest.csv                  the split
    <out>/fold<k>/<system>/run/                 its training, resumed where it was stopped
    <out>/fold<k>/<system>/predictions/         its masks and maps of the test cases
    <out>/fold<k>_seed<s>/                      the same with another seed (--seeds)
    <out>/scores/<system>/                      as `evaluate` writes them; of another seed <system>_seed<s>
    <out>/tables/*.{md,csv,tex}, figures/*.png, results.md
    <out>/report/index.html                     the same for a browser, with a viewer for each case
"""
import argparse
import dataclasses
import pathlib
import re
import sys
from collections.abc import Sequence

from synergynet_tf.config import arguments, command_line
from synergynet_tf.data.layouts.sources import keep_data_apart
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.storage import locks
from synergynet_tf.storage.files import make_folder, replace_file
from synergynet_tf.storage.names import require_name

COMPARED = ("unet", "mask_rcnn", "ensemble", "synergynet", "lpa")        # in the order of the paper's tables
DESCRIPTION = """Compare systems on one cohort as the paper does: train each, segment the test patients, score, and write
tables (Markdown, CSV, LaTeX) and figures.

The systems: unet, mask_rcnn, synergynet; ensemble (of the trained unet and mask_rcnn, fused after the fact); lpa (a lesion
prediction algorithm in the spirit of LST's: logistic regression on FLAIR and place). Other tools' results join by --predictions.
Stopped, it goes on where it was when the same command is given again. Without --data.path, phantom patients are made.
Where the manifest has a column source, each source is scored by itself too, and all of them together (docs/comparison.md).
"""


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    words = [re.sub("^--data(?==|$)", "--data.path", word) for word in (sys.argv[1:] if argv is None else argv)]
    chosen = any(word.split("=")[0] in ("--data.path", "--config", "--preset") for word in words)
    config, options = command_line.parse(words, DESCRIPTION, _add_arguments, preset=None if chosen else "experiment")
    systems, external = chosen_systems(options.systems), external_systems(options.predictions)
    if options.folds:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, folds=options.folds))
    out = options.out
    keep_data_apart("--out", out, config, external.values())
    make_folder(out, "--out")
    import_tensorflow()
    from rich.console import Console

    from synergynet_tf.metrics.lesion import LesionRule
    from synergynet_tf.workflows import comparing, fitting, fold

    console = Console()
    with locks.held(out, "name another folder with --out"):
        about = comparing.record_of(out, config, options.budget, options.seeds)
        if not config.data.path:
            config = fitting.with_phantoms(config, out, console)
        parts = comparing.divide(config, out)
        comparing.check_external(external, [case for split in parts for case in split.test])
        replace_file(out / "experiment.json", about)    # not before: a refused call must not stand in the corrected one's way
        folds = comparing.make_folds(config, out, parts, options.seeds)
        for each in folds:
            for system in sorted(systems, key="ensemble".__eq__):       # its parts first
                fold.run_system(system, each, options.budget, console)
        rule = LesionRule(config.lesions.connectivity, options.overlap, options.min_lesion)
        comparing.report(folds, systems, external, rule, out)
    console.print(f"{out} holds results.md, tables, figures, scores and report/index.html", markup=False, highlight=False,
                  soft_wrap=True)


def chosen_systems(names: str) -> list[str]:
    """The systems of a list with commas, in the order of the paper's tables.

    Raises:
        InputError: others.
    """
    systems = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in systems if name not in COMPARED]
    if unknown or not systems:
        raise InputError(f"--systems is {names!r}, but it must be of {', '.join(COMPARED)}; other tools join by --predictions")
    if "ensemble" in systems and not {"unet", "mask_rcnn"} <= set(systems):
        raise InputError(f"--systems is {names!r}, but the ensemble is of unet and mask_rcnn: name these too")
    return [name for name in COMPARED if name in systems]


def external_systems(predictions: Sequence[str]) -> dict[str, pathlib.Path]:
    """Other tools' folders by name, from NAME=FOLDER.

    Raises:
        InputError: another form, a taken name or no folder.
    """
    folders: dict[str, pathlib.Path] = {}
    for text in predictions:
        name, equals, path = text.partition("=")
        if not (name and equals and path) or name.split("_seed")[0] in COMPARED or name in folders:
            raise InputError(f"--predictions is {text!r}, but NAME=FOLDER is needed, with a name of its own")
        require_name(f"--predictions is {text!r}, but", name, also=" +")
        folder = arguments.path(path)
        if not folder.is_dir():
            raise InputError(f"--predictions is {text!r}, but {folder} is no folder: name the one that holds its masks")
        folders[name] = folder
    return folders


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=arguments.path, default="runs/experiment",
                        help="folder, made if absent (default: %(default)s)")
    parser.add_argument("--systems", default=",".join(COMPARED), help="what is compared, with commas (default: %(default)s)")
    parser.add_argument("--folds", type=arguments.whole(2, 1000),
                        help="cross-validation by patient of as many folds; every patient is tested once (default: one split)")
    parser.add_argument("--seeds", type=arguments.whole(1, 100), default=1,
                        help="train each system so many times, with train.seed, train.seed + 1 and so on; a patient's scores are "
                             "the means over them (default: %(default)s)")
    parser.add_argument("--predictions", nargs="+", default=[], metavar="NAME=FOLDER",
                        help="another tool's results of the test cases: <case>.nii.gz or <case>_mask.nii.gz, "
                             "<case>_probability.nii.gz; of a source all its cases or none; and times.csv (columns "
                             "case,seconds,peak_gb), if it is known")
    parser.add_argument("--budget", choices=("paper", "equal"), default="paper",
                        help="paper: each stage has its own count of train.epochs, so that the U-Net has the last one; "
                             "equal: every system has all of SynergyNet's epochs (default: %(default)s)")
    parser.add_argument("--overlap", type=arguments.share, default=0.0,
                        help="share of a lesion that must be covered for it to be found (default: any touch)")
    parser.add_argument("--min_lesion", type=arguments.volume, default=0.0,
                        help="mm3: smaller lesions are not counted (default: all are)")


if __name__ == "__main__":
    sys.exit(main())
