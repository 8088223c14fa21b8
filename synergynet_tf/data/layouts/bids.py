"""A dataset in the Brain Imaging Data Structure, its lesion masks among the derivatives."""
import dataclasses
import re
from pathlib import Path

from synergynet_tf.data.layouts.case import LESIONS, Case, case_of, open_subfolders, scans, subfolders
from synergynet_tf.data.layouts.dates import bids_date

CHANNELS = {"flair": "flair", "t2w": "t2", "t1w": "t1", "pdw": "pd"}
CONTRAST = "t1gd"       # T1w with the entity ce-


def find(path: Path) -> list[Case] | None:
    """folders sub-01/[ses-01/]anat/ with *_FLAIR.nii.gz, *_T2w.nii.gz; masks in derivatives/*/sub-01/[ses-01/]anat/*_mask.nii.gz.

    A session without FLAIR is no case. Masks labelled as lesions (label-lesion..., desc-lesion...) go before others, wherever
    they lie; brain masks are none.
    """
    cases = []
    for patient in subfolders(path, r"sub-.+"):
        for folder in (patient, *subfolders(patient, r"ses-.+")):
            files = _files(path, folder)
            if "flair" in files:
                case = case_of(patient.name, folder.name if folder != patient else "", files)
                cases.append(dataclasses.replace(case, date=bids_date(patient, folder, files["flair"][0])))
    return cases or None


def _files(root: Path, folder: Path) -> dict[str, list[Path]]:
    """The candidates of a patient's or session's folder by channel."""
    where = folder.relative_to(root)
    inside = scans(folder / "anat")
    files: dict[str, list[Path]] = {}
    for name, paths in inside.items():
        channel = CHANNELS.get(name.rpartition("_")[2])
        if channel is not None:
            files.setdefault(CONTRAST if channel == "t1" and "_ce-" in name else channel, []).extend(paths)
    derived = [scan_files for pipeline in open_subfolders(root / "derivatives")
               for scan_files in scans(pipeline / where / "anat").items()]
    masks = [(name, paths) for name, paths in derived if name.endswith("_mask")]
    lesions = [paths for name, paths in [*inside.items(), *masks] if re.search(r"_(label|desc)-lesions?[^_]*_mask$", name)]
    others = [paths for name, paths in masks if not re.search(r"_(label|desc)-brain[^_]*_", name)]
    files[LESIONS] = [path for paths in lesions or others for path in paths]
    return files
