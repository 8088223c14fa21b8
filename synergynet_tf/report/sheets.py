"""A patient on one sheet of paper: load and lesions over time, and pictures that show at a glance whether all went well."""
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from synergynet_tf.data import quality_range
from synergynet_tf.data.anatomy.regions import REGIONS
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.raw import record
from synergynet_tf.data.raw.record import PICTURE
from synergynet_tf.report.comparison import Cell, Table
from synergynet_tf.report.elements import Sheet
from synergynet_tf.report.follow_up import FollowUp, scan_label
from synergynet_tf.report.pages import SCAN_HEAD, flags, lesion_file, notes_on, scan_summary
from synergynet_tf.report.prediction_tables import case_row
from synergynet_tf.report.timeline import CHANGE_KINDS, load_bars

PATIENT_HEAD = ("Patient", "Scans", "First, ml", "Last, ml", "New", "Enlarged", "Shrunk", "Resolved", "Flags")
MOST_SCANS = 12             # that have room on the sheet
UNKNOWN = float("nan")
CHANGES = ("new", "enlarged", "shrunk", "resolved")


def patient_sheets(patients: Mapping[str, FollowUp], folder: Path) -> Iterator[Sheet]:
    """A sheet for each patient, from what `predict` wrote into a folder; the last scans are on it where they are many.

    Raises:
        InputError: a result is damaged.
    """
    for patient, known in patients.items():
        results = [lesion_file(folder, case) for case in known.scans]
        last, about = known.scans[-1], results[-1]
        row = case_row(about)
        facts = [("Lesions", str(row["lesions"])), ("Lesion volume", f"{row['volume_ml']:.2f} ml"), *_shares(row),
                 ("Scans", str(len(known.scans)))]
        shown = known._replace(scans=known.scans[-MOST_SCANS:], volumes=known.volumes[-MOST_SCANS:],
                               changes=known.changes and known.changes[-MOST_SCANS + 1:])
        several = [("all scans in one viewer", f"{patient}-timeline")] if known.changes else []
        yield Sheet(patient, facts, (last.name, f"{scan_label(last)}: FLAIR, predicted lesions"), _preparation(last),
                    [_scan_table(shown, results[-MOST_SCANS:]), *_region_table(last, about), *_quality_table(last, about)],
                    load_bars(shown), CHANGE_KINDS,
                    [*several, *((scan_label(case), case.name) for case in known.scans)], _notes(known, results),
                    (len(known.scans), known.volumes[0], known.volumes[-1], *_counts(known), flags(about)))


def _shares(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    share = row["percent_of_brain"]
    return [] if share is None else [("Share of the brain", f"{share:.2f} %"), ("Brain", f"{row['brain_ml']:.0f} ml")]


def _preparation(case: Case) -> list[tuple[str, Path]]:
    """The picture of a raw scan's preparation."""
    flair = case.images["flair"]
    path, known = flair.parent / PICTURE, record.known(flair.parent)
    if known is None or known.files["flair"] != flair.name or not path.is_file():
        return []
    return [(f"{scan_label(case)}: brain as found in the raw scan, and where it lies in MNI152", path)]


def _scan_table(known: FollowUp, results: Sequence[Mapping[str, Any]]) -> Table:
    """A row a scan."""
    rows = [(scan_label(case), *scan_summary(about)[:3]) for case, about in zip(known.scans, results)]
    if not known.changes:
        return Table("scans", "Scans", SCAN_HEAD[:4], rows, "", 2)
    steps: list[tuple[Cell, ...]] = [(UNKNOWN,) * len(CHANGES)]
    steps += [tuple(sum(change.kind == kind for change in step) for kind in CHANGES) for step in known.changes]
    return Table("scans", "Scans", (*SCAN_HEAD[:4], *(kind.capitalize() for kind in CHANGES)),
                 [row + step for row, step in zip(rows, steps)], "New to resolved: lesions since the scan before.", 2)


def _region_table(case: Case, about: Mapping[str, Any]) -> list[Table]:
    """The last scan's lesions by region; nothing where places are not known."""
    met, row = about.get("regions_met"), case_row(about)
    if not met:
        return []
    rows = [(region, row[f"lesions_{region}"], row[f"ml_{region}"]) for region in REGIONS]
    return [Table("regions", f"Regions, {scan_label(case)}", ("Region", "Lesions", "Volume, ml"), rows,
                  f"{met['count']} {met['definition']}.", 2)]


def _quality_table(case: Case, about: Mapping[str, Any]) -> list[Table]:
    """The last scan's image quality; nothing of a result of an earlier version."""
    rows = quality_range.table(about)
    head = ("Measure", "Value", "Training scans", "Flag")
    return [Table("quality", f"Image quality, {scan_label(case)}", head, rows, "")] if rows else []


def _counts(known: FollowUp) -> list[Cell]:
    return [UNKNOWN if known.changes is None else known.count(kind) for kind in CHANGES]


def _notes(known: FollowUp, results: Sequence[Mapping[str, Any]]) -> list[str]:
    left_out = len(known.scans) - MOST_SCANS
    return [*([f"The {left_out} first scans are left out here."] if left_out > 0 else []),
            *([f"The order in time is not certain: {known.doubt}"] if known.doubt else []),
            *(["The scans are not on one grid, and their lesions not compared."] if known.changes is None else []),
            *(f"{scan_label(case)}: {note}" for case, about in zip(known.scans, results) for note in notes_on(about))]
