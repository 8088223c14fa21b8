"""One case in a folder of its own."""
from pathlib import Path

from synergynet_tf.data.layouts.case import Case, case_of, plain, scans


def find(path: Path) -> list[Case] | None:
    """one folder with flair.nii.gz, the other channels and, where known, lesions.nii.gz."""
    folder = path.resolve()
    files = plain(scans(folder))
    return [case_of(folder.name, "", files)] if "flair" in files else None
