"""A case, and how the layouts find its files by their names."""
import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synergynet_tf.errors import InputError
from synergynet_tf.storage.names import is_nifti, key, stem

SPLITS = ("train", "validation", "test")
LESIONS, SECOND = "lesions", "lesions2"
RESULTS = ("_mask", "_probability", "_mask_native")     # what `predict` adds to the name of a case: never scans
COMBINATIONS = ("union", "intersection")
SUSPECTS = ("mask", "masks", "lesion", "lesion_mask", "label", "labels", "seg", "segmentation", "gt", "ground_truth", "consensus",
            "consensus_gt", "reference", "manual")      # of channels: more probably the reference mask under another name


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
    date: str | None = None     # of the scan, like 2019-03-01 or 2019-03-01T10:30:00, where it is known
    source: str = ""            # a name for where it comes from: a comparison has a block of scores for each; empty: not said
    doubtful: dict[str, tuple[Path, ...]] = field(default_factory=dict)     # what has several files, and so is none of the above

    def absolute(self) -> "Case":
        """The same case for a process that works in another folder."""
        lesions, lesions2 = (path and path.absolute() for path in (self.lesions, self.lesions2))
        images = {channel: path.absolute() for channel, path in self.images.items()}
        return dataclasses.replace(self, images=images, lesions=lesions, lesions2=lesions2)


def is_scan(path: Path) -> bool:
    """Whether a name is a NIfTI file's, and not one that the system hides (._flair.nii.gz); a link to nowhere may be one too."""
    return (not path.name.startswith(".") and is_nifti(path)
            and (path.is_file() or path.is_symlink() and not path.exists()))


def scans(folder: Path) -> dict[str, list[Path]]:
    """The NIfTI files of a folder by `key` of their `stem`: more than one where names differ by suffix or case alone."""
    by_stem: dict[str, list[Path]] = {}
    readable = folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
    for path in sorted(folder.iterdir()) if readable else ():
        if is_scan(path):
            by_stem.setdefault(key(stem(path)), []).append(path)
    return by_stem


def named(files: Mapping[str, Sequence[Path]], channels: Mapping[str, str], prefix: str = "") -> dict[str, list[Path]]:
    """Of what `scans` found, the files `<prefix><stem>` by channel; `channels` gives the channel, or `LESIONS`, of each stem."""
    by_channel = {channel: files.get(key(prefix + name), []) for name, channel in channels.items()}
    return {channel: list(paths) for channel, paths in by_channel.items() if paths}


def plain(files: Mapping[str, Sequence[Path]]) -> dict[str, Sequence[Path]]:
    """Of what `scans` found, that which is called as its channel is: all but results of `predict`."""
    return {name: paths for name, paths in files.items() if not name.endswith(RESULTS)}


def only(paths: Sequence[Path], what: str) -> Path | None:
    """The one file of several candidates, if any.

    Raises:
        InputError: there are more; all are named.
    """
    if len(paths) > 1:
        raise InputError(several(what, paths))
    return paths[0] if paths else None


def several(what: str, paths: Sequence[Path]) -> str:
    """What is said where more than one file could be something."""
    return f"{len(paths)} files could be {what} ({', '.join(map(str, paths))}); keep one, or name the files in a manifest"


def first_file(folder: Path, stems: Iterable[str]) -> Path | None:
    """The first NIfTI file of these names, without suffix, that the folder has.

    Raises:
        InputError: two have that name.
    """
    files = scans(folder)
    return next((only(files[key(name)], f"{name} in {folder}") for name in stems if key(name) in files), None)


def subfolders(path: Path, pattern: str | re.Pattern) -> list[Path]:
    """The folders in a folder whose whole name matches, sorted, without hidden ones and links back to the folder or above it."""
    if not path.is_dir():
        return []
    matching = (folder for folder in path.iterdir() if re.fullmatch(pattern, folder.name, re.DOTALL) and folder.is_dir())
    return sorted(folder for folder in matching if not folder.name.startswith(".") and not _leads_back(folder))


def _leads_back(folder: Path) -> bool:
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def open_subfolders(path: Path, pattern: str = r".*") -> list[Path]:
    """`subfolders`, but those alone that may be read: where any name will do, a disk's lost+found is met too."""
    return [folder for folder in subfolders(path, pattern) if os.access(folder, os.R_OK | os.X_OK)]


def case_of(patient: str, session: str, files: Mapping[str, Sequence[Path]]) -> Case:
    """A case named <patient>_<session>, or <patient>, of candidates by channel, the reference masks being LESIONS and SECOND."""
    sure = {name: paths[0] for name, paths in files.items() if len(paths) == 1}
    images = {channel: path for channel, path in sure.items() if channel not in (LESIONS, SECOND)}
    doubtful = {name: tuple(paths) for name, paths in files.items() if len(paths) > 1}
    return Case(f"{patient}_{session}" if session else patient, patient, session, images, sure.get(LESIONS), None,
                sure.get(SECOND), doubtful=doubtful)
