"""What segmenting each scan took: `times.csv` beside the masks, which another tool's folder may hold too.

    case,seconds,peak_gb
    P1,12.3,2.71

A row a case, named as its mask is: seconds by the clock, from the scan's files to the written mask, and the most memory that the
process held meanwhile, in GB of 2^30 bytes. A cell may be empty, a case absent.
"""
import contextlib
import csv
import io
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from synergynet_tf.errors import InputError, reason
from synergynet_tf.runtime.memory import GB
from synergynet_tf.runtime.processes import give_back, peak_memory, restart_peak
from synergynet_tf.storage.files import replace_file

FILE = "times.csv"


class Cost(NamedTuple):
    """Of one scan; nan: not known."""

    seconds: float
    peak_gb: float


def read(folder: Path) -> dict[str, Cost]:
    """What is known of each case in a folder of masks; of one without the file: nothing.

    Raises:
        InputError: the file is no such table.
    """
    path = folder / FILE
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)[0]}); correct it, or take it away") from None
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: not a readable table ({error}); save it as CSV UTF-8, or take it away") from None
    found: dict[str, Cost] = {}
    for line, row in enumerate(rows, start=2):
        case = (row.get("case") or "").strip()
        if not case or case in found or not {"case", *Cost._fields} <= row.keys():
            raise InputError(f"{path}, line {line}: the case is {case!r}, but a row a case is needed, in the columns "
                             f"case,{','.join(Cost._fields)}; correct it, or take the file away")
        found[case] = Cost(*(_number(path, line, field, row[field] or "") for field in Cost._fields))
    return found


@contextlib.contextmanager
def measured(folder: Path, case: str) -> Iterator[None]:
    """Note what the length of a `with` takes as a case's cost; where it raises, nothing is noted.

    The memory is that of the whole process. Where the system cannot tell it for this length alone, it is left empty.
    """
    give_back()
    restarted, start = restart_peak(), time.monotonic()
    yield
    cost = Cost(round(time.monotonic() - start, 3), round(peak_memory() / GB, 3) if restarted else math.nan)
    note(folder, case, cost)


def note(folder: Path, case: str, cost: Cost) -> None:
    """Note a case's cost in a folder of masks, beside what is known of the others."""
    replace_file(folder / FILE, _table(read(folder) | {case: cost}))


def _table(costs: Mapping[str, Cost]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", *Cost._fields])
    writer.writerows([case, *("" if math.isnan(value) else value for value in cost)] for case, cost in costs.items())
    return text.getvalue().encode("utf-8", "surrogateescape")


def _number(path: Path, line: int, field: str, cell: str) -> float:
    try:
        value = float(cell.strip() or "nan")
    except ValueError:
        value = -1.0
    if value < 0 or math.isinf(value):
        raise InputError(f"{path}, line {line}: {field} is {cell!r}, but a number is needed, 0 or above; correct it, or leave it "
                         "empty")
    return value
