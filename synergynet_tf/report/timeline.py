"""The pages of patients with several scans: what became of their lesions from scan to scan."""
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from synergynet_tf.data import nifti, preprocess
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.timepoints import Ordered, in_order, natural
from synergynet_tf.errors import InputError
from synergynet_tf.metrics.longitudinal import CHANGED, CHANGED_MM3, KINDS, Change, Comparison, compare_scans
from synergynet_tf.report.comparison import Table
from synergynet_tf.report.html import Bar, Kind, Page, Row
from synergynet_tf.report.pages import lesion_file
from synergynet_tf.report.volumes import Layer, Scan, world

COLOURS = {"new": "#ee3377", "enlarged": "#ff9f1c", "shrunk": "#33bbee", "resolved": "#aa66ff", "stable": "#2ec4b6"}
FIRST = "lesions"           # the layer of a patient's first scan, which nothing goes before
TIMELINE_HEAD = ("Patient", "Scans", "First, ml", "Last, ml", "New", "Enlarged", "Shrunk", "Resolved")   # of the list of pages
CHANGE_HEAD = ("Patient", "Scans", "New", "Enlarged", "Shrunk", "Resolved", "Stable", "Before, ml", "After, ml")
NOTE = (f"Lesions of two scans are one line where they share a voxel, directly or through others: merged and split ones are "
        f"compared as a whole. Enlarged or shrunk: by more than {CHANGED:.0%} of the earlier volume and {CHANGED_MM3:g} mm³. "
        "Scans are compared as they are registered; differences of a voxel at a border, and lesions of a voxel or two, "
        "are within its error.")


def timeline_pages(cases: Sequence[Case], folder: Path) -> Iterator[Page]:
    """A page for each patient with two or more scans on one grid, from what `predict` wrote into a folder."""
    for patient, (scans, doubt) in patients(cases).items():
        masks = comparable_masks(scans, folder)
        if masks is None:
            continue
        comparisons = _comparisons(scans, masks, folder)
        rows = [Row((step, change.kind, change.before_mm3, change.after_mm3, change.after_mm3 - change.before_mm3,
                     f"{change.n_before} → {change.n_after}"), world(masks[0].affine, change.place), change.kind, number)
                for number, (step, comparison) in enumerate(zip(_steps(scans), comparisons), start=1)
                for change in comparison.changes]
        shown = [Scan(case.name, _label(case), preprocess.read_scan(case.images["flair"]), layers)
                 for case, layers in zip(scans, _layers(masks, comparisons))]
        volumes = [_ml(mask) for mask in masks]
        facts = [("Scans", str(len(scans))), ("Lesion volume", " → ".join(f"{ml:.2f}" for ml in volumes) + " ml"),
                 *([("Order in time", f"not certain: {doubt}")] if doubt else [])]
        yield Page(f"{patient}-timeline", f"{patient}: {len(scans)} scans", facts, shown,
                   ("Scans", "Lesion", "Before", "After", "Change, mm³", "Parts"), rows, NOTE,
                   [*(Kind(kind, COLOURS[kind]) for kind in KINDS), Kind(FIRST, COLOURS["stable"])], "Patients",
                   (len(scans), volumes[0], volumes[-1], *(_count(comparisons, kind) for kind in KINDS[:-1])),
                   [Table("changes", "From scan to scan", CHANGE_HEAD[1:], _change_rows(scans, masks, comparisons), "", 2)],
                   _bars(scans, masks, comparisons))


def change_table(cases: Sequence[Case], folder: Path) -> Table | None:
    """What became of lesions from scan to scan, a row for each two scans of a patient; None where no patient has two."""
    rows: list[tuple] = []
    for patient, (scans, _) in patients(cases).items():
        masks = comparable_masks(scans, folder)
        if masks is None:
            rows.append((patient, "not compared: the scans are not on one grid", *[""] * (len(CHANGE_HEAD) - 2)))
        else:
            rows += [(patient, *row) for row in _change_rows(scans, masks, _comparisons(scans, masks, folder))]
    return Table("changes", "From scan to scan", CHANGE_HEAD, rows, "Number of lesions and their change in volume. " + NOTE,
                 2) if rows else None


def patients(cases: Sequence[Case]) -> dict[str, Ordered]:
    """Each patient with two or more scans, these in their order in time."""
    by_patient: dict[str, list[Case]] = {}
    for case in cases:
        by_patient.setdefault(case.patient, []).append(case)
    return {patient: in_order(by_patient[patient]) for patient in sorted(by_patient, key=natural) if len(by_patient[patient]) > 1}


def comparable_masks(scans: Sequence[Case], folder: Path) -> list[Volume] | None:
    """The masks of a patient's scans; None where they are not on one grid, and cannot be compared voxel by voxel."""
    masks = [nifti.read_mask(folder / f"{case.name}_mask.nii.gz") for case in scans]
    try:
        for mask in masks[1:]:
            nifti.check_same_grid(masks[0], mask)
    except InputError:
        return None
    return masks


def _comparisons(scans: Sequence[Case], masks: Sequence[Volume], folder: Path) -> list[Comparison]:
    connectivity = lesion_file(folder, scans[-1])["connectivity"]
    return [compare_scans(before.array, after.array, after.spacing, connectivity) for before, after in pairwise(masks)]


def _layers(masks: Sequence[Volume], comparisons: Sequence[Comparison]) -> list[list[Layer]]:
    """Of each scan: its lesions by what they have done since the one before, and where the resolved ones were."""
    layers = [[Layer(FIRST, masks[0].array, COLOURS["stable"])]]
    for comparison in comparisons:
        sides = {kind: comparison.masks(kind) for kind in KINDS}
        layers.append([Layer(kind, before if kind == "resolved" else after, COLOURS[kind])
                       for kind, (before, after) in sides.items()])
    return layers


def _bars(scans: Sequence[Case], masks: Sequence[Volume], comparisons: Sequence[Comparison]) -> list[Bar]:
    bars = [Bar(_label(scans[0]), ((FIRST, _ml(masks[0])),))]
    for case, comparison in zip(scans[1:], comparisons):
        parts = ((kind, sum(change.after_mm3 for change in _of_kind(comparison, kind)) / 1000)
                 for kind in ("stable", "shrunk", "enlarged", "new"))
        bars.append(Bar(_label(case), tuple(parts)))
    return bars


def _change_rows(scans: Sequence[Case], masks: Sequence[Volume], comparisons: Sequence[Comparison]) -> list[tuple]:
    return [(step, *(_counted(_of_kind(comparison, kind)) for kind in KINDS), _ml(before), _ml(after))
            for step, comparison, (before, after) in zip(_steps(scans), comparisons, pairwise(masks))]


def _counted(changes: Sequence[Change]) -> str:
    if not changes:
        return "0"
    return f"{len(changes)} ({sum(change.after_mm3 - change.before_mm3 for change in changes) / 1000:+.2f} ml)"


def _of_kind(comparison: Comparison, kind: str) -> list[Change]:
    return [change for change in comparison.changes if change.kind == kind]


def _count(comparisons: Sequence[Comparison], kind: str) -> int:
    return sum(len(_of_kind(comparison, kind)) for comparison in comparisons)


def _steps(scans: Sequence[Case]) -> list[str]:
    return [f"{_label(before)} → {_label(after)}" for before, after in pairwise(scans)]


def _label(case: Case) -> str:
    return case.session or case.name


def _ml(mask: Volume) -> float:
    return float(mask.array.sum() * abs(np.linalg.det(mask.affine[:3, :3])) / 1000)
