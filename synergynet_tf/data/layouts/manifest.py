"""A CSV file that names the scans of each case, or other cohorts that are taken with them."""
import csv
import dataclasses
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from synergynet_tf.data.layouts.case import COMBINATIONS, LESIONS, Case
from synergynet_tf.errors import InputError


class Part(NamedTuple):
    """Another cohort that a row takes in."""

    row: str                    # where it stands: the file and the line
    path: Path
    prefix: str                 # of its patients' names; may be empty
    split: str | None           # of all its cases; none: what each brings itself
    weight: float               # times its cases' own

    def taken(self, cases: Sequence["Case | Part"]) -> list[Case]:
        """The cases that `path` holds as those of this part. Raises InputError where `path` names paths itself."""
        if any(isinstance(case, Part) for case in cases):
            raise InputError(f"{self.row}: {self.path} is a manifest with a column path itself; name its paths here instead")
        front = f"{self.prefix}-" if self.prefix else ""
        return [dataclasses.replace(case, name=front + case.name, patient=front + case.patient, split=self.split or case.split,
                                    weight=self.weight * case.weight) for case in cases]


def find(path: Path) -> list[Case | Part] | None:
    """a CSV file (or a folder with manifest.csv) with columns patient, session, flair, t2, lesions, split.

    Any other column is a channel, but lesions2 (another rater's mask), combine (union or intersection: how the two become
    one), weight (how often a training draws the case, 1 if empty) and path. A row with a path has no scans: it stands for all
    cases of that folder or manifest, and its patient, split and weight are for all of them (`Part`). All but patient and flair,
    or path, may be absent or empty; paths are relative to the file's folder.
    Raises InputError where the file cannot be read as such a table.
    """
    if path.is_dir():
        path = path / "manifest.csv"
    if path.suffix.lower() != ".csv" or not path.is_file():
        return None
    return [_case(path, line, row) for line, row in _rows(path)]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a manifest that are not empty, with the line each ends at; header and cells stripped, columns in lower case."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.split("\n", 1)[0].count)      # spreadsheets of some countries write semicolons
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); save it as CSV UTF-8") from None
    columns = [column.lower() for column in lines[0][1]] if lines else []
    named = [column for column in columns if column]
    if not ({"patient", "flair"} <= set(named) or "path" in named) or len(set(named)) < len(named):
        raise InputError(f"{path}: the columns are {', '.join(named) or 'none'}, but patient and flair (or path) are needed, "
                         "and each name only once")
    for line, cells in lines[1:]:
        row = dict(itertools.zip_longest(columns, cells[:len(columns)], fillvalue=""))
        if any(cells[len(columns):]) or row.pop("", ""):
            raise InputError(f"{path}, line {line}: {len(cells)} cells, but {len(named)} columns have a name; "
                             "put cells that hold a comma in quotes")
        if any(row.values()):
            yield line, row


def _case(path: Path, line: int, row: dict[str, str]) -> Case | Part:
    patient, session, split, weight = (row.pop(name, "") for name in ("patient", "session", "split", "weight"))
    other, lesions, lesions2, combine = (row.pop(name, "") for name in ("path", LESIONS, "lesions2", "combine"))
    times = _weight(path, line, weight)
    images = {channel: path.parent / cell for channel, cell in row.items() if cell}
    if other:
        if images or lesions or lesions2 or session:
            raise InputError(f"{path}, line {line}: the path is {other!r}, but scans or a session are named too; "
                             "give each a row of its own")
        return Part(f"{path}, line {line}", path.parent / other, patient, split or None, times)
    if not patient:
        raise InputError(f"{path}, line {line}: the patient is empty; name one, so that splits keep patients whole")
    if combine and (combine not in COMBINATIONS or not lesions or not lesions2):
        raise InputError(f"{path}, line {line}: combine is {combine!r} and the masks are {lesions or 'none'} and "
                         f"{lesions2 or 'none'}, but {' and '.join(COMBINATIONS)} combine two: "
                         "correct it, or leave combine empty")
    name = f"{patient}_{session}" if session else patient
    return Case(name, patient, session, images, path.parent / lesions if lesions else None, split or None,
                path.parent / lesions2 if lesions2 else None, combine or None, times)


def _weight(path: Path, line: int, cell: str) -> float:
    try:
        weight = float(cell.replace(",", ".") or 1)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InputError(f"{path}, line {line}: the weight is {cell!r}, but it must be a number above 0; leave it empty for 1, "
                         "and take the row out where the case is not to be drawn")
    return weight
