"""The challenge of MICCAI 2016 (Commowick et al., NeuroImage 2021): patients in folders of their centres."""
import re
from pathlib import Path

from synergynet_tf.data.layouts.case import LESIONS, Case, case_of, named, open_subfolders, scans

PREPROCESSED = {"FLAIR_preprocessed": "flair", "T2_preprocessed": "t2", "T1_preprocessed": "t1", "DP_preprocessed": "pd",
                "GADO_preprocessed": "t1gd"}
RAW = {"3DFLAIR": "flair", "T2": "t2", "3DT1": "t1", "DP": "pd", "3DT1GADO": "t1gd"}    # of the challenge's days
RAW_DATA = {"FLAIR": "flair", "T2": "t2", "T1": "t1", "DP": "pd", "GADO": "t1gd"}
PARENTS = r"Training|Testing|Center_\d+"      # of patients' folders, one in the other
DATA = "Preprocessed_Data"


def find(path: Path) -> list[Case] | None:
    """folders [Center_01/]Patient_01/ with Preprocessed_Data/FLAIR_preprocessed.nii.gz, T2_... and Masks/Consensus.nii.gz.

    Preprocessed files may lie in the patient's folder itself, as may Consensus.nii.gz; without them 3DFLAIR.nii.gz, or
    Raw_Data/FLAIR.nii.gz, is taken, and the other raw scans. `path` may be the folder of one patient, of a centre, or of all.
    Centres number their patients alike: a patient's name holds those of the folders above it, below `path`.
    """
    alone = _files(path)
    return [case_of(path.resolve().name, "", alone)] if alone else _patients(path, "") or None


def _patients(folder: Path, prefix: str) -> list[Case]:
    cases = []
    for child in open_subfolders(folder, rf"(?!{DATA}).*"):
        files = _files(child)
        if files:
            cases.append(case_of(prefix + child.name, "", files))
        elif re.fullmatch(PARENTS, child.name):
            cases += _patients(child, f"{prefix}{child.name}_")
    return cases


def _files(folder: Path) -> dict[str, list[Path]]:
    """By channel; nothing where the folder is no patient's."""
    of_folder, masks = scans(folder), scans(folder / "Masks")
    files = (named(scans(folder / DATA), PREPROCESSED) or named(of_folder, PREPROCESSED)
             or (named(of_folder, RAW) if named(of_folder, {"3DFLAIR": "flair"}) else {})
             or named(scans(folder / "Raw_Data"), RAW_DATA))
    consensus = named(masks, {"Consensus": LESIONS}) or named(of_folder, {"Consensus": LESIONS})
    return files | consensus if files else {}
