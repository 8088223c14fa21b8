"""Train, validation and test: by patient, so that no time point of a patient tested was ever trained on."""
import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synergynet_tf.data.layouts import LESIONS, SPLITS, Case
from synergynet_tf.errors import InputError
from synergynet_tf.files import replace_file


@dataclass(frozen=True)
class Split:
    """The cases of each part, each sorted by name."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]


def split_cases(cases: Sequence[Case], shares: tuple[float, float, float], seed: int) -> Split:
    """Divide cases among train, validation and test (paper, section 3: 60/20/20).

    A split that the cases bring (a manifest's column) wins. Otherwise patients are shuffled by the seed and dealt out by
    `counts`. The result depends on the patients' names and the seed alone, not on the order of the cases.
    Raises InputError where only some cases bring a split, and where they leave train empty.
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
        return tuple(result)
    exact = [share * patients for share in shares]
    result = [int(n) for n in exact]
    by_remainder = sorted(requested, key=lambda i: result[i] - exact[i])
    for i in by_remainder[:patients - sum(result)]:
        result[i] += 1
    for i in requested:
        if result[i] == 0:
            result[result.index(max(result))] -= 1
            result[i] = 1
    return tuple(result)


def save(split: Split, path: str | Path) -> None:
    """Write the split as a CSV manifest with absolute paths: `layouts.discover` and `split_cases` read it back as it is.

    Raises InputError when the file cannot be written.
    """
    cases = [(part, case) for part in SPLITS for case in getattr(split, part)]
    channels = sorted({channel for _, case in cases for channel in case.images})
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["patient", "session", *channels, LESIONS, "split"])
    for part, case in cases:
        files = [case.images.get(channel) for channel in channels] + [case.lesions]
        writer.writerow([case.patient, case.session, *(file.resolve() if file else "" for file in files), part])
    replace_file(Path(path), text.getvalue().encode())


def _draw(patient: str, seed: int) -> bytes:
    """A patient's place in the shuffle: a hash, so that it is the same on every machine and whoever else is there."""
    return hashlib.blake2b(f"{seed}:{patient}".encode()).digest()
