"""Train, validation and test: by patient, so that no time point of a patient tested was ever trained on."""
import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synergynet_tf.config import DataConfig
from synergynet_tf.data.layouts import LESIONS, SPLITS, Case, find
from synergynet_tf.errors import InputError
from synergynet_tf.storage.files import replace_file

OPTIONAL = ("lesions2", "combine", "weight", "date", "source")       # columns that are left out where they are empty


@dataclass(frozen=True)
class Split:
    """The cases of each part, each sorted by name."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]


def divide(cases: Sequence[Case], data: DataConfig) -> Split:
    """The split that a configuration asks for: one of `folds`, or that of `split_cases`.

    Raises:
        InputError: as they do.
    """
    if data.folds:
        return folds(cases, data.folds, data.split, data.split_seed)[data.fold]
    return split_cases(cases, data.split, data.split_seed)


def split_cases(cases: Sequence[Case], shares: tuple[float, float, float], seed: int) -> Split:
    """Divide cases among train, validation and test (paper, section 3: 60/20/20).

    A split that the cases bring (a manifest's column) wins. Otherwise patients are shuffled by the seed and dealt out by
    `counts`. The result depends on the patients' names and the seed alone, not on the order of the cases.

    Raises:
        InputError: only some cases bring a split, and where they leave train empty.
    """
    explicit = [case for case in cases if case.split is not None]
    if explicit and len(explicit) < len(cases):
        without = next(case for case in cases if case.split is None)
        raise InputError(f"case {explicit[0].name} has the split {explicit[0].split} but case {without.name} has none; "
                         "give every case a split, or none")
    if explicit:
        part_of = {case.patient: case.split for case in cases}
        if "train" not in part_of.values():
            raise InputError(f"none of the {len(cases)} cases has the split train; give it to some")
    else:
        patients = sorted({case.patient for case in cases}, key=lambda patient: _draw(patient, seed))
        parts = [part for part, n in zip(SPLITS, counts(len(patients), shares)) for _ in range(n)]
        part_of = dict(zip(patients, parts))
    ordered = sorted(cases, key=lambda case: case.name)
    return Split(*(tuple(case for case in ordered if part_of[case.patient] == part) for part in SPLITS))


def folds(cases: Sequence[Case], k: int, shares: tuple[float, float, float], seed: int) -> list[Split]:
    """Divide cases into k splits whose test parts are disjoint and hold every patient once.

    Patients are shuffled by the seed and dealt out in turn, so that the test parts differ by one patient at most. Of a fold's
    other patients, train and validation get what `counts` gives them by the first two shares; the validation patients are those
    that are tested next, so that they too change from fold to fold. The third share has no part in it.

    Raises:
        InputError: there are fewer than 2 folds, fewer patients than folds, or cases that bring a split of their own.
    """
    explicit = next((case for case in cases if case.split is not None), None)
    if explicit:
        raise InputError(f"case {explicit.name} has the split {explicit.split}, but data.folds is {k}: "
                         "empty the manifest's column split, or set data.folds to 0")
    patients = sorted({case.patient for case in cases}, key=lambda patient: _draw(patient, seed))
    if not 2 <= k <= len(patients):
        raise InputError(f"data.folds is {k}, but it must be 2 to the number of patients ({len(patients)}); correct it")
    dealt = [patients[fold::k] for fold in range(k)]
    return [_fold(cases, dealt[fold:] + dealt[:fold], shares) for fold in range(k)]


def _fold(cases: Sequence[Case], dealt: list[list[str]], shares: tuple[float, float, float]) -> Split:
    """The split whose test patients are the first of those dealt out."""
    rest = [patient for patients in dealt[1:] for patient in patients]
    known = shares[0] + shares[1]
    _, validation, _ = counts(len(rest), (shares[0] / known, shares[1] / known, 0))
    part_of = dict.fromkeys(dealt[0], "test") | dict.fromkeys(rest[:validation], "validation")
    ordered = sorted(cases, key=lambda case: case.name)
    return Split(*(tuple(case for case in ordered if part_of.get(case.patient, "train") == part) for part in SPLITS))


def counts(patients: int, shares: tuple[float, float, float]) -> tuple[int, int, int]:
    """How many patients each part gets: the shares rounded by largest remainder, then no requested part left empty.

    With fewer patients than requested parts, the parts get one each in the order train, validation, test: one patient is
    trained on; two give a validation patient but no test (0.6, 0, 0.4: a test patient).
    """
    requested = [i for i, share in enumerate(shares) if share > 0]
    result = [0, 0, 0]
    if patients <= len(requested):
        for i in requested[:patients]:
            result[i] = 1
        return result[0], result[1], result[2]
    exact = [share * patients for share in shares]
    result = [int(n) for n in exact]
    by_remainder = sorted(requested, key=lambda i: result[i] - exact[i])
    for i in by_remainder[:patients - sum(result)]:
        result[i] += 1
    for i in requested:
        if result[i] == 0:
            result[result.index(max(result))] -= 1
            result[i] = 1
    return result[0], result[1], result[2]


def save(split: Split, path: str | Path) -> None:
    """Write the split as a CSV manifest with absolute paths: `layouts.discover` and `split_cases` read it back as it is.

    Where a reference is made of two masks, the columns lesions2 and combine say of which, and how; where cases are drawn more
    often than others, the column weight says so; where scans have dates or sources, the columns date and source.

    Raises:
        InputError: the file cannot be written.
    """
    cases = [(part, case) for part in SPLITS for case in getattr(split, part)]
    channels = sorted({channel for _, case in cases for channel in case.images})
    rows = [_row(part, case, channels) for part, case in cases]
    columns = ["patient", "session", *channels, LESIONS, *(name for name in OPTIONAL if any(row[name] for row in rows)), "split"]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(Path(path), text.getvalue().encode("utf-8", "surrogateescape"))     # as file names are


def _row(part: str, case: Case, channels: Sequence[str]) -> dict[str, str]:
    files = {channel: case.images.get(channel) for channel in channels} | {LESIONS: case.lesions}
    files["lesions2"] = case.lesions2 if case.combine else None
    return {"patient": case.patient, "session": case.session, "split": part, "combine": case.combine or "",
            "weight": "" if case.weight == 1 else str(case.weight), "date": case.date or "", "source": case.source,
            **{name: str(file.resolve()) if file else "" for name, file in files.items()}}


def load(path: Path) -> Split:
    """The split that `save` wrote, whether its files are still there or not.

    Raises:
        InputError: it is no such manifest.
    """
    return split_cases(find(path, "manifest"), (1, 0, 0), 0)


def _draw(patient: str, seed: int) -> bytes:
    """A patient's place in the shuffle: a hash, so that it is the same on every machine and whoever else is there."""
    return hashlib.blake2b(f"{seed}:{patient}".encode()).digest()
