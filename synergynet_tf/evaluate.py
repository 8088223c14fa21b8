"""Score predictions against reference masks: `python -m synergynet_tf.evaluate --reference ... --prediction ...`.

The predictions may be any tool's: all that is read is NIfTI.
"""
import argparse
import functools
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from synergynet_tf import arguments, progress
from synergynet_tf.data.layouts import RATERS
from synergynet_tf.data.layouts.sources import sources
from synergynet_tf.errors import InputError, command, of_case, print_error, printable
from synergynet_tf.files import claim, replace_file
from synergynet_tf.pairs import Pair, find_pairs
from synergynet_tf.processes import cores, each

if TYPE_CHECKING:
    from synergynet_tf.metrics.lesion import LesionRule
    from synergynet_tf.metrics.scores import CaseScores

SCORES = ("scores.csv", "sizes.csv", "scores.md", "scores.json")
MANY_CASES = 4      # from here on processes are started: each needs a second or two to begin


@command
def main(argv: list[str] | None = None) -> None:
    """Score every case of the reference, write scores.csv, sizes.csv, scores.md and scores.json, and print the table."""
    given = _parser().parse_args(argv)
    from synergynet_tf.metrics.lesion import LesionRule

    pairs = find_pairs(given.reference, given.prediction, given.split, given.raters)
    out = given.out or given.prediction
    claim("--out", [out / name for name in SCORES], _read(pairs, given))
    rule = LesionRule(given.connectivity, given.overlap, given.min_lesion)
    if given.cluster:
        scores = list(score_shared(pairs, rule, given.workers or cores(), given.cluster))
    else:
        scores = score_usable(pairs, rule, given.workers)
    write_scores(scores, rule, out)
    _show(scores, rule, out)
    scored = {score.case for score in scores}
    if missing := [pair.case for pair in pairs if pair.case not in scored]:
        raise InputError(f"{len(missing)} of {len(pairs)} cases could not be scored: {', '.join(missing)}; "
                         f"{out} holds the scores of the others")


def _read(pairs: Sequence[Pair], given: argparse.Namespace) -> list[pathlib.Path]:
    """What must not be written: the files of the pairs, the manifest, and the references' folder where another is named."""
    files = [path for pair in pairs for path in (pair.reference, pair.reference2, pair.prediction, pair.probability) if path]
    return [*files, *(path for path in sources(given.reference) if given.out or path.is_file())]


def score_files(reference: str | os.PathLike, prediction: str | os.PathLike | None,
                probability: str | os.PathLike | None = None, *, rule: "LesionRule | None" = None, case: str = "",
                patient: str | None = None, reference2: str | os.PathLike | None = None,
                combine: str | None = None) -> "CaseScores":
    """Score one NIfTI mask against another, and a probability map where there is one; without a mask, the map above 1/2.

    Orientations may differ (all are read as RAS+), grids may not. Volumes are in ml by the reference's voxel size. With
    `reference2`, another rater's mask, the reference is what `combine` makes of the two: their union or intersection.
    `rule` says what one lesion is (none: the default one), `case` and `patient` are the names that the scores carry.

    Raises:
        InputError: a file cannot be read, a mask is not binary, grids differ, or a number is not finite.
    """
    from synergynet_tf.data import nifti
    from synergynet_tf.metrics.lesion import LesionRule
    from synergynet_tf.metrics.scores import score_case

    annotated, predicted = nifti.read_reference(reference, reference2, combine), nifti.read_prediction(prediction, probability)
    nifti.check_same_grid(annotated, predicted)
    scores = None
    if probability is not None:
        volume = nifti.read(probability)
        nifti.check_same_grid(annotated, volume)
        scores = volume.array
    return score_case(annotated.array, predicted.array, scores, spacing=annotated.spacing, rule=rule or LesionRule(), case=case,
                      patient=patient)


def score_pairs(pairs: Sequence[Pair], rule: "LesionRule | None" = None, workers: int | None = None) -> "list[CaseScores]":
    """Score the pairs, in their order, in `workers` processes (none: one a core if there are several cases), showing progress.

    Raises:
        InputError: as `score_files`; the first in the order of the pairs, and what has not begun is not scored.
    """
    scores = []
    for _, score in _outcomes(pairs, rule, workers):
        if isinstance(score, InputError):
            raise score
        scores.append(score)
    return scores


