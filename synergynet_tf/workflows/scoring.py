"""Scoring masks against references: file by file, pair by pair, in several processes or on a cluster."""
import dataclasses
import functools
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from synergynet_tf.data import nifti
from synergynet_tf.errors import InputError, of_case, print_error, printable
from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import CaseScores, score_case
from synergynet_tf.report import tables
from synergynet_tf.runtime import cluster, progress
from synergynet_tf.runtime.processes import each
from synergynet_tf.storage.files import replace_file
from synergynet_tf.workflows.pairs import Pair

SCORES = ("scores.csv", "sizes.csv", "scores.md", "scores.json")


def score_files(reference: str | os.PathLike[str], prediction: str | os.PathLike[str] | None,
                probability: str | os.PathLike[str] | None = None, *, rule: LesionRule | None = None, case: str = "",
                patient: str | None = None, reference2: str | os.PathLike[str] | None = None,
                combine: str | None = None) -> CaseScores:
    """Score one NIfTI mask against another, and a probability map where there is one; without a mask, the map above 1/2.

    Orientations may differ (all are read as RAS+), grids may not. Volumes are in ml by the reference's voxel size. With
    `reference2`, another rater's mask, the reference is what `combine` makes of the two: their union or intersection.
    `rule` says what one lesion is (none: the default one), `case` and `patient` are the names that the scores carry.

    Raises:
        InputError: a file cannot be read, a mask is not binary, grids differ, or a number is not finite.
    """
    annotated, predicted = nifti.read_reference(reference, reference2, combine), nifti.read_prediction(prediction, probability)
    nifti.check_same_grid(annotated, predicted)
    scores = None
    if probability is not None:
        volume = nifti.read(probability)
        nifti.check_same_grid(annotated, volume)
        scores = volume.array
    return score_case(annotated.array, predicted.array, scores, spacing=annotated.spacing, rule=rule or LesionRule(), case=case,
                      patient=patient)


def score_pairs(pairs: Sequence[Pair], rule: LesionRule | None = None, workers: int | None = None) -> list[CaseScores]:
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


def score_usable(pairs: Sequence[Pair], rule: LesionRule, workers: int | None = None) -> list[CaseScores]:
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


def _outcomes(pairs: Sequence[Pair], rule: LesionRule | None,
              workers: int | None) -> Iterator[tuple[Pair, CaseScores | InputError]]:
    """Each pair, in their order, and its scores or why there are none, behind a bar."""
    with progress.bar("scoring", len(pairs)) as advance:
        for pair, done in each(functools.partial(_try_pair, rule=rule), pairs, workers, "scoring"):
            advance()
            yield pair, of_case(pair.case, done) if isinstance(done, InputError) else done


def _try_pair(pair: Pair, rule: LesionRule | None) -> CaseScores | InputError:
    """A pair's scores, or why there are none, whatever has failed: the others are still to be scored."""
    try:
        return _score_pair(pair, rule)
    except Exception as error:
        return of_case(pair.case, error)


def score_shared(pairs: Sequence[Pair], rule: LesionRule, workers: int, address: str) -> Iterator[CaseScores]:
    """As `score_pairs`, by processes of a Ray cluster. Pairs that cannot be scored are named on stderr and left out.

    Raises:
        InputError: no cluster answers at `address`, or no pair could be scored.
    """
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


def _make_scorer(rule: LesionRule, threads: int) -> Callable[[Pair], CaseScores]:
    return functools.partial(_score_pair, rule=rule)


def _score_pair(pair: Pair, rule: LesionRule | None) -> CaseScores:
    scores = score_files(pair.reference, pair.prediction, pair.probability, rule=rule, case=pair.case, patient=pair.patient,
                         reference2=pair.reference2, combine=pair.combine)
    return dataclasses.replace(scores, source=pair.source)


def write_scores(scores: list[CaseScores], rule: LesionRule, out: pathlib.Path) -> None:
    """Write scores.csv, sizes.csv, scores.md and scores.json into an existing folder.

    Raises:
        InputError: they cannot be.
    """
    content = json.dumps(tables.as_json(scores, rule), indent=2, allow_nan=False) + "\n"
    texts = tables.comma_separated(scores, rule), tables.sizes_comma_separated(scores), tables.markdown(scores, rule), content
    for name, text in zip(SCORES, texts):
        replace_file(out / name, text.encode("utf-8", "backslashreplace"))


def print_scores(scores: list[CaseScores], rule: LesionRule, out: pathlib.Path) -> None:
    """Print the table of the cases, what is said of the cohort, and where the files of `write_scores` are."""
    console = Console()
    console.print(tables.terminal(scores, rule))
    for line in tables.cohort_lines(scores):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"{', '.join(SCORES[:-1])} and {SCORES[-1]} are in {out}", markup=False, highlight=False, soft_wrap=True)
