"""A CSV file that names the scans of each case, or other cohorts that are taken with them."""
import csv
import dataclasses
import io
import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from synergynet_tf.data.layouts.case import COMBINATIONS, LESIONS, SECOND, SUSPECTS, Case, key
from synergynet_tf.data.layouts.dates import iso_date
from synergynet_tf.errors import InputError, printable
from synergynet_tf.storage.names import is_nifti

log = logging.getLogger(__name__)

WORDS = ("patient", "session", "split", "combine", "weight", "path", "date", "source")    # columns that name no scans
CHANNELS = ("flair", "t2", "t1", "pd", "t1gd")          # columns that do, whatever stands in them
NOTHING = ("n/a", "na", "nan", "none", "-")             # cells of no file, as BIDS, pandas and people write them

Line = tuple[int, list[str]]    # where it ends, and its cells


class Part(NamedTuple):
    """Another cohort that a row takes in."""

    row: str                    # where it stands: the file and the line
    path: Path
    prefix: str                 # of its patients' names; may be empty
    split: str | None           # of all its cases; none: what each brings itself
    weight: float               # times its cases' own
    source: str                 # of all its cases; empty: what each brings itself

    def taken(self, cases: Sequence["Case | Part"]) -> list[Case]:
        """The cases that `path` holds as those of this part.

        Raises:
            InputError: `path` names paths itself.
        """
        front = f"{self.prefix}-" if self.prefix else ""
        taken = []
        for case in cases:
            if isinstance(case, Part):
                raise InputError(f"{self.row}: {self.path} is a manifest with a column path itself; name its paths here instead")
            taken.append(dataclasses.replace(case, name=front + case.name, patient=front + case.patient,
                                             split=self.split or case.split, weight=self.weight * case.weight,
                                             source=self.source or case.source))
        return taken


def find(path: Path) -> list[Case | Part] | None:
    """a CSV file (or a folder with manifest.csv) with columns patient, session, flair, t2, lesions, split.

    Any other column of NIfTI files is a channel, but lesions2 (another rater's mask), combine (union or intersection: how the
    two become one), weight (how often a training draws the case, 1 if empty), date (when the scan was taken, 2019-03-01),
    source (any name; `experiment` scores each source by itself too) and path. A row with a path has no scans: it stands for all
    cases of that folder or manifest, and its patient, split, weight and source are for all of them (`Part`). All but patient and
    flair, or path, may be absent or empty; paths are relative to the file's folder. Columns without NIfTI files are ignored, in
    a line that names them.

    Raises:
        InputError: the file cannot be read as such a table.
    """
    if path.is_dir():
        path = path / "manifest.csv"
    if path.suffix.lower() != ".csv" or not path.is_file():
        return None
    return [_case(path, line, row) for line, row in _rows(path)]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a manifest that are not empty, with the line each ends at; columns of use alone, in lower case."""
    (_, head), *lines = _lines(path) or [(1, [])]
    columns = _columns(path, [name.lower() for name in head], lines)
    for line, cells in lines:
        if any(cells[len(head):]):
            raise InputError(f"{path}, line {line}: {len(cells)} cells, but {len(head)} columns have a name; "
                             "put cells that hold a comma in quotes")
        row = {name: cells[place] if place < len(cells) else "" for name, place in columns.items()}
        if any(row.values()):
            yield line, row


def _lines(path: Path) -> list[Line]:
    """All lines, cells stripped. What is not UTF-8 is kept as Python keeps it in the names of files."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        delimiter = max(",;\t", key=text.split("\n", 1)[0].count)      # spreadsheets of some countries write semicolons
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); save it as CSV UTF-8") from None


def _columns(path: Path, head: Sequence[str], lines: Sequence[Line]) -> dict[str, int]:
    """The columns of use by name, and where they stand; the others are named in the log."""
    columns, ignored = {}, []
    for place, name in enumerate(head):
        values = [cells[place] for _, cells in lines if place < len(cells) and cells[place]]
        if name in (*WORDS, *CHANNELS, LESIONS, SECOND) or name and any(map(is_nifti, values)):
            if name in columns:
                raise InputError(f"{path}: two columns are named {name}, but each name only once is allowed; rename one")
            columns[name] = place
        elif values:
            ignored.append(name or f"number {place + 1}")
    if not {"patient", "flair"} <= columns.keys() and "path" not in columns:
        raise InputError(f"{path}: the columns are {printable(', '.join(filter(None, head)))[:200] or 'none'}, but patient and "
                         "flair (or path) are needed; name them in the first line, and save the table as CSV UTF-8")
    if ignored:
        log.warning("%s: columns without NIfTI files are ignored: %s", path, printable(", ".join(ignored)))
    if suspects := [name for name in columns if LESIONS not in columns and name in SUSPECTS]:
        log.warning("%s: the column %s is read as a channel; if it holds the reference masks, call it lesions", path, suspects[0])
    return columns


def _case(path: Path, line: int, row: dict[str, str]) -> Case | Part:
    patient, session, split, combine, weight, other, day, source = (row.pop(name, "") for name in WORDS)
    times, date = _weight(path, line, weight), _date(path, line, day)
    files = {name: path.parent / os.path.expanduser(cell) for name, cell in row.items() if cell and key(cell) not in NOTHING}
    _check_encoding(path, line, (patient, session, other, source), files.values())
    if other:
        if files or session or date:
            raise InputError(f"{path}, line {line}: the path is {other!r}, but scans, a session or a date are named too; "
                             "give each a row of its own")
        return Part(f"{path}, line {line}", path.parent / os.path.expanduser(other), patient, split or None, times,
                    source)
    if not patient:
        raise InputError(f"{path}, line {line}: the patient is empty; name one, so that splits keep patients whole")
    lesions, lesions2 = files.pop(LESIONS, None), files.pop(SECOND, None)
    if combine and (combine not in COMBINATIONS or not lesions or not lesions2):
        raise InputError(f"{path}, line {line}: combine is {combine!r} and the masks are {lesions or 'none'} and "
                         f"{lesions2 or 'none'}, but {' and '.join(COMBINATIONS)} combine two: "
                         "correct it, or leave combine empty")
    return Case(f"{patient}_{session}" if session else patient, patient, session, files, lesions, split or None, lesions2,
                combine or None, times, date, source=source)


def _date(path: Path, line: int, cell: str) -> str | None:
    date = iso_date(cell)
    if cell and date is None:
        raise InputError(f"{path}, line {line}: the date is {cell!r}, but it must be like 2019-03-01, or 2019-03-01T10:30; "
                         "correct it, or leave it empty")
    return date


def _weight(path: Path, line: int, cell: str) -> float:
    try:
        weight = float(cell.replace(",", ".") or 1)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InputError(f"{path}, line {line}: the weight is {cell!r}, but it must be a number above 0; leave it empty for 1, "
                         "and take the row out where the case is not to be drawn")
    return weight


def _check_encoding(path: Path, line: int, names: Iterable[str], files: Iterable[Path]) -> None:
    """Raise InputError where a name is not UTF-8, or a file's is not and there is none of that name."""
    for text in (*names, *(str(file) for file in files if not file.is_file())):
        if any("\udc80" <= letter <= "\udcff" for letter in text):
            raise InputError(f"{path}, line {line}: {printable(text)} is not UTF-8; save the table as CSV UTF-8")
