"""When a scan was taken, where a table says so."""
import csv
import datetime
import re
from pathlib import Path

TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?")


def iso_date(text: str) -> str | None:
    """A date like 2019-03-01, or with a time like 2019-03-01T10:30, in one form that can be sorted; None where it is none."""
    match = TIME.fullmatch(text)
    if not match:
        return None
    try:
        day, time = datetime.date.fromisoformat(match[1]), match[2] and datetime.time.fromisoformat(match[2])
    except ValueError:
        return None
    return f"{day}T{time}" if time else str(day)


def bids_date(folder: Path, session: Path, flair: Path) -> str | None:
    """When a FLAIR scan of a BIDS data set was taken: from its session's scans.tsv, or else its patient's sessions.tsv.

    Args:
        folder: of the patient, sub-01.
        session: of the session, or the patient's where there is only one.
        flair: the scan.
    """
    name = folder.name if session == folder else f"{folder.name}_{session.name}"
    scans = _times(session / f"{name}_scans.tsv", "filename")
    sessions = _times(folder / f"{folder.name}_sessions.tsv", "session_id")
    return scans.get(flair.relative_to(session).as_posix()) or sessions.get(session.name)


def _times(table: Path, key: str) -> dict[str, str | None]:
    """The column acq_time by another; empty where there is no such table: it only helps."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            return {row[key] or "": iso_date(row["acq_time"] or "") for row in csv.DictReader(file, delimiter="\t")}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError):
        return {}
