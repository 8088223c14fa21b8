"""A report that opens offline from its folder: a first page with tables and figures, and a page a case with a viewer.

    <folder>/index.html
    <folder>/cases/<page>.html          a scan, or a patient's scans, with the lesion table
    <folder>/volumes/<scan>.js          a FLAIR scan;  <page>-masks.js: a page's masks (see `volumes`)
    <folder>/pictures/<page>-<n>.png    the page's n-th scan as slices, for paper and for browsers without WebGL
    <folder>/figures/*.png
    <folder>/assets/                    style, scripts, and the viewer: NiiVue, copied from the installed nilearn
"""
import importlib.util
import json
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import synergynet_tf
from synergynet_tf.errors import InputError, reason
from synergynet_tf.report.comparison import Cell, Table, cell_text
from synergynet_tf.report.volumes import TOGETHER, Scan, flair_text, masks_text, picture
from synergynet_tf.storage.files import make_own, replace_file

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
ASSETS = ("style.css", "tables.js", "viewer.js", "VIEWER_LICENSES.txt")
VIEWER = "niivue.umd.js"
FOLDERS = ("assets", "cases", "figures", "pictures", "volumes")


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
    section: str                        # of the first page's list of pages
    summary: tuple[Cell, ...]           # its line there
    tables: Sequence[Table] = ()
    chart: Sequence[Bar] = ()
    views: Sequence[str] = ()           # columns that hold kinds, each named as its layer: the reader chooses whose count


class Front(NamedTuple):
    """The first page."""

    title: str
    lead: str                           # a sentence or two
    sections: Mapping[str, tuple[str, ...]]         # lists of pages, and their heads; the first column is the page's title
    tables: Sequence[Table] = ()        # the first open, the others to be unfolded
    figures: Sequence[tuple[str, Path]] = ()        # caption and PNG file
    about: Sequence[tuple[str, str]] = ()           # which networks, what settings: name and value


def write_report(folder: Path, front: Front, pages: Iterable[Page]) -> None:
    """Write a report; index.html last, so that where it is, the report is whole.

    Args:
        folder: made if absent.
        front: the first page.
        pages: taken one at a time, so that only one case is in memory.

    Raises:
        InputError: a file cannot be written, or nilearn has no viewer.
    """
    environment = _environment(front)
    _start(folder)
    written: set[str] = set()
    listed: dict[str, list] = {name: [] for name in front.sections}
    for page in pages:
        _write_page(folder, page, environment, written)
        listed[page.section].append((page.title, f"cases/{_linked(page.name)}.html", page.summary))
    for _, path in front.figures:
        shutil.copyfile(path, folder / "figures" / path.name)
    figures = [(caption, f"figures/{_linked(path.name)}") for caption, path in front.figures]
    text = environment.get_template("index.html").render(listed=listed, figures=figures)
    replace_file(folder / "index.html", text.encode(errors="backslashreplace"))


def viewer_file() -> Path:
    """NiiVue in the installed nilearn, which is found, not imported.

    Raises:
        InputError: it is not there.
    """
    spec = importlib.util.find_spec("nilearn")
    folders = spec.submodule_search_locations if spec else None
    files = sorted(Path(folders[0]).rglob(VIEWER)) if folders else []
    if not files:
        raise InputError(f"{VIEWER} is not in the installed nilearn; install nilearn 0.12 or later for reports")
    return files[0]


def _start(folder: Path) -> None:
    """Make the folders and copy what every page needs; a report that was there is none until the new one is whole."""
    source = viewer_file()
    make_own(folder)
    try:
        for part in FOLDERS:
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "index.html").unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({reason(error)[0]}); choose another folder") from None
    replace_file(folder / "assets" / VIEWER, source.read_bytes())
    for name in ASSETS:
        replace_file(folder / "assets" / name, (TEMPLATES / name).read_bytes())


def _environment(front: Front) -> "Environment":
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True)
    environment.filters |= {"sort_value": sort_value, "measured": measured}
    environment.globals |= {"front": front, "version": synergynet_tf.__version__, "cell_text": cell_text}
    return environment


def sort_value(cell: Cell) -> str:
    """What a table is sorted by: the number at full precision, nothing where it is undefined, or the text."""
    if isinstance(cell, float) and math.isnan(cell):
        return ""
    return repr(cell) if isinstance(cell, float) else str(cell)


def measured(cell: Cell) -> str:
    """A cell of a lesion table: three or four digits say enough."""
    if not isinstance(cell, float) or math.isnan(cell) or cell == 0:
        return cell_text(cell, 0)
    return f"{cell:.{0 if abs(cell) >= 100 else 1 if abs(cell) >= 1 else 2}f}"


def _write_page(folder: Path, page: Page, environment: "Environment", written: set[str]) -> None:
    """Write a page, its pictures and its volumes; a FLAIR scan that another page has written is not written again."""
    scans, masks, scripts = [], [], []
    for number, scan in enumerate(page.scans):
        if scan.name not in written:
            script = _script([(f"flair {scan.name}", flair_text(scan.flair))])
            replace_file(folder / "volumes" / f"{scan.name}.js", script.encode())
            written.add(scan.name)
        replace_file(folder / "pictures" / f"{page.name}-{number + 1}.png", picture(scan))
        groups = []
        for first in range(0, len(scan.layers), TOGETHER):
            layers, key = scan.layers[first:first + TOGETHER], f"masks {page.name} {number} {first}"
            masks.append((key, masks_text([layer.mask for layer in layers], scan.flair)))
            groups.append({"volume": key, "layers": [{"name": layer.name, "colour": layer.colour} for layer in layers]})
        scans.append({"title": scan.title, "volume": f"flair {scan.name}", "masks": groups})
        scripts.append(f"../volumes/{_linked(scan.name)}.js")
    replace_file(folder / "volumes" / f"{page.name}-masks.js", _script(masks).encode())
    text = environment.get_template("case.html").render(
        page=page, scans=scans, scripts=[*dict.fromkeys(scripts), f"../volumes/{_linked(page.name)}-masks.js"],
        pictures=[f"../pictures/{_linked(page.name)}-{number + 1}.png" for number in range(len(page.scans))],
        layers=list({layer.name: layer for scan in page.scans for layer in scan.layers}.values()),
        colours={kind.name: kind.colour for kind in page.kinds}, chart=_chart(page))
    replace_file(folder / "cases" / f"{page.name}.html", text.encode(errors="backslashreplace"))


def _linked(name: str) -> str:
    """A file's name in a link, whatever bytes it is of."""
    return quote(name, errors="surrogateescape")


def _script(volumes: Sequence[tuple[str, str]]) -> str:
    return "".join(f"addVolume({json.dumps(name)}, {json.dumps(text)});\n" for name, text in volumes)


def _chart(page: Page) -> list[dict]:
    """Places of the chart's bars, in a box of 100 units' height: each scan's parts, from below, as tall as their volume."""
    colours = {kind.name: kind.colour for kind in page.kinds}
    tallest = max((sum(ml for _, ml in bar.parts) for bar in page.chart), default=0.0) or 1.0
    bars = []
    for bar in page.chart:
        below, parts = 0.0, []
        for kind, ml in bar.parts:
            height = 100 * ml / tallest
            below += height
            parts.append({"kind": kind, "ml": ml, "colour": colours[kind], "y": round(100 - below, 3),
                          "height": round(height, 3)})
        bars.append({"title": bar.title, "ml": sum(ml for _, ml in bar.parts), "top": round(100 - below, 3), "parts": parts})
    return bars
