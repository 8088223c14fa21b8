"""A CSV file that names the scans of each case."""
import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

from synergynet_tf.data.layouts.case import COMBINATIONS, LESIONS, Case
from synergynet_tf.errors import InputError


def find(path: Path) -> list[Case] | None:
    """a CSV file (or a folder with manifest.csv) with columns patient, session, flair, t2, lesions, split.

    Any other column is a channel, but lesions2 (another rater's mask) and combine (union or intersection: how the two become
    one). All but patient and flair may be absent or empty; paths are relative to the file's folder.
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
    if not {"patient", "flair"} <= set(named) or len(set(named)) < len(named):
        raise InputError(f"{path}: the columns are {', '.join(named) or 'none'}, but patient and flair are needed, "
                         "and each name only once")
    for line, cells in lines[1:]:
        row = dict(itertools.zip_longest(columns, cells[:len(columns)], fillvalue=""))
        if any(cells[len(columns):]) or row.pop("", ""):
            raise InputError(f"{path}, line {line}: {len(cells)} cells, but {len(named)} columns have a name; "
                             "put cells that hold a comma in quotes")
        if any(row.values()):
            yield line, row


def _case(path: Path, line: int, row: dict[str, str]) -> Case:
    patient, session, split = row.pop("patient"), row.pop("session", ""), row.pop("split", "")
    lesions, lesions2, combine = row.pop(LESIONS, ""), row.pop("lesions2", ""), row.pop("combine", "")
    if not patient:
        raise InputError(f"{path}, line {line}: the patient is empty; name one, so that splits keep patients whole")
    if combine and (combine not in COMBINATIONS or not lesions or not lesions2):
        raise InputError(f"{path}, line {line}: combine is {combine!r} and the masks are {lesions or 'none'} and "
                         f"{lesions2 or 'none'}, but {' and '.join(COMBINATIONS)} combine two: "
                         "correct it, or leave combine empty")
    images = {channel: path.parent / cell for channel, cell in row.items() if cell}
    name = f"{patient}_{session}" if session else patient
    return Case(name, patient, session, images, path.parent / lesions if lesions else None, split or None,
                path.parent / lesions2 if lesions2 else None, combine or None)
