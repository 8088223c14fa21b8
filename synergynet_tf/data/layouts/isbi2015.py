"""The longitudinal challenge of ISBI 2015 (Carass et al., NeuroImage 2017): 5 patients to train on, 14 to be tested on."""
import re
from pathlib import Path

from synergynet_tf.data.layouts.case import LESIONS, SECOND, Case, case_of, key, named, open_subfolders, scans, subfolders

CHANNELS = {"flair_pp": "flair", "t2_pp": "t2", "pd_pp": "pd", "mprage_pp": "t1"}


def find(path: Path) -> list[Case] | None:
    """folders training01/ (test01/) with preprocessed/training01_01_flair_pp.nii and masks/training01_01_mask1.nii, _mask2.

    They lie in `path` or in its folders. The two raters' masks become `lesions` and `lesions2`; the test part has none.
    """
    parts = [path, *open_subfolders(path, r"(?!(training|test)\d).*")]
    return [case for part in parts for folder in subfolders(part, r"(training|test)\d+") for case in _patient(folder)] or None


def _patient(folder: Path) -> list[Case]:
    """The time points of one patient, by the number in their files' names."""
    images, masks = scans(folder / "preprocessed"), scans(folder / "masks")
    matches = (re.fullmatch(rf"{re.escape(key(folder.name))}_(\d+)_({'|'.join(CHANNELS)})", name) for name in images)
    cases = []
    for session in sorted({match[1] for match in matches if match}):
        name = f"{folder.name}_{session}_"
        files = named(images, CHANNELS, name) | named(masks, {"mask1": LESIONS, "mask2": SECOND}, name)
        cases.append(case_of(folder.name, session, files))
    return cases
