"""Score predictions against reference masks: `python -m synergynet_tf.evaluate --reference ... --prediction ...`.

The predictions may be any tool's: all that is read is NIfTI.
"""
import argparse
import functools
import json
import os
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from synergynet_tf import progress
from synergynet_tf.data.layouts import SUFFIXES, Case, discover, first_file
from synergynet_tf.errors import InputError, command
from synergynet_tf.files import replace_file

if TYPE_CHECKING:
    from synergynet_tf.metrics.scores import CaseScores

MANIFEST = "manifest.csv"
MANY_CASES = 4      # from here on processes are started: each needs a second or two to begin


class Pair(NamedTuple):
    """The files that score one case."""

    case: str
    reference: pathlib.Path
    prediction: pathlib.Path
    probability: pathlib.Path | None
    reference2: pathlib.Path | None = None      # another rater's mask, where the reference is made of both
    combine: str | None = None                  # how: union or intersection


@command
def main(argv: list[str] | None = None) -> None:
    """Score every case of the reference, write scores.csv, scores.md and scores.json, and print the table."""
    given = _parser().parse_args(argv)
    pairs = find_pairs(given.reference, given.prediction, given.split)
    out = given.out or given.prediction
    _make_folder(out)
    scores = score_pairs(pairs, given.connectivity, given.workers)
    _report(scores, given.connectivity, out)


def score_files(reference: str | os.PathLike, prediction: str | os.PathLike, probability: str | os.PathLike | None = None, *,
                connectivity: int = 18, case: str = "", reference2: str | os.PathLike | None = None,
                combine: str | None = None) -> "CaseScores":
    """Score one NIfTI mask against another, and a probability map where there is one.

    Orientations may differ (all are read as RAS+), grids may not. Volumes are in ml by the reference's voxel size. With
    `reference2`, another rater's mask, the reference is what `combine` makes of the two: their union or intersection.

    Raises:
        InputError: a file cannot be read, a mask is not binary, grids differ, or a number is not finite.
    """
    from synergynet_tf.data import nifti
    from synergynet_tf.metrics.scores import score_case

    annotated, predicted = nifti.read_reference(reference, reference2, combine), nifti.read_mask(prediction)
    nifti.check_same_grid(annotated, predicted)
    scores = None
    if probability is not None:
        volume = nifti.read(probability)
        nifti.check_same_grid(annotated, volume)
        scores = volume.array
    return score_case(annotated.array, predicted.array, scores, spacing=annotated.spacing, connectivity=connectivity, case=case)


def find_pairs(reference: pathlib.Path, prediction: pathlib.Path, split: str | None = None) -> list[Pair]:
    """The files of every case of a reference, in the order of the cases' names.

    Args:
        reference: CSV manifest, folder with a manifest.csv, folder of masks `<case>.nii.gz`, or folder of case folders
            `<case>/lesions.nii.gz`.
        prediction: folder with `<case>_mask.nii.gz`, and `<case>_probability.nii.gz` where there is one; or `<case>.nii.gz`.
            The first is taken where a case has both. `.nii` is read too.
        split: keep the manifest's rows of this split only.

    Raises:
        InputError: nothing to score, or a file is missing; all that are missing are named.
    """
    if not prediction.is_dir():
        raise InputError(f"--prediction is {prediction}, but that is not a folder: name the folder that holds the predictions")
    references = _references(reference, split)
    found = {case: first_file(prediction, (f"{case}_mask", case)) for case in references}
    missing = [case for case, path in found.items() if path is None]
    if missing:
        raise InputError(f"{prediction} has no prediction for {len(missing)} of {len(found)} cases: {', '.join(missing)}; "
                         "write each as <case>_mask.nii.gz or <case>.nii.gz")
    return [Pair(name, case.lesions, found[name], first_file(prediction, (f"{name}_probability",)), case.lesions2, case.combine)
            for name, case in sorted(references.items())]


def score_pairs(pairs: Sequence[Pair], connectivity: int = 18, workers: int | None = None) -> "list[CaseScores]":
    """Score the pairs, in their order, in `workers` processes (none: one a core if there are several cases), showing progress.

    Raises:
        InputError: as `score_files`; the first in the order of the pairs, and what has not begun is not scored.
    """
    if workers is None:
        workers = min(os.cpu_count() or 1, len(pairs)) if len(pairs) >= MANY_CASES else 1
    if workers == 1:
        return list(_with_progress(map(functools.partial(_score_pair, connectivity=connectivity), pairs), len(pairs)))
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    executor = ProcessPoolExecutor(workers, get_context("spawn"))   # spawn: the caller may hold TensorFlow's threads
    try:
        futures = [executor.submit(_score_pair, pair, connectivity) for pair in pairs]
        return list(_with_progress((future.result() for future in futures), len(pairs)))
    except BrokenProcessPool:
        raise InputError(f"one of {workers} scoring processes was ended from outside, for want of memory as a rule: "
                         "use --workers 1") from None
    finally:
        executor.shutdown(cancel_futures=True)


