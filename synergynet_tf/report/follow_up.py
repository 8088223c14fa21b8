"""What became of patients' lesions from scan to scan, from what `predict` wrote: for the tables and for the report."""
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from synergynet_tf.data import nifti
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.timepoints import in_order, natural
from synergynet_tf.errors import InputError
from synergynet_tf.metrics.longitudinal import KINDS, Change, Comparison, compare_scans
from synergynet_tf.report.prediction_tables import Course, result_of


class FollowUp(NamedTuple):
    """A patient's scans in their order in time, and what became of the lesions."""

    scans: list[Case]
    doubt: str | None                   # why the order is not certain
    volumes: list[float]                # of each scan's lesions, ml in the space that it was taken in
    changes: list[list[Change]] | None  # from each scan to the next; None: they are not on one grid
    courses: list[Course]               # of each scan, for the tables; empty where there is nothing to compare

    def count(self, kind: str) -> int:
        """How many changes of a kind there are, from the first scan to the last."""
        return sum(change.kind == kind for step in self.changes or () for change in step)


def follow_ups(cases: Sequence[Case], folder: Path) -> dict[str, FollowUp]:
    """Each patient's, with one scan or more, in the order of their names.

    Args:
        cases: segmented.
        folder: holds the results.

    Raises:
        InputError: a result is damaged.
    """
    by_patient: dict[str, list[Case]] = {}
    for case in cases:
        by_patient.setdefault(case.patient, []).append(case)
    return {patient: _follow_up(by_patient[patient], folder) for patient in sorted(by_patient, key=natural)}


def courses(patients: Mapping[str, FollowUp]) -> dict[str, Course]:
    """The course of each scan that was compared with another one, by case."""
    return {case.name: course for known in patients.values() for case, course in zip(known.scans, known.courses)}


def _follow_up(cases: Sequence[Case], folder: Path) -> FollowUp:
    scans, doubt = in_order(cases)
    results = [result_of(folder, case.name) for case in scans]
    volumes = [about.get("own_space_scale", 1.0) * about["volume_ml"] for about in results]
    if len(scans) == 1:
        return FollowUp(scans, doubt, volumes, [], [])
    masks = comparable_masks(scans, folder)
    if masks is None:
        return FollowUp(scans, doubt, volumes, None, [])
    comparisons = compare_masks(scans, masks, folder)
    lesions = [about["lesions"] for about in results]
    return FollowUp(scans, doubt, volumes, [found.changes for found in comparisons], _courses(scans, masks, comparisons, lesions))


def _courses(scans: Sequence[Case], masks: Sequence[Volume], comparisons: Sequence[Comparison],
             lesions: Sequence[Sequence[Mapping[str, Any]]]) -> list[Course]:
    made = [Course() for _ in scans]
    for i, comparison in enumerate(comparisons):
        kinds = [change.kind for change in comparison.changes]
        made[i] = made[i]._replace(until=_kinds(lesions[i], masks[i], comparison.before, kinds))
        made[i + 1] = Course(scans[i].name, {kind: kinds.count(kind) for kind in KINDS},
                             _kinds(lesions[i + 1], masks[i + 1], comparison.after, kinds))
    return made


def _kinds(lesions: Sequence[Mapping[str, Any]], mask: Volume, changes: np.ndarray, kinds: Sequence[str]) -> dict[int, str]:
    """What each lesion did, by its label; changes: the number of its change at each voxel, from 1, as of `Comparison`."""
    to_voxels = np.linalg.inv(mask.affine)
    voxels = [np.round(to_voxels[:3, :3] @ lesion["inside_mm"] + to_voxels[:3, 3]).astype(int) for lesion in lesions]
    return {lesion["label"]: kinds[changes[tuple(voxel)] - 1] for lesion, voxel in zip(lesions, voxels)}


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
    about = [result_of(folder, case.name) for case in scans]
    scales = pairwise(each.get("own_space_scale", 1.0) for each in about)
    return [compare_scans(before.array, after.array, after.spacing, about[-1]["connectivity"], scale)
            for (before, after), scale in zip(pairwise(masks), scales)]


def scan_label(case: Case) -> str:
    """What a scan of a patient is called beside the others."""
    return case.session or case.name
