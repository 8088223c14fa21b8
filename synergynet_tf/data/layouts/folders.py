"""Cases in folders of any name: what is left to try where no other layout applies."""
from pathlib import Path

from synergynet_tf.data.layouts.case import Case, case_of, open_subfolders, plain, scans


def find(path: Path) -> list[Case] | None:
    """folders PATIENT/ or PATIENT/SESSION/ of any name with flair.nii.gz, t2.nii.gz, lesions.nii.gz; tried last."""
    cases = []
    for patient in open_subfolders(path):
        sessions = [("", patient), *((session.name, session) for session in open_subfolders(patient))]
        files = [(session, plain(scans(folder))) for session, folder in sessions]
        cases += [case_of(patient.name, session, named) for session, named in files if "flair" in named]
    return cases or None
