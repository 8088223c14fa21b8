"""Which files score which case: references in any layout, each with the prediction of its name."""
import logging
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from synergynet_tf.data.layouts import RESULTS, Case, discover, first_file, is_scan, key, only, scans, stem
from synergynet_tf.data.layouts.leftovers import leftovers
from synergynet_tf.errors import InputError, printable

log = logging.getLogger(__name__)

NAMED = 5           # of many, in a line
MANIFEST = "manifest.csv"


class Pair(NamedTuple):
    """The files that score one case."""

    case: str
    patient: str
    reference: pathlib.Path
    prediction: pathlib.Path | None             # none: the map above 1/2
    probability: pathlib.Path | None
    reference2: pathlib.Path | None = None      # another rater's mask, where the reference is made of both
    combine: str | None = None                  # how: union or intersection
    source: str = ""                            # of the data that it is of, where that is said

    def absolute(self) -> "Pair":
        """The same files for a process that works in another folder."""
        paths: dict[str, Any] = {name: value.absolute() for name, value in self._asdict().items()
                                 if isinstance(value, pathlib.Path)}
        return self._replace(**paths)


def find_pairs(reference: pathlib.Path, prediction: pathlib.Path, split: str | None = None,
               raters: str = "first") -> list[Pair]:
    """The files of every case of a reference, in the order of the cases' names.

    Args:
        reference: CSV manifest, folder with a manifest.csv, folder of masks `<case>.nii.gz`, folder of case folders
            `<case>/lesions.nii.gz`, or any other layout of `data.layouts`; cases without a mask are then left out.
        prediction: folder with `<case>_mask.nii.gz`, and `<case>_probability.nii.gz` where there is one; or `<case>.nii.gz`.
            The first is taken where a case has both; the map alone will do. `.nii` is read too.
        split: keep the manifest's rows of this split only.
        raters: whose mask is the reference where two have drawn one, as `layouts.choose_raters` takes it.

    What belongs to no case is named in the log.

    Raises:
        InputError: nothing to score, or a file is missing; all that are missing are named. Or two files could be one.
    """
    if not prediction.is_dir():
        raise InputError(f"--prediction is {prediction}, but that is not a folder: name the folder that holds the predictions")
    known = _references(reference, split, raters)
    return pairs_of([case for case in known.values() if split in (None, case.split)], prediction, known)


def pairs_of(cases: Iterable[Case], prediction: pathlib.Path, known: Iterable[str] | None = None) -> list[Pair]:
    """The files of these cases, each with a mask, in the order of their names, as `find_pairs`.

    Args:
        cases: each with a reference mask.
        prediction: folder of the predictions.
        known: names of all cases, where what belongs to none of them is to be named in the log.

    Raises:
        InputError: a prediction is missing, and all that are missing are named; or two files could be one.
    """
    references, files = {case.name: case for case in cases}, scans(prediction)
    masks = {case: _first(files, (f"{case}_mask", case)) for case in references}
    maps = {case: _first(files, (f"{case}_probability",)) for case in references}
    missing = [case for case in references if masks[case] is None and maps[case] is None]
    if missing:
        raise InputError(f"{prediction} has no prediction for {len(missing)} of {len(masks)} cases: {', '.join(missing)}; "
                         "write each as <case>_mask.nii.gz or <case>.nii.gz")
    expected = files if known is None else {key(name + end) for name in known for end in ("", *RESULTS)}
    log_names(f"{prediction}: {{}} belong to no case of the reference: {{}}",
         [path.name for name, paths in files.items() if name not in expected for path in paths], "file", "files")
    return [Pair(name, case.patient, case.lesions, masks[name], maps[name], case.lesions2, case.combine, case.source)
            for name, case in sorted(references.items()) if case.lesions]


def pairs_of_sources(cases: Sequence[Case], prediction: pathlib.Path, known: Iterable[str] | None = None) -> list[Pair]:
    """Another tool's files of these cases, as `pairs_of`: of each source those of all its cases, or none.

    Raises:
        InputError: as `pairs_of`; of a source that the tool was run on, every case is needed.
    """
    files = scans(prediction)
    begun = {case.source for case in cases if any(key(case.name + end) in files for end in ("", *RESULTS))}
    return pairs_of([case for case in cases if case.source in begun or not begun], prediction, known)


