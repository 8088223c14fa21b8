"""What a report is made of: its first page, pages with a viewer, sheets of patients, and what stands on them."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from synergynet_tf.report.comparison import Cell, Table
from synergynet_tf.report.volumes import Scan


class Kind(NamedTuple):
    """What rows of a lesion table have in common: the reader may look at them alone."""

    name: str
    colour: str                         # "#rrggbb"


class Row(NamedTuple):
    """A line of the lesion table."""

    cells: tuple[Cell, ...]
    mm: tuple[float, float, float]      # where a click goes, world mm
    kind: str                           # the name of one of the page's kinds, or empty
    scan: int = 0                       # index of the scan that shows it


class Bar(NamedTuple):
    """A scan's lesion volume in a patient's chart."""

    title: str
    parts: tuple[tuple[str, float], ...]    # kind and ml, from below


class Page(NamedTuple):
    """A page with a viewer."""

    name: str                           # of its file
    title: str
    facts: Sequence[tuple[str, str]]    # below the title: what, and its value
    scans: Sequence[Scan]               # at least one; the last is shown first
    head: tuple[str, ...]               # of the lesion table
    rows: Sequence[Row]
    note: str                           # below it
    kinds: Sequence[Kind]               # of the rows
    section: str                        # of the first page's list of pages; empty: a sheet leads to it, not the first page
    summary: tuple[Cell, ...]           # its line there
    tables: Sequence[Table] = ()
    chart: Sequence[Bar] = ()
    views: Sequence[str] = ()           # columns that hold kinds, each named as its layer: the reader chooses whose count


class Sheet(NamedTuple):
    """What a clinic keeps of a patient, on one printed page."""

    name: str                           # of its file, and of the patient
    facts: Sequence[tuple[str, str]]    # below the name: what, and its value
    shown: tuple[str, str]              # the page whose picture it shows, and a caption
    files: Sequence[tuple[str, Path]]   # captions of further pictures, and their PNG files
    tables: Sequence[Table]
    chart: Sequence[Bar]
    kinds: Sequence[Kind]               # of the chart's parts
    pages: Sequence[tuple[str, str]]    # with a viewer: what a link says, and the page's name
    notes: Sequence[str]
    summary: tuple[Cell, ...]           # its line on the first page


class Front(NamedTuple):
    """The first page."""

    title: str
    lead: str                           # a sentence or two
    sections: Mapping[str, tuple[str, ...]]         # lists of sheets and pages, and their heads; first a picture, then the title
    tables: Sequence[Table] = ()        # above the lists
    further: Sequence[Table] = ()       # below all, to be unfolded
    figures: Sequence[tuple[str, Path]] = ()        # caption and PNG file
    about: Sequence[tuple[str, str]] = ()           # which networks, what settings: name and value
