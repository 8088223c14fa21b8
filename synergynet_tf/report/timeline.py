"""The pages of patients with several scans: what became of their lesions from scan to scan."""
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from synergynet_tf.data import preprocess
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.nifti import Volume
from synergynet_tf.metrics.longitudinal import CHANGED, CHANGED_MM3, KINDS, Change, Comparison
from synergynet_tf.report.comparison import Table
from synergynet_tf.report.elements import Bar, Kind, Page, Row
from synergynet_tf.report.follow_up import FollowUp, comparable_masks, compare_masks, scan_label
from synergynet_tf.report.volumes import Layer, Scan, world

COLOURS = {"new": "#ee3377", "enlarged": "#ff9f1c", "shrunk": "#33bbee", "resolved": "#aa66ff", "stable": "#2ec4b6"}
FIRST = "lesions"           # of a patient's first scan, which nothing goes before
CHANGE_KINDS = [*(Kind(kind, COLOURS[kind]) for kind in KINDS), Kind(FIRST, COLOURS["stable"])]
CHANGE_HEAD = ("Patient", "Scans", "New", "Enlarged", "Shrunk", "Resolved", "Stable", "Before, ml", "After, ml")
NOTE = (f"Lesions of two scans are one line where they share a voxel, directly or through others: merged and split ones are "
        f"compared as a whole. Enlarged or shrunk: by more than {CHANGED:.0%} of the earlier volume and {CHANGED_MM3:g} mm³. "
        "Scans are compared as they are registered; differences of a voxel at a border, and lesions of a voxel or two, "
        "are within its error.")


def timeline_pages(patients: Mapping[str, FollowUp], folder: Path) -> Iterator[Page]:
    """A page for each patient with two or more scans on one grid, from what `predict` wrote into a folder."""
    for patient, known in patients.items():
        scans, doubt, volumes, changes, _ = known
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
