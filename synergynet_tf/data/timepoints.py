"""The order in time of a patient's scans: by their dates, or by what their sessions' names say.

Names are read in every way that makes sense of all of them: as dates (2019-03-01, 20190301; 01.03.2019, where the month may be
first), as times since the first scan (baseline, M6, 24w, Y2), or as numbers in a text that is else the same (T1, T02, T10). Where
all these readings give one order, it is certain; where they do not, or there is none, that is said.
"""
import datetime
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from synergynet_tf.data.layouts import Case

DATE = re.compile(r"(?<!\d)(?:(\d{1,4})([-_. ])(\d\d?)\2(\d{1,4})|\d{8}|\d{6})(?!\d)")
FORMS = ("ymd", "dmy", "mdy")
NUMBER = re.compile(r"\d+")
DECIMAL = re.compile(r"\d+(?:\.\d+)?")
FIRST = ("baseline", "base", "bl", "screening", "initial", "first", "pre")
DAYS = dict.fromkeys(("d", "day", "days"), 1.0) | dict.fromkeys(("w", "wk", "wks", "week", "weeks"), 7.0) | dict.fromkeys(
    ("m", "mo", "mos", "month", "months"), 30.4375) | dict.fromkeys(("y", "yr", "yrs", "year", "years"), 365.25)
REMEDY = "give each scan its date, like 2019-03-01, in a manifest's column date"


class Ordered(NamedTuple):
    """A patient's scans from the first to the last."""

    scans: list[Case]
    doubt: str | None       # why the order is not certain, and the remedy


def in_order(scans: Sequence[Case]) -> Ordered:
    """Put a patient's scans in their order in time."""
    scans = sorted(scans, key=lambda case: natural(case.session))
    orders = list(dict.fromkeys(_orders([case.session for case in scans])))
    named = [scans[i] for i in orders[0]] if orders else scans
    dated = [case for case in named if case.date]
    if len(dated) == len(scans):
        by_date = sorted(named, key=lambda case: case.date or "")
        if len(orders) == 1 and by_date != named:
            return Ordered(by_date, f"the dates have another order than the sessions, and were taken: {_listed(by_date)}; "
                           "correct what is wrong")
        if not orders and len({case.date for case in scans}) < len(scans):
            return Ordered(by_date, f"two scans have one date: {_listed(by_date)}; give their times too, like 2019-03-01T10:30")
        return Ordered(by_date, None)
    if dated:
        return Ordered(named, f"{len(scans) - len(dated)} of {len(scans)} scans have no date, and the order is that of the "
                       f"sessions: {_listed(named)}; {REMEDY}")
    if len(orders) == 1:
        return Ordered(named, None)
    return Ordered(named, f"the sessions do not say for certain which is the earlier, and were taken so: {_listed(named)}; "
                   f"{REMEDY}")


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key by which M6 comes before M12."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def _orders(names: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """The order of the names by each reading that fits: indices, the earliest first."""
    words = _words(names)
    first = [i for i, own in enumerate(words) if len(own) == 1 and own[0] in FIRST]
    if len(names) == 1:
        yield (0,)
    elif len(first) == 1:
        later = [i for i in range(len(names)) if i not in first]
        yield from ((*first, *(later[i] for i in order)) for order in _orders([names[i] for i in later]))
    else:
        for keys in _readings(names, words):
            if keys and len(set(keys)) == len(keys):
                yield tuple(sorted(range(len(keys)), key=keys.__getitem__))


def _words(names: Sequence[str]) -> list[list[str]]:
    """The words and numbers of each name, without those that all begin with (ses-M6, ses-M12)."""
    words = [re.findall(r"[^\W\d_]+|\d+(?:\.\d+)?", name.casefold()) for name in names]
    while min(map(len, words)) > 1 and len({own[0] for own in words}) == 1:
        words = [own[1:] for own in words]
    return words


def _readings(names: Sequence[str], words: Sequence[list[str]]) -> list[list[Any] | None]:
    """What the names can be sorted by, in each reading; none where it does not fit."""
    dates = [_dates(names, form, 4) for form in FORMS]
    if any(dates):
        return dates
    days = [_days(own) for own in words]        # and with a year of two digits, a date might be any number
    return [*(_dates(names, form, 2) for form in FORMS), *_numbers(names, NUMBER), *_numbers(names, DECIMAL),
            None if None in days else days]


def _dates(names: Sequence[str], form: str, year: int) -> list[Any] | None:
    """Each name's date, and what stands behind it; None where one has no date in this form, or several."""
    keys = []
    for name in names:
        matches = list(DATE.finditer(name))
        day = _date(matches[0], form, year) if len(matches) == 1 else None
        if day is None:
            return None
        keys.append((day, tuple(natural(name[matches[0].end():]))))
    return keys


def _date(match: re.Match, form: str, year: int) -> datetime.date | None:
    """A date of which `form` says where year (of so many digits), month and day stand; None where there is none such."""
    lengths = [year if letter == "y" else 2 for letter in form]
    ends = [sum(lengths[:i + 1]) for i in range(3)]
    parts = [match[1], match[3], match[4]] if match[2] else [match[0][end - n:end] for n, end in zip(lengths, ends)]
    digits = dict(zip(form, parts))
    if len(digits["y"]) != year or len(match[0]) != ends[-1] and not match[2]:
        return None
    try:
        day = datetime.date(int(digits["y"]) + (2000 if year == 2 else 0), int(digits["m"]), int(digits["d"]))
    except ValueError:
        return None
    return day if day.year >= 1900 else None


def _numbers(names: Sequence[str], number: re.Pattern) -> Iterator[list[Any]]:
    """Each number in which the names differ, where they are else the same."""
    texts = {number.sub("#", name.casefold()) for name in names}
    if len(texts) == 1:
        yield from (list(column) for column in zip(*([float(n) for n in number.findall(name)] for name in names))
                    if len(set(column)) > 1)


def _days(words: Sequence[str]) -> float | None:
    """Days since the first scan, of a number and its unit in either order."""
    for number, unit in (words, reversed(words)) if len(words) == 2 else ():
        if unit in DAYS and number[0].isdecimal():
            return float(number) * DAYS[unit]
    return None


def _listed(scans: Sequence[Case]) -> str:
    return ", ".join(case.session or case.name for case in scans)
