"""The longitudinal challenge of ISBI 2015 (Carass et al., NeuroImage 2017): 5 patients to train on, 14 to be tested on."""
import dataclasses
import re
from pathlib import Path

from synergynet_tf.data.layouts.case import Case, case_of, first_file, named_scans, open_subfolders, subfolders

CHANNELS = {"flair_pp": "flair", "t2_pp": "t2", "pd_pp": "pd", "mprage_pp": "t1"}


def find(path: Path) -> list[Case] | None:
    """folders training01/ (test01/) with preprocessed/training01_01_flair_pp.nii and masks/training01_01_mask1.nii, _mask2.

    They lie in `path` or in its folders. The two raters' masks become `lesions` and `lesions2`; the test part has none.
    """
    parts = [path, *open_subfolders(path, r"(?!(training|test)\d).*")]
    return [case for part in parts for folder in subfolders(part, r"(training|test)\d+") for case in _patient(folder)] or None


def _patient(folder: Path) -> list[Case]:
    """The time points of one patient, by the number in their files' names."""
    images, name = folder / "preprocessed", re.escape(folder.name)
    if not images.is_dir():
        return []
    matches = (re.fullmatch(rf"{name}_(\d+)_({'|'.join(CHANNELS)})\.nii(\.gz)?", file.name) for file in images.iterdir())
    cases = []
    for session in sorted({match[1] for match in matches if match}):
        case = case_of(folder.name, session, named_scans(images, CHANNELS, f"{folder.name}_{session}_"))
        first, second = (first_file(folder / "masks", (f"{case.name}_mask{rater}",)) for rater in (1, 2))
        cases.append(dataclasses.replace(case, lesions=first, lesions2=second))
    return cases
