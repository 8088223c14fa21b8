"""The tables of a folder of results of `predict`: a row a scan in cases.csv, a row a lesion in lesions.csv."""
import csv
import io
import itertools
import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from synergynet_tf.data import quality_range
from synergynet_tf.data.anatomy.regions import REGIONS
from synergynet_tf.errors import InputError
from synergynet_tf.metrics.lesion import SIZE_CLASSES
from synergynet_tf.metrics.longitudinal import KINDS
from synergynet_tf.storage import locks
from synergynet_tf.storage.files import replace_file
from synergynet_tf.storage.sealed import read_sealed

TABLES = CASES, LESIONS = "cases.csv", "lesions.csv"
ENDING = "_lesions.json"
EDGES = [low for low, _ in SIZE_CLASSES]        # mm3
SIZES = [f"below_{EDGES[0]:g}_mm3", *(f"{low:g}_to_{high:g}_mm3" for low, high in itertools.pairwise(EDGES)),
         f"from_{EDGES[-1]:g}_mm3"]
BY_SIZE = [f"{kind}_{size}" for size in SIZES for kind in ("lesions", "ml")]
LESION: Any = {"label": int, "voxels": int, "volume_mm3": float, "inside_mm": tuple[float, float, float],
               "mean_probability": float, "max_probability": float, "detection_score": float | None, "global_alone": bool,
               "local_alone": bool}     # a row's least: places were not written by earlier versions
CASE = {"case": str, "images": dict[str, str], "files": dict[str, str], "connectivity": Literal[6, 18, 26], "count": int,
        "volume_ml": float, "threshold": float, "gamma": float, "coverage": str, "notes": list[str], "lesions": list[LESION]}
QUALITY = {"noise": "noise_percent", "fine_detail": "fine_detail_percent", "contrast": "contrast_percent",
           "sharpness": "sharpness_mm", "slice_thickness": "slice_mm", "field_of_view": "cut_percent",
           "motion": "ghost_ratio"}      # columns by measure
IN_REGIONS = [f"{kind}_{region}" for region in REGIONS for kind in ("lesions", "ml")]
CHANGES = [kind for kind in KINDS if kind != "stable"]
CASE_COLUMNS = ("case", "lesions", "lesions_split", "volume_ml", *BY_SIZE, *IN_REGIONS, "regions_met", "regions", "brain_ml",
                "percent_of_brain", "ventricle_ml", "compared_with", *CHANGES, *QUALITY.values(), "flags",
                "network", "flair", "notes")
SPACES = {"inside_mm": ("x_mm", "y_mm", "z_mm"), "mni_mm": ("mni_x_mm", "mni_y_mm", "mni_z_mm"),
          "own_mm": ("own_x_mm", "own_y_mm", "own_z_mm")}
LESION_COLUMNS = ("case", "lesion", "volume_mm3", "voxels", "region", "side", "ventricle_mm", "cortex_mm", "parts",
                  *(column for columns in SPACES.values() for column in columns), "since_scan_before", "until_next_scan",
                  "mean_probability", "max_probability", "box_score", "found_by_unet", "found_by_local_branch")
log = logging.getLogger(__name__)


class Course(NamedTuple):
    """What became of the lesions of a scan, where the patient has another one to compare it with."""

    before: str = ""                # the case of the scan before; "": this is the first
    counts: dict[str, int] = {}     # by kind of `longitudinal.KINDS`, since then
    since: dict[int, str] = {}      # what each lesion, by its label, has done since then
    until: dict[int, str] = {}      # and what it will have done at the next scan


ALONE = Course()        # of a scan that there is no other to compare with


def write_tables(folder: Path, done: Collection[str], failed: Collection[str] = (),
                 courses: Mapping[str, Course] = MappingProxyType({})) -> None:
    """Bring both tables of a folder up to date; in the order of the cases' names, the same bytes for the same results.

    Rows of other cases are kept as they stand, as long as the results are there: only what a call has done is read. Where there
    is no table yet, or one of other columns, all results of the folder are.

    Args:
        folder: holds `<case>_lesions.json` files; a damaged one is named in a warning, and its case left out.
        done: the cases that were segmented.
        failed: those that could not be, whose results there are of an earlier scan.
        courses: by case, of patients with several scans.

    Raises:
        InputError: a table cannot be written.
    """
    with locks.turn(folder):
        cases, lesions = _rows(folder / CASES, CASE_COLUMNS), _rows(folder / LESIONS, LESION_COLUMNS)
        if cases is None or lesions is None:
            cases, lesions, done = [], [], [path.name.removesuffix(ENDING) for path in folder.glob(f"*{ENDING}")]
        there = {row["case"] for row in cases if (folder / f"{row['case']}{ENDING}").is_file()} - {*done, *failed}
        results = list(_results(folder, sorted({*done} - {*failed})))
        cases = [row for row in cases if row["case"] in there]
        cases += [case_row(about, courses.get(about["case"], ALONE)) for about in results]
        lesions = [row for row in lesions if row["case"] in there]
        lesions += [_lesion_row(about, lesion, courses.get(about["case"], ALONE))
                    for about in results for lesion in about["lesions"]]
        for name, columns, rows in ((LESIONS, LESION_COLUMNS, lesions), (CASES, CASE_COLUMNS, cases)):
            replace_file(folder / name, _text(columns, sorted(rows, key=lambda row: row["case"])))


