"""A case, and how the layouts find its files by their names."""
import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "validation", "test")
SUFFIXES = (".nii.gz", ".nii")
LESIONS = "lesions"
COMBINATIONS = ("union", "intersection")


@dataclass(frozen=True)
class Case:
    """The files of one patient at one time point."""

    name: str                   # unique among the cases of a run; names folders and results
    patient: str
    session: str                # empty where there is only one
    images: dict[str, Path]     # by channel; may hold channels that a run does not use
    lesions: Path | None        # the reference mask
    split: str | None           # train, validation or test, where the source says so
    lesions2: Path | None = None    # another rater's mask of the same scan, where the reference is made of both
    combine: str | None = None      # how: union or intersection; none: not yet chosen (see `raters`)
    weight: float = 1.0         # how often a training draws it, relative to the others

    def absolute(self) -> "Case":
        """The same case for a process that works in another folder."""
        lesions, lesions2 = (path and path.absolute() for path in (self.lesions, self.lesions2))
        images = {channel: path.absolute() for channel, path in self.images.items()}
        return dataclasses.replace(self, images=images, lesions=lesions, lesions2=lesions2)


def first_file(folder: Path, stems: Iterable[str]) -> Path | None:
    """The first NIfTI file of these names, without suffix, that the folder has; .nii.gz goes before .nii."""
    paths = (folder / (stem + suffix) for stem in stems for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def scans(folder: Path) -> dict[str, Path]:
    """The NIfTI files of a folder by name without suffix; .nii.gz goes before .nii."""
    return {file.name.removesuffix(suffix): file for suffix in reversed(SUFFIXES)
            for file in sorted(folder.iterdir()) if file.name.endswith(suffix) and file.is_file()}


def named_scans(folder: Path, channels: Mapping[str, str], prefix: str = "") -> dict[str, Path]:
    """The NIfTI files `<prefix><stem>` of a folder by channel; `channels` gives the channel, or `LESIONS`, of each stem."""
    found = ((channel, first_file(folder, (prefix + stem,))) for stem, channel in channels.items())
    return {channel: path for channel, path in found if path is not None}


def subfolders(path: Path, pattern: str | re.Pattern) -> list[Path]:
    """The folders in a folder whose whole name matches, sorted; none where `path` is no folder."""
    if not path.is_dir():
        return []
    return sorted(folder for folder in path.iterdir() if re.fullmatch(pattern, folder.name) and folder.is_dir())


def open_subfolders(path: Path, pattern: str = r".*") -> list[Path]:
    """`subfolders`, but those alone that may be read: where any name will do, a disk's lost+found is met too."""
    return [folder for folder in subfolders(path, pattern) if os.access(folder, os.R_OK | os.X_OK)]


def case_of(patient: str, session: str, files: Mapping[str, Path]) -> Case:
    """A case named <patient>_<session>, or <patient>, of files by channel, the reference mask being `LESIONS`."""
    images = {channel: path for channel, path in files.items() if channel != LESIONS}
    return Case(f"{patient}_{session}" if session else patient, patient, session, images, files.get(LESIONS), None)
