"""The range of each measure of image quality over the scans that a network was trained on, and what lies outside it.

A training leaves it as `quality.json` in its run's folder; beside a file of weights, FILE.npz, lies FILE_quality.json.
"""
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from synergynet_tf.data import image_quality
from synergynet_tf.data.image_quality import MEASURES, Quality
from synergynet_tf.data.preprocess import LoadedCase
from synergynet_tf.errors import InputError
from synergynet_tf.storage.files import replace_file
from synergynet_tf.storage.sealed import read_sealed, sealed

FILE = "quality.json"
PERCENTILES = (1, 99)       # over the scans: one odd scan of a hundred does not count
MARGIN = 0.1                # of each end, by which the range is wider: few scans do not show all that is usual
STORED = {"scans": int, "ranges": dict[str, tuple[float, float]]}

Ranges = dict[str, tuple[float, float]]     # low and high, by the name of a measure


class Judged(NamedTuple):
    """A measure of a scan beside its range; either is None where it is not known."""

    measure: str
    value: float | None
    range: tuple[float, float] | None
    flagged: bool

    @property
    def usual(self) -> str:
        """The range in words."""
        if self.range is None:
            return "not known"
        side, end = ("at most", self.range[1]) if MEASURES[self.measure].worse == "high" else ("at least", self.range[0])
        return f"{side} {end:.3g} {MEASURES[self.measure].unit}"

    @property
    def name(self) -> str:
        """The measure in words."""
        return self.measure.replace("_", " ")

    @property
    def shown(self) -> str:
        """The value in words."""
        return "not measured" if self.value is None else f"{self.value:.3g} {MEASURES[self.measure].unit}"

    @property
    def finding(self) -> str:
        """What is found, in words, for a note."""
        return f"{self.name}: {self.shown} ({MEASURES[self.measure].meaning}), but {self.usual} in the training scans"


def learn(scans: Iterable[Quality]) -> Ranges:
    """The range of each measure over scans: percentiles, each moved outwards by `MARGIN` of itself."""
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    for scan in scans:
        for name, value in scan.items():
            if value is not None:
                values[name].append(value)
    ends = {name: np.percentile(known, PERCENTILES) for name, known in values.items() if known}
    return {name: (round(low - MARGIN * abs(low), 4), round(high + MARGIN * abs(high), 4)) for name, (low, high) in ends.items()}


def judge(quality: Quality, ranges: Ranges | None) -> list[Judged]:
    """Each measure beside its range. Flagged is what lies beyond it on the worse side: a scan can be better than all others."""
    return [_judged(name, quality.get(name), (ranges or {}).get(name)) for name in MEASURES]


def _judged(name: str, value: float | None, known: tuple[float, float] | None) -> Judged:
    if value is None or known is None:
        return Judged(name, value, known, False)
    shown, (low, high) = _as_shown(value), map(_as_shown, known)
    return Judged(name, value, known, shown > high if MEASURES[name].worse == "high" else shown < low)


def _as_shown(value: float) -> float:
    """To three digits: what reads the same as an end of the range is not beyond it."""
    return float(f"{value:.3g}")


def judged_case(loaded: LoadedCase, ranges: Ranges | None) -> tuple[LoadedCase, list[Judged]]:
    """A case with a note of each measure that is flagged, and all measures.

    Raises:
        InputError: as `image_quality.measure`.
    """
    judged = judge(image_quality.measure(loaded.grid, loaded.brain, loaded.box), ranges)
    notes = (f"flair: {row.finding}" for row in judged if row.flagged)
    return dataclasses.replace(loaded, notes=(*loaded.notes, *notes)), judged


def require_usual(path: Path, judged: Sequence[Judged]) -> None:
    """Refuse a scan with a flag.

    Raises:
        InputError: it has one; the file, all values that are flagged, their ranges and the remedy.
    """
    found = [row for row in judged if row.flagged]
    if found:
        raise InputError(f"{path}: {'; '.join(row.finding for row in found)}: {MEASURES[found[0].measure].remedy}, or leave out "
                         "--strict")


def as_stored(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """For a case's JSON file: measure, value, unit, range [low, high], flagged."""
    return [{"measure": row.measure, "value": row.value, "unit": MEASURES[row.measure].unit,
             "range": row.range and list(row.range), "flagged": row.flagged} for row in judged]


def from_stored(about: Mapping[str, Any]) -> list[Judged]:
    """What `as_stored` put into a case's JSON file; nothing of a result of an earlier version."""
    return [Judged(row["measure"], row["value"], row["range"] and tuple(row["range"]), row["flagged"])
            for row in about.get("quality") or () if row["measure"] in MEASURES]


def table(about: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Rows of name, value, range and flag, in words, of a case's JSON file, for a report."""
    return [(row.name, row.shown, row.usual, "outside" if row.flagged else "") for row in from_stored(about)]


def place(run: Path) -> Path:
    """The file of a run's folder, or beside a file of weights."""
    return run.with_name(f"{run.stem}_{FILE}") if run.suffix == ".npz" else run / FILE


def write(path: Path, scans: Sequence[Quality]) -> None:
    """Write what scans teach, as `files.replace_file` does."""
    replace_file(path, sealed({"scans": len(scans), "ranges": learn(scans)}, indent=1))


def read(runs: Sequence[Path]) -> Ranges | None:
    """The ranges of a run, or of several that answer as one: what lies in the range of each; None where one has none.

    Raises:
        InputError: a file is damaged.
    """
    found: Ranges = {}
    for file in map(place, runs):
        if not file.exists():
            return None
        for name, (low, high) in read_file(file).items():
            before = found.get(name, (low, high))
            found[name] = max(low, before[0]), min(high, before[1])
    return found


def read_file(file: Path) -> Ranges:
    """What `write` wrote.

    Raises:
        InputError: it is absent or damaged.
    """
    stored = read_sealed(file, "record of image quality", "remove it, or train again", STORED)["ranges"]
    return {name: (low, high) for name, (low, high) in stored.items()}