def score_usable(pairs: Sequence[Pair], rule: "LesionRule", workers: int | None = None) -> "list[CaseScores]":
    """As `score_pairs`, but pairs that cannot be scored are named on stderr and left out.

    Raises:
        InputError: no pair could be scored.
    """
    scores, errors = [], []
    for _, score in _outcomes(pairs, rule, workers):
        if isinstance(score, InputError):
            errors.append(score)
            if len(pairs) > 1:
                print_error(str(score))
        else:
            scores.append(score)
    if not scores:
        raise errors[0] if len(errors) == 1 else InputError(f"none of the {len(pairs)} cases could be scored")
    return scores


def _outcomes(pairs: Sequence[Pair], rule: "LesionRule | None",
              workers: int | None) -> "Iterator[tuple[Pair, CaseScores | InputError]]":
    """Each pair, in their order, and its scores or why there are none, behind a bar."""
    if workers is None:
        workers = min(cores(), len(pairs)) if len(pairs) >= MANY_CASES else 1
    score = functools.partial(_try_pair, rule=rule)
    if workers == 1:
        yield from zip(pairs, _with_progress(map(score, pairs), len(pairs)))
        return
    for pair, done in _with_progress(each(score, pairs, workers, "scoring"), len(pairs)):
        yield pair, of_case(pair.case, done) if isinstance(done, InputError) else done


def _try_pair(pair: Pair, rule: "LesionRule | None") -> "CaseScores | InputError":
    """A pair's scores, or why there are none, whatever has failed: the others are still to be scored."""
    try:
        return _score_pair(pair, rule)
    except Exception as error:
        return of_case(pair.case, error)


def score_shared(pairs: Sequence[Pair], rule: "LesionRule", workers: int, address: str) -> "Iterator[CaseScores]":
    """As `score_pairs`, by processes of a Ray cluster. Pairs that cannot be scored are named on stderr and left out.

    Raises:
        InputError: no cluster answers at `address`, or no pair could be scored.
    """
    from synergynet_tf import cluster

    pairs = [pair.absolute() for pair in pairs]
    with cluster.connected(workers, address), progress.bar("scoring", len(pairs)) as advance:
        scores = {}
        for outcome in cluster.share(functools.partial(_make_scorer, rule), pairs, workers):
            if outcome.error:
                print(printable(f"{'' if outcome.again else 'error: '}{outcome.item.case}: {outcome.error}"), file=sys.stderr)
            else:
                scores[outcome.item.case] = outcome.value
            if not outcome.again:
                advance()
    if not scores:
        raise InputError(f"none of the {len(pairs)} cases could be scored")
    return (scores[pair.case] for pair in pairs if pair.case in scores)


def _make_scorer(rule: "LesionRule", threads: int) -> "Callable[[Pair], CaseScores]":
    return functools.partial(_score_pair, rule=rule)


def _score_pair(pair: Pair, rule: "LesionRule | None") -> "CaseScores":
    return score_files(pair.reference, pair.prediction, pair.probability, rule=rule, case=pair.case, patient=pair.patient,
                       reference2=pair.reference2, combine=pair.combine)


def _with_progress(scores: "Iterable[CaseScores]", total: int) -> "Iterable[CaseScores]":
    """Pass the scores on behind a bar."""
    with progress.bar("scoring", total) as advance:
        for score in scores:
            advance()
            yield score


def write_scores(scores: "list[CaseScores]", rule: "LesionRule", out: pathlib.Path) -> None:
    """Write scores.csv, sizes.csv, scores.md and scores.json into an existing folder. Raises InputError if they cannot be."""
    from synergynet_tf.report import tables

    content = json.dumps(tables.as_json(scores, rule), indent=2, allow_nan=False) + "\n"
    texts = tables.comma_separated(scores, rule), tables.sizes_comma_separated(scores), tables.markdown(scores, rule), content
    for name, text in zip(SCORES, texts):
        replace_file(out / name, text.encode("utf-8", "backslashreplace"))


def _show(scores: "list[CaseScores]", rule: "LesionRule", out: pathlib.Path) -> None:
    from rich.console import Console

    from synergynet_tf.report import tables

    console = Console()
    console.print(tables.terminal(scores, rule))
    for line in tables.cohort_lines(scores):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"scores.csv, sizes.csv, scores.md and scores.json are in {out}", markup=False, highlight=False, soft_wrap=True)


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
                        help=f"processes; default: one a core, or one in all for fewer than {MANY_CASES} cases")
    parser.add_argument("--cluster", type=arguments.text, metavar="ADDRESS",
                        help="share the cases among --workers processes of a Ray cluster (extra [cluster]): HOST:PORT, auto for "
                             "the one that this machine is of, or local; cases that cannot be scored are named and left out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
