"""MSLesSeg (Guarnera et al., Scientific Data 2025), in plain names or in those of its publication."""
from pathlib import Path

from synergynet_tf.data.layouts.case import LESIONS, Case, case_of, named, plain, scans, subfolders

PUBLISHED = {"FLAIR": "flair", "T1": "t1", "T2": "t2", "MASK": LESIONS}


def find(path: Path) -> list[Case] | None:
    """folders P<patient>_T<session>/ with flair.nii.gz, t2.nii.gz, lesions.nii.gz; or [train/]P1/T1/P1_T1_FLAIR.nii.gz.

    As published, the mask is P1_T1_MASK.nii.gz, and patients of the test part have one time point: test/P54/P54_FLAIR.nii.gz.
    The publication's division is not kept: name its train folder to leave its test part out.
    """
    cases = []
    for folder in subfolders(path, r"P\d+_T\d+"):
        patient, session = folder.name.split("_")
        cases.append(case_of(patient, session, plain(scans(folder))))
    for part in (path, path / "train", path / "test"):
        for folder in subfolders(part, r"P\d+"):
            cases += _published(folder)
    return cases or None


def _published(folder: Path) -> list[Case]:
    patient = folder.name
    sessions = [("", named(scans(folder), PUBLISHED, f"{patient}_"))]
    for session in subfolders(folder, r"T\d+"):
        sessions.append((session.name, named(scans(session), PUBLISHED, f"{patient}_{session.name}_")))
    return [case_of(patient, session, files) for session, files in sessions if files]
