"""What became of each lesion of patients with several scans, for the tables of results."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synergynet_tf.data.layouts import Case
from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.timepoints import in_order
from synergynet_tf.metrics.longitudinal import KINDS
from synergynet_tf.report.pages import lesion_file
from synergynet_tf.report.prediction_tables import Course
from synergynet_tf.report.timeline import comparable_masks, compare_masks


def courses(cases: Sequence[Case], folder: Path) -> dict[str, Course]:
    """The course of each scan of a patient with two or more on one grid, by case, from what `predict` wrote into a folder.

    Raises:
        InputError: a result is damaged.
    """
    by_patient: dict[str, list[Case]] = {}
    for case in cases:
        by_patient.setdefault(case.patient, []).append(case)
    found: dict[str, Course] = {}
    for scans in by_patient.values():
        ordered = in_order(scans).scans
        masks = comparable_masks(ordered, folder) if len(ordered) > 1 else None
        if masks:
            found |= _of_patient(ordered, masks, folder)
    return found


def _of_patient(scans: Sequence[Case], masks: Sequence[Volume], folder: Path) -> dict[str, Course]:
    """The courses of a patient's scans, which are in their order in time."""
    lesions = [lesion_file(folder, case)["lesions"] for case in scans]
    found = [Course() for _ in scans]
    for i, comparison in enumerate(compare_masks(scans, masks, folder)):
        kinds = [change.kind for change in comparison.changes]
        found[i] = found[i]._replace(until=_kinds(lesions[i], masks[i], comparison.before, kinds))
        found[i + 1] = Course(scans[i].name, {kind: kinds.count(kind) for kind in KINDS},
                              _kinds(lesions[i + 1], masks[i + 1], comparison.after, kinds))
    return {case.name: course for case, course in zip(scans, found)}


def _kinds(lesions: Sequence[Mapping[str, Any]], mask: Volume, changes: np.ndarray, kinds: Sequence[str]) -> dict[int, str]:
    """What each lesion did, by its label; changes: the number of its change at each voxel, from 1, as of `Comparison`."""
    to_voxels = np.linalg.inv(mask.affine)
    voxels = [np.round(to_voxels[:3, :3] @ lesion["inside_mm"] + to_voxels[:3, 3]).astype(int) for lesion in lesions]
    return {lesion["label"]: kinds[changes[tuple(voxel)] - 1] for lesion, voxel in zip(lesions, voxels)}
