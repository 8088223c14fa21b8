"""The pages of patients with several scans: what became of their lesions from scan to scan."""
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from synergynet_tf.data import nifti, preprocess
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.timepoints import in_order, natural
from synergynet_tf.errors import InputError
from synergynet_tf.metrics.longitudinal import CHANGED, CHANGED_MM3, KINDS, Change, Comparison, compare_scans
from synergynet_tf.report.comparison import Table
from synergynet_tf.report.elements import Bar, Kind, Page, Row
from synergynet_tf.report.pages import lesion_file
from synergynet_tf.report.volumes import Layer, Scan, world

COLOURS = {"new": "#ee3377", "enlarged": "#ff9f1c", "shrunk": "#33bbee", "resolved": "#aa66ff", "stable": "#2ec4b6"}
FIRST = "lesions"           # of a patient's first scan, which nothing goes before
CHANGE_KINDS = [*(Kind(kind, COLOURS[kind]) for kind in KINDS), Kind(FIRST, COLOURS["stable"])]
CHANGE_HEAD = ("Patient", "Scans", "New", "Enlarged", "Shrunk", "Resolved", "Stable", "Before, ml", "After, ml")
NOTE = (f"Lesions of two scans are one line where they share a voxel, directly or through others: merged and split ones are "
        f"compared as a whole. Enlarged or shrunk: by more than {CHANGED:.0%} of the earlier volume and {CHANGED_MM3:g} mm³. "
        "Scans are compared as they are registered; differences of a voxel at a border, and lesions of a voxel or two, "
        "are within its error.")


class FollowUp(NamedTuple):
    """A patient's scans in their order in time, and what became of the lesions."""

    scans: list[Case]
    doubt: str | None                   # why the order is not certain
    volumes: list[float]                # of each scan's lesions, ml in the space that it was taken in
    changes: list[list[Change]] | None  # from each scan to the next; None: they are not on one grid

    def count(self, kind: str) -> int:
        """How many changes of a kind there are, from the first scan to the last."""
        return sum(change.kind == kind for step in self.changes or () for change in step)


def follow_ups(cases: Sequence[Case], folder: Path) -> dict[str, FollowUp]:
    """Each patient's, with one scan or more, from what `predict` wrote into a folder; in the order of their names."""
    by_patient: dict[str, list[Case]] = {}
    for case in cases:
        by_patient.setdefault(case.patient, []).append(case)
    return {patient: _follow_up(by_patient[patient], folder) for patient in sorted(by_patient, key=natural)}


def _follow_up(cases: Sequence[Case], folder: Path) -> FollowUp:
    scans, doubt = in_order(cases)
    volumes = [about.get("own_space_scale", 1.0) * about["volume_ml"] for about in (lesion_file(folder, case) for case in scans)]
    masks = comparable_masks(scans, folder)
    return FollowUp(scans, doubt, volumes,
                    None if masks is None else [found.changes for found in compare_masks(scans, masks, folder)])


def timeline_pages(patients: Mapping[str, FollowUp], folder: Path) -> Iterator[Page]:
    """A page for each patient with two or more scans on one grid, from what `predict` wrote into a folder."""
    for patient, known in patients.items():
        scans, doubt, volumes, changes = known
        if len(scans) == 1 or changes is None:
            continue
        masks = comparable_masks(scans, folder) or []
        comparisons = compare_masks(scans, masks, folder)
        rows = [Row((step, change.kind, change.before_mm3, change.after_mm3, change.after_mm3 - change.before_mm3,
                     f"{change.n_before} → {change.n_after}"), world(masks[0].affine, change.place), change.kind, number)
                for number, (step, comparison) in enumerate(zip(_steps(scans), comparisons), start=1)
                for change in comparison.changes]
        shown = [Scan(case.name, scan_label(case), preprocess.read_scan(case.images["flair"]), layers)
                 for case, layers in zip(scans, _layers(masks, comparisons))]
        facts = [("Scans", str(len(scans))), ("Lesion volume", " → ".join(f"{ml:.2f}" for ml in volumes) + " ml"),
                 *([("Order in time", f"not certain: {doubt}")] if doubt else [])]
        yield Page(f"{patient}-timeline", f"{patient}: {len(scans)} scans", facts, shown,
                   ("Scans", "Lesion", "Before", "After", "Change, mm³", "Parts"), rows, NOTE,
                   CHANGE_KINDS, "", (), [Table("changes", "From scan to scan", CHANGE_HEAD[1:], change_rows(known), "", 2)],
                   load_bars(known))