def _rows(table: Path, columns: Sequence[str]) -> list[dict[str, Any]] | None:
    """The rows of a table; none where there is none, or one of other columns."""
    if not table.is_file():
        return None
    with open(table, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        return list(reader) if tuple(reader.fieldnames or ()) == tuple(columns) else None


def read_result(path: Path) -> dict[str, Any]:
    """What `predict` wrote of a case beside its mask.

    Raises:
        InputError: it is absent or damaged.
    """
    return read_sealed(path, "list of lesions", "segment the scan again", CASE)


def result_of(folder: Path, name: str) -> dict[str, Any]:
    """As `read_result`, of a case in a folder of results."""
    return read_result(folder / f"{name}{ENDING}")


def _results(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        try:
            yield result_of(folder, name)
        except InputError as error:
            log.warning(f"{error}; it is left out of {CASES} and {LESIONS}")


def case_row(about: Mapping[str, Any], course: Course = ALONE) -> dict[str, Any]:
    """A case's row of cases.csv, by column. Volumes are those in the space that the scan was taken in."""
    scale, brain = about.get("own_space_scale", 1.0), about.get("brain_ml")     # what an earlier version did not write is unknown
    quality = quality_range.from_stored(about)
    ventricles, met = about.get("ventricle_ml"), about.get("regions_met") or {}
    notes = [*about["notes"], *filter(None, [about.get("places_note")])]
    return {"case": about["case"], "lesions": about["count"], "lesions_split": about.get("count_split"),
            "volume_ml": round(scale * about["volume_ml"], 6),
            **_by_size(about["lesions"], scale), **(_in_regions(about["lesions"], scale) if met else {}),
            "regions_met": met.get("count"), "regions": "; ".join(met.get("names", ())),
            "brain_ml": brain and round(scale * brain, 3), "ventricle_ml": ventricles and round(scale * ventricles, 3),
            "percent_of_brain": round(100 * about["volume_ml"] / brain, 4) if brain else None,
            "compared_with": course.before, **({kind: course.counts.get(kind, 0) for kind in CHANGES} if course.before else {}),
            **{QUALITY[row.measure]: row.value for row in quality},
            "flags": "; ".join(row.name for row in quality if row.flagged),
            "network": (about.get("checkpoint") or {}).get("sha256", "")[:12], "flair": about["images"].get("flair"),
            "notes": "; ".join(notes)}


def _by_size(lesions: Sequence[Mapping[str, Any]], scale: float) -> dict[str, float]:
    """Number and volume of lesions by size class."""
    volumes = [scale * lesion["volume_mm3"] for lesion in lesions]
    classes = [[mm3 for mm3 in volumes if low <= mm3 < high] for low, high in itertools.pairwise([0.0, *EDGES, math.inf])]
    return {f"lesions_{size}": len(own) for size, own in zip(SIZES, classes)} | {
        f"ml_{size}": round(sum(own) / 1000, 6) for size, own in zip(SIZES, classes)}


def _in_regions(lesions: Sequence[Mapping[str, Any]], scale: float) -> dict[str, float]:
    """Number and volume of lesions by region; of a lesion that was divided, its parts count."""
    parts = [part for lesion in lesions for part in lesion.get("parts") or [lesion]]
    volumes = {region: [scale * part["volume_mm3"] for part in parts if part["region"] == region] for region in REGIONS}
    return {f"lesions_{region}": len(own) for region, own in volumes.items()} | {
        f"ml_{region}": round(sum(own) / 1000, 6) for region, own in volumes.items()}


def _lesion_row(about: Mapping[str, Any], lesion: Mapping[str, Any], course: Course) -> dict[str, Any]:
    volume = round(about.get("own_space_scale", 1.0) * lesion["volume_mm3"], 4)
    places = {column: value for key, columns in SPACES.items() for column, value in zip(columns, lesion.get(key) or ())}
    return {"case": about["case"], "lesion": lesion["label"], "volume_mm3": volume, "voxels": lesion["voxels"], **places,
            **{key: lesion.get(key) for key in ("region", "side", "ventricle_mm", "cortex_mm")},
            "parts": len(lesion["parts"]) if lesion.get("parts") else None,
            "since_scan_before": course.since.get(lesion["label"]), "until_next_scan": course.until.get(lesion["label"]),
            "mean_probability": lesion["mean_probability"], "max_probability": lesion["max_probability"],
            "box_score": lesion["detection_score"], "found_by_unet": int(lesion["global_alone"]),
            "found_by_local_branch": int(lesion["local_alone"])}


def _text(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