def _first(files: dict[str, list[pathlib.Path]], stems: Sequence[str]) -> pathlib.Path | None:
    """The file of the first of these names that there is. Raises InputError where it has two suffixes."""
    return next((only(files[key(name)], f"{name}, which is to be scored") for name in stems if key(name) in files), None)


def log_names(line: str, names: Iterable[str], singular: str, plural: str) -> None:
    """Log one line with the number of things and the first of their names; nothing where there are none."""
    names = [printable(name) for name in names]
    if names:
        shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        log.warning("%s", line.format(f"{len(names)} {singular if len(names) == 1 else plural}", shown))


def _references(reference: pathlib.Path, split: str | None, raters: str) -> dict[str, Case]:
    """The cases of a reference by name, each with a mask, but those of other splits, which may lack it."""
    if reference.is_file() or (reference / MANIFEST).is_file():
        return _manifest_references(reference, split, raters)
    if not reference.is_dir():
        raise InputError(f"--reference is {reference}, but that is neither a folder nor a CSV manifest: name one that exists")
    if split is not None:
        raise InputError(f"--split is {split!r}, but the folder {reference} has no {MANIFEST}: only a manifest has splits")
    masks = _folder_references(reference)
    return {name: Case(name, name, "", {}, mask, None) for name, mask in masks.items()} or _layout_references(reference, raters)


def _folder_references(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Masks by case, lying in the folder or in its cases' folders; empty where the folder is laid out otherwise."""
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    masks = [(stem(path), path) for path in inside if is_scan(path)]
    if "flair" in (key(name) for name, _ in masks):      # a case's own folder
        return {}
    if masks:
        if left := leftovers(folder, [Case(name, name, "", {}, mask, None) for name, mask in masks]):
            log.warning("%s", left)
    else:
        cases = {path.name: first_file(path, ("lesions",)) for path in inside if path.is_dir()}
        masks = [(case, mask) for case, mask in cases.items() if mask is not None]
        if masks:
            log_names(f"{folder}: {{}} without lesions.nii.gz: {{}}", (case for case in cases if not cases[case]), "folder",
                       "folders")
    named: dict[str, pathlib.Path] = {}
    for case, mask in masks:
        other = named.setdefault(key(case), mask)
        if other != mask:
            raise InputError(f"case {case} has two reference masks, {other} and {mask}: keep one")
    return dict(masks)


def _layout_references(folder: pathlib.Path, raters: str) -> dict[str, Case]:
    """The cases of a published data set that have a mask: its test part may have none."""
    try:
        cases = discover(folder, channels=(), raters=raters)
    except InputError as error:
        raise InputError(f"{folder} holds neither masks (<case>.nii.gz) nor case folders (<case>/lesions.nii.gz), nor a data set "
                         f"that can be used: {error}") from None
    with_mask = {case.name: case for case in cases if case.lesions is not None}
    if not with_mask:
        raise InputError(f"{folder} holds {len(cases)} cases, but none has a reference mask: there is nothing to score")
    log_names(f"{folder}: {{}} without a reference mask, not scored: {{}}",
         (case.name for case in cases if case.name not in with_mask),
         "case", "cases")
    return with_mask


def _manifest_references(manifest: pathlib.Path, split: str | None, raters: str) -> dict[str, Case]:
    every = discover(manifest, "manifest", channels=(), raters=raters)
    cases = [case for case in every if split in (None, case.split)]
    if not cases:
        raise InputError(f"{manifest} has no case whose split is {split!r}: there is nothing to score")
    missing = [case.name for case in cases if case.lesions is None]
    if missing:
        raise InputError(f"{manifest} names no reference mask (column lesions) for {', '.join(missing)}: "
                         "add it, or take these rows out")
    return {case.name: case for case in every}
