"""A dataset in the Brain Imaging Data Structure, its lesion masks among the derivatives."""
import re
from pathlib import Path

from synergynet_tf.data.layouts.case import LESIONS, SUFFIXES, Case, case_of, open_subfolders, subfolders
from synergynet_tf.errors import InputError

CHANNELS = {"FLAIR": "flair", "T2w": "t2", "T1w": "t1", "PDw": "pd"}


def find(path: Path) -> list[Case] | None:
    """folders sub-01/[ses-01/]anat/ with *_FLAIR.nii.gz, *_T2w.nii.gz; masks in derivatives/*/sub-01/[ses-01/]anat/*_mask.nii.gz.

    Masks labelled as lesions (label-lesion..., desc-lesion...) go before others, wherever they lie; brain masks are none.
    Raises InputError where a scan or mask has more than one candidate.
    """
    cases = []
    for patient in subfolders(path, r"sub-[a-zA-Z0-9]+"):
        for folder in (patient, *subfolders(patient, r"ses-[a-zA-Z0-9]+")):
            if files := _files(path, folder):
                cases.append(case_of(patient.name, folder.name if folder != patient else "", files))
    return cases or None


def _files(root: Path, folder: Path) -> dict[str, Path]:
    """The files of a patient's or session's folder by channel; nothing where it holds no scan."""
    where = str(folder.relative_to(root))
    inside = _nifti(folder / "anat")
    files = {channel: _only([file for file in inside if _stem(file).endswith(f"_{suffix}")], where, channel)
             for suffix, channel in CHANNELS.items()}
    if not any(files.values()):
        return {}
    derived = [file for pipeline in open_subfolders(root / "derivatives") for file in _nifti(pipeline / where / "anat")]
    masks = [file for file in derived if _stem(file).endswith("_mask")]
    lesions = [file for file in inside + masks if re.search(r"_(label|desc)-lesions?[^_]*_mask$", _stem(file), re.IGNORECASE)]
    others = [file for file in masks if not re.search(r"_(label|desc)-brain[^_]*_", _stem(file), re.IGNORECASE)]
    files[LESIONS] = _only(lesions or others, where, LESIONS)
    return {channel: file for channel, file in files.items() if file is not None}


def _only(candidates: list[Path], where: str, what: str) -> Path | None:
    if len(candidates) > 1:
        raise InputError(f"{where}: {len(candidates)} files could be {what} ({', '.join(map(str, candidates))}); keep one, or "
                         "name the files in a manifest")
    return candidates[0] if candidates else None


def _nifti(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.name.endswith(SUFFIXES)) if folder.is_dir() else []


def _stem(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".nii")
