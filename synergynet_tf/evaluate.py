"""Score predictions against reference masks: `python -m synergynet_tf.evaluate --reference ... --prediction ...`.

The predictions may be any tool's: all that is read is NIfTI.
"""
import argparse
import pathlib
import sys
from collections.abc import Sequence

from synergynet_tf.config import arguments
from synergynet_tf.data.layouts import RATERS
from synergynet_tf.data.layouts.sources import sources
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.processes import MANY, cores
from synergynet_tf.storage.files import claim
from synergynet_tf.workflows.pairs import Pair, find_pairs


@command
def main(argv: list[str] | None = None) -> None:
    """Score every case of the reference, write scores.csv, sizes.csv, scores.md and scores.json, and print the table."""
    options = _parser().parse_args(argv)
    from synergynet_tf.metrics.lesion import LesionRule
    from synergynet_tf.workflows import scoring

    pairs = find_pairs(options.reference, options.prediction, options.split, options.raters)
    out = options.out or options.prediction
    claim("--out", [out / name for name in scoring.SCORES], _read(pairs, options))
    rule = LesionRule(options.connectivity, options.overlap, options.min_lesion)
    if options.cluster:
        scores = list(scoring.score_shared(pairs, rule, options.workers or cores(), options.cluster))
    else:
        scores = scoring.score_usable(pairs, rule, options.workers)
    scoring.write_scores(scores, rule, out)
    scoring.print_scores(scores, rule, out)
    scored = {score.case for score in scores}
    if missing := [pair.case for pair in pairs if pair.case not in scored]:
        raise InputError(f"{len(missing)} of {len(pairs)} cases could not be scored: {', '.join(missing)}; "
                         f"{out} holds the scores of the others")


def _read(pairs: Sequence[Pair], options: argparse.Namespace) -> list[pathlib.Path]:
    """What must not be written: the files of the pairs, the manifest, and the references' folder where another is named."""
    files = [path for pair in pairs for path in (pair.reference, pair.reference2, pair.prediction, pair.probability) if path]
    return [*files, *(path for path in sources(options.reference) if options.out or path.is_file())]


def _parser() -> argparse.ArgumentParser:
    parser = arguments.Parser(prog="python -m synergynet_tf.evaluate",
                              description="Score predicted lesion masks against reference masks.")
    parser.add_argument("--reference", type=arguments.path, required=True, metavar="FOLDER_OR_MANIFEST",
                        help="folder of masks <case>.nii.gz, folder of case folders <case>/lesions.nii.gz, a CSV manifest "
                             "or a folder with one (columns patient, session, flair, lesions, split; paths relative to it; "
                             "the case is <patient>_<session>), or a data set in any other layout that "
                             "`python -m synergynet_tf.prepare --help` names")
    parser.add_argument("--prediction", type=arguments.path, required=True, metavar="FOLDER",
                        help="folder with <case>_mask.nii.gz and, for AP, <case>_probability.nii.gz; or any tool's <case>.nii.gz")
    parser.add_argument("--raters", choices=RATERS, default="first", help="whose mask is the reference where two have drawn one: "
                        "first, second, their union or intersection, or both, each against a prediction <case>_r1, <case>_r2; "
                        "default first")
    parser.add_argument("--split", help="score only the manifest's rows of this split: train, validation or test")
    parser.add_argument("--connectivity", type=int, choices=(6, 18, 26), default=18,
                        help="what one lesion is: voxels sharing a face (6), or an edge (18), or a corner (26); default 18")
    parser.add_argument("--overlap", type=arguments.share, default=0.0, metavar="SHARE",
                        help="share of a lesion's voxels that the other mask must hold for it to be found (or true), 0 to 1; "
                             "default 0: any touch")
    parser.add_argument("--min-lesion", type=arguments.volume, default=0.0, metavar="MM3",
                        help="lesions smaller than this are not counted, on either side; default 0: all are")
    parser.add_argument("--out", type=arguments.path, metavar="DIR",
                        help="folder for scores.csv, sizes.csv, scores.md and scores.json; default: that of the predictions")
    parser.add_argument("--workers", type=arguments.workers, metavar="N",
                        help=f"processes; default: one a core, or one in all for fewer than {MANY} cases")
    parser.add_argument("--cluster", type=arguments.text, metavar="ADDRESS",
                        help="share the cases among --workers processes of a Ray cluster (extra [cluster]): HOST:PORT, auto for "
                             "the one that this machine is of, or local; cases that cannot be scored are named and left out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
