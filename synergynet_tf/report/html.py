"""A report that opens offline from its folder: a first page with tables and figures, and a page a case with a viewer.

    <folder>/index.html
    <folder>/patients/<patient>.html    a patient on one sheet of paper
    <folder>/cases/<page>.html          a scan, or a patient's scans, with the lesion table
    <folder>/volumes/<scan>.js          a FLAIR scan;  <page>-masks.js: a page's masks (see `volumes`)
    <folder>/pictures/<page>-<n>.png    the page's n-th scan as slices, for lists, paper and browsers without WebGL
    <folder>/pictures/<patient>-sheet-<n>.png
    <folder>/figures/*.png
    <folder>/assets/                    style, scripts, and the viewer: NiiVue, copied from the installed nilearn
"""
import importlib.util
import json
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import synergynet_tf
from synergynet_tf.errors import InputError, reason
from synergynet_tf.report.comparison import Cell, cell_text
from synergynet_tf.report.elements import Bar, Front, Kind, Page, Sheet
from synergynet_tf.report.volumes import TOGETHER, flair_text, masks_text, picture
from synergynet_tf.storage.files import make_own, replace_file

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
ASSETS = ("style.css", "tables.js", "viewer.js", "VIEWER_LICENSES.txt")
VIEWER = "niivue.umd.js"
FOLDERS = ("assets", "cases", "figures", "patients", "pictures", "volumes")
PATIENTS = "Patients"       # the first page's list of sheets


def write_report(folder: Path, front: Front, pages: Iterable[Page], sheets: Iterable[Sheet] = ()) -> None:
    """Write a report; index.html last, so that where it is, the report is whole.

    Args:
        folder: made if absent.
        front: the first page.
        pages: taken one at a time, so that only one case is in memory.
        sheets: of the pages' patients.

    Raises:
        InputError: a file cannot be written, or nilearn has no viewer.
    """
    environment = _environment(front)
    _start(folder)
    written: set[str] = set()
    listed: dict[str, list] = {name: [] for name in front.sections}
    for page in pages:
        _write_page(folder, page, environment, written)
        if page.section:
            link, shown = f"cases/{_linked(page.name)}.html", f"pictures/{_linked(page.name)}-1.png"
            listed[page.section].append((page.title, link, shown, page.summary))
    for sheet in sheets:
        _write_sheet(folder, sheet, environment)
        link, shown = f"patients/{_linked(sheet.name)}.html", f"pictures/{_linked(sheet.shown[0])}-1.png"
        listed[PATIENTS].append((sheet.name, link, shown, sheet.summary))
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
    environment.globals |= {"front": front, "version": synergynet_tf.__version__, "cell_text": cell_text, "keys": _keys}
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
        colours={kind.name: kind.colour for kind in page.kinds}, chart=_chart(page.chart, page.kinds))
    replace_file(folder / "cases" / f"{page.name}.html", text.encode(errors="backslashreplace"))


def _write_sheet(folder: Path, sheet: Sheet, environment: "Environment") -> None:
    """Write a sheet, and copy what pictures it has of its own."""
    page, caption = sheet.shown
    pictures = [(caption, f"../pictures/{_linked(page)}-1.png")]
    for number, (caption, path) in enumerate(sheet.files, start=1):
        name = f"{sheet.name}-sheet-{number}.png"
        shutil.copyfile(path, folder / "pictures" / name)
        pictures.append((caption, f"../pictures/{_linked(name)}"))
    text = environment.get_template("sheet.html").render(
        sheet=sheet, pictures=pictures, pages=[(says, f"../cases/{_linked(name)}.html") for says, name in sheet.pages],
        chart=_chart(sheet.chart, sheet.kinds))
    replace_file(folder / "patients" / f"{sheet.name}.html", text.encode(errors="backslashreplace"))


def _linked(name: str) -> str:
    """A file's name in a link, whatever bytes it is of."""
    return quote(name, errors="surrogateescape")


def _script(volumes: Sequence[tuple[str, str]]) -> str:
    return "".join(f"addVolume({json.dumps(name)}, {json.dumps(text)});\n" for name, text in volumes)


def _keys(chart: Sequence[dict]) -> list[tuple[str, str]]:
    """The kinds that a chart shows, and their colours."""
    return list(dict.fromkeys((part["kind"], part["colour"]) for bar in chart for part in bar["parts"] if part["ml"]))


def _chart(chart: Sequence[Bar], kinds: Sequence[Kind]) -> list[dict]:
    """Places of the chart's bars, in a box of 100 units' height: each scan's parts, from below, as tall as their volume."""
    colours = {kind.name: kind.colour for kind in kinds}
    tallest = max((sum(ml for _, ml in bar.parts) for bar in chart), default=0.0) or 1.0
    bars = []
    for bar in chart:
        below, parts = 0.0, []
        for kind, ml in bar.parts:
            height = 100 * ml / tallest
            below += height
            parts.append({"kind": kind, "ml": ml, "colour": colours[kind], "y": round(100 - below, 3),
                          "height": round(height, 3)})
        bars.append({"title": bar.title, "ml": sum(ml for _, ml in bar.parts), "top": round(100 - below, 3), "parts": parts})
    return bars