def change_table(patients: Mapping[str, FollowUp]) -> Table | None:
    """What became of lesions from scan to scan, a row for each two scans of a patient; None where no patient has two."""
    rows: list[tuple] = []
    for patient, known in patients.items():
        if known.changes is None:
            rows.append((patient, "not compared: the scans are not on one grid", *[""] * (len(CHANGE_HEAD) - 2)))
        else:
            rows += [(patient, *row) for row in change_rows(known)]
    return Table("changes", "From scan to scan", CHANGE_HEAD, rows, "Number of lesions and their change in volume. " + NOTE,
                 2) if rows else None


def comparable_masks(scans: Sequence[Case], folder: Path) -> list[Volume] | None:
    """The masks of a patient's scans; None where they are not on one grid, and cannot be compared voxel by voxel."""
    masks = [nifti.read_mask(folder / f"{case.name}_mask.nii.gz") for case in scans]
    try:
        for mask in masks[1:]:
            nifti.check_same_grid(masks[0], mask)
    except InputError:
        return None
    return masks


def compare_masks(scans: Sequence[Case], masks: Sequence[Volume], folder: Path) -> list[Comparison]:
    """The lesions of each two scans that follow one another, matched; masks: as of `comparable_masks`."""
    about = [lesion_file(folder, case) for case in scans]
    scales = pairwise(each.get("own_space_scale", 1.0) for each in about)
    return [compare_scans(before.array, after.array, after.spacing, about[-1]["connectivity"], scale)
            for (before, after), scale in zip(pairwise(masks), scales)]


def _layers(masks: Sequence[Volume], comparisons: Sequence[Comparison]) -> list[list[Layer]]:
    """Of each scan: its lesions by what they have done since the one before, and where the resolved ones were."""
    layers = [[Layer(FIRST, masks[0].array, COLOURS["stable"])]]
    for comparison in comparisons:
        sides = {kind: comparison.masks(kind) for kind in KINDS}
        layers.append([Layer(kind, before if kind == "resolved" else after, COLOURS[kind])
                       for kind, (before, after) in sides.items()])
    return layers


def load_bars(known: FollowUp) -> list[Bar]:
    """The volume of each scan's lesions, by what these did since the scan before, where that is known."""
    bars = [Bar(scan_label(case), ((FIRST, volume),)) for case, volume in zip(known.scans, known.volumes)]
    for number, changes in enumerate(known.changes or (), start=1):
        parts = ((kind, sum(change.after_mm3 for change in _of_kind(changes, kind)) / 1000)
                 for kind in ("stable", "shrunk", "enlarged", "new"))
        bars[number] = bars[number]._replace(parts=tuple(parts))
    return bars


def change_rows(known: FollowUp) -> list[tuple]:
    """A row for each scan but the first: the step, the number and volume of changes by kind, the volume before and after."""
    return [(step, *(_counted(_of_kind(changes, kind)) for kind in KINDS), before, after)
            for step, changes, (before, after) in zip(_steps(known.scans), known.changes or (), pairwise(known.volumes))]


def _counted(changes: Sequence[Change]) -> str:
    if not changes:
        return "0"
    return f"{len(changes)} ({sum(change.after_mm3 - change.before_mm3 for change in changes) / 1000:+.2f} ml)"


def _of_kind(changes: Sequence[Change], kind: str) -> list[Change]:
    return [change for change in changes if change.kind == kind]


def _steps(scans: Sequence[Case]) -> list[str]:
    return [f"{scan_label(before)} → {scan_label(after)}" for before, after in pairwise(scans)]


def scan_label(case: Case) -> str:
    """What a scan of a patient is called beside the others."""
    return case.session or case.name