def _score_pair(pair: Pair, connectivity: int) -> "CaseScores":
    return score_files(pair.reference, pair.prediction, pair.probability, connectivity=connectivity, case=pair.case,
                       reference2=pair.reference2, combine=pair.combine)


def _with_progress(scores: "Iterable[CaseScores]", total: int) -> "Iterable[CaseScores]":
    """Pass the scores on behind a bar."""
    with progress.bar("scoring", total) as advance:
        for score in scores:
            advance()
            yield score


def _references(reference: pathlib.Path, split: str | None) -> dict[str, Case]:
    """The cases of a reference by name, each with a mask."""
    if reference.is_file() or (reference / MANIFEST).is_file():
        return _manifest_references(reference, split)
    if not reference.is_dir():
        raise InputError(f"--reference is {reference}, but that is neither a folder nor a CSV manifest: name one that exists")
    if split is not None:
        raise InputError(f"--split is {split!r}, but the folder {reference} has no {MANIFEST}: only a manifest has splits")
    return {name: Case(name, name, "", {}, mask, None) for name, mask in _folder_references(reference).items()}


def _folder_references(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    inside = sorted(folder.iterdir())
    masks = [(_stem(path), path) for path in inside if path.is_file() and path.name.endswith(SUFFIXES)]
    if not masks:
        cases = ((path.name, first_file(path, ("lesions",))) for path in inside if path.is_dir())
        masks = [(case, mask) for case, mask in cases if mask is not None]
    if not masks:
        raise InputError(f"{folder} holds neither masks (<case>.nii.gz) nor case folders (<case>/lesions.nii.gz): "
                         "there is nothing to score")
    named: dict[str, pathlib.Path] = {}
    for case, mask in masks:
        if named.setdefault(case, mask) != mask:
            raise InputError(f"case {case} has two reference masks, {named[case]} and {mask}: keep one")
    return named


def _manifest_references(manifest: pathlib.Path, split: str | None) -> dict[str, Case]:
    cases = [case for case in discover(manifest, "manifest", channels=()) if split in (None, case.split)]
    if not cases:
        raise InputError(f"{manifest} has no case whose split is {split!r}: there is nothing to score")
    missing = [case.name for case in cases if case.lesions is None]
    if missing:
        raise InputError(f"{manifest} names no reference mask (column lesions) for {', '.join(missing)}: "
                         "add it, or take these rows out")
    return {case.name: case for case in cases}


def _stem(path: pathlib.Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _make_folder(folder: pathlib.Path) -> None:
    """Make the folder; one that cannot be written should stop the command before the work, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out is {folder}, but that folder cannot be made ({error.strerror}): name another") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"the scores go to {folder}, but that folder cannot be written: name another as --out")


def _report(scores: "list[CaseScores]", connectivity: int, out: pathlib.Path) -> None:
    from rich.console import Console

    from synergynet_tf.report import tables

    content = json.dumps(tables.as_json(scores, connectivity), indent=2, allow_nan=False) + "\n"
    texts = {"csv": tables.comma_separated(scores, connectivity), "md": tables.markdown(scores, connectivity), "json": content}
    for kind, text in texts.items():
        replace_file(out / f"scores.{kind}", text.encode("utf-8"))
    console = Console()
    console.print(tables.terminal(scores, connectivity))
    console.print(f"scores.csv, scores.md and scores.json are in {out}", markup=False, highlight=False, soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m synergynet_tf.evaluate",
                                     description="Score predicted lesion masks against reference masks.")
    parser.add_argument("--reference", type=pathlib.Path, required=True, metavar="FOLDER_OR_MANIFEST",
                        help="folder of masks <case>.nii.gz, folder of case folders <case>/lesions.nii.gz, or a CSV manifest "
                             "or a folder with one (columns patient, session, flair, lesions, split; paths relative to it; "
                             "the case is <patient>_<session>)")
    parser.add_argument("--prediction", type=pathlib.Path, required=True, metavar="FOLDER",
                        help="folder with <case>_mask.nii.gz and, for AP, <case>_probability.nii.gz; or any tool's <case>.nii.gz")
    parser.add_argument("--split", help="score only the manifest's rows of this split: train, validation or test")
    parser.add_argument("--connectivity", type=int, choices=(6, 18, 26), default=18,
                        help="what one lesion is: voxels sharing a face (6), or an edge (18), or a corner (26); default 18")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR",
                        help="folder for scores.csv, scores.md and scores.json; default: that of the predictions")
    parser.add_argument("--workers", type=_positive, metavar="N",
                        help=f"processes; default: one a core, or one in all for fewer than {MANY_CASES} cases")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
