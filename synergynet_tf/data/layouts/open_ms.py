"""The cross-sectional scans of Lesjak et al. (Neuroinformatics 2018), in plain names or in those of their publication."""
from collections.abc import Mapping, Sequence
from pathlib import Path

from synergynet_tf.data.layouts.case import LESIONS, Case, case_of, named, plain, scans, subfolders

PUBLISHED = {"FLAIR": "flair", "T1W": "t1", "T1WKS": "t1gd", "T2W": "t2", "consensus_gt": LESIONS}


def find(path: Path) -> list[Case] | None:
    """folders patient<number>/ with flair.nii.gz, t2.nii.gz, t1.nii.gz, lesions.nii.gz; or FLAIR, T2W, T1W, consensus_gt.

    The publication's names may carry the patient's, as in patient01_FLAIR.nii.gz.
    """
    return [case_of(folder.name, "", _files(folder)) for folder in subfolders(path, r"patient\d+")] or None


def _files(folder: Path) -> Mapping[str, Sequence[Path]]:
    files = scans(folder)
    published = named(files, PUBLISHED, f"{folder.name}_") or named(files, PUBLISHED)
    return plain(files) if "flair" in files and published.keys() == {"flair"} else published or plain(files)
