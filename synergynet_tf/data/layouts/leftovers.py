"""The files of a data set that belong to no case, in one line, so that no scan is left out unnoticed."""
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from synergynet_tf.data.layouts.case import RESULTS, Case, is_scan, key, stem
from synergynet_tf.errors import printable

OTHER_FORMATS = (".mgz", ".mgh", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img", ".mnc", ".dcm")
OURS = ("own_space_brain",)         # of `prepare --raw`, beside each scan
VERSIONS = (".git", ".datalad")     # where git-annex keeps the content that its links lead to
NAMED, LOOKED_AT, DEPTH = 3, 100_000, 20

HIDDEN, RESULT, FORMAT = "hidden or unfinished", "masks or maps", "of another format"
DOUBT, NO_FLAIR, UNKNOWN = "rivals for one channel", "without a FLAIR beside them", "of names that no case has"
EMPTY, CLOSED = "without any scan", "not to be read"      # of folders


class Left(NamedTuple):
    """A file that was not taken, or a folder of which nothing was."""

    reason: str
    name: str           # below the data set's folder
    files: int = 1      # in a folder
    flair: bool = False     # whether one of them is called so


def leftovers(root: Path, cases: Sequence[Case]) -> str | None:
    """What in a folder belongs to none of the cases, in a line; none where all does, or where there is no folder.

    Scans count (NIfTI, other formats, hidden, half-written), and folders that hold none; texts and tables do not.
    """
    search = _Search(root, cases)
    text = summary(search.of(root, 0)[1])
    cut = f"; only {LOOKED_AT} files were looked at" if search.budget <= 0 else ""
    return f"{root}: {text}{cut}" if text else None


def summary(lefts: Sequence[Left]) -> str | None:
    """How many files were not taken and why, the first of each kind by name; none where there are none."""
    by_reason = defaultdict(list)
    for left in lefts:
        by_reason[left.reason].append(left)
    folders = [by_reason.pop(reason, []) for reason in (EMPTY, CLOSED)]
    texts = [f"{sum(left.files for left in lefts)} {reason} ({_names(lefts)})" for reason, lefts in by_reason.items()]
    count = sum(left.files for lefts in by_reason.values() for left in lefts)
    parts = [f"{count} file{' was' if count == 1 else 's were'} not taken: {', '.join(texts)}"] if texts else []
    parts += [f"{reason}: {_names(lefts)}" for reason, lefts in zip((EMPTY, CLOSED), folders) if lefts]
    return "; ".join(parts) or None


def _names(lefts: Sequence[Left]) -> str:
    shown = [printable(left.name) + (f": {left.files}" if left.files > 1 else "") for left in lefts[:NAMED]]
    return ", ".join(shown) + (f" and {len(lefts) - NAMED} more" if len(lefts) > NAMED else "")


class _Search:
    """A walk through a folder, links followed but no folder entered twice."""

    def __init__(self, root: Path, cases: Sequence[Case]):
        self._root, self.budget = root, LOOKED_AT
        self._resolved: dict[Path, Path] = {}
        self._seen: set[Path] = set()
        files = (path for case in cases for path in (*case.images.values(), case.lesions, case.lesions2))
        self._taken = {self._place(path) for path in files if path is not None}
        self._doubtful = {self._place(path) for case in cases for paths in case.doubtful.values() for path in paths}

    def of(self, folder: Path, depth: int) -> tuple[bool, list[Left]]:
        """Whether anything in a folder, and those in it, was taken; and what was not: the folder itself where nothing was."""
        place = self._place(folder / "x").parent
        if place in self._seen or depth > DEPTH or self.budget <= 0:
            return True, []
        self._seen.add(place)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            return False, [Left(CLOSED, self._below(folder))] if folder.is_dir() else []
        self.budget -= len(entries)
        parts = [self._entry(folder / entry.name, entry.is_dir(), depth) for entry in entries]
        taken, lefts = any(part[0] for part in parts), [left for _, part in parts for left in part]
        return taken, lefts if taken or folder == self._root else [self._whole(folder, lefts)]

    def _entry(self, path: Path, folder: bool, depth: int) -> tuple[bool, list[Left]]:
        if folder and not path.name.startswith("."):
            return self.of(path, depth + 1)
        place = self._place(path)
        if place in self._taken:
            return True, []
        reason = DOUBT if place in self._doubtful else _reason(path, folder)
        return reason is DOUBT, [Left(reason, self._below(path), flair="flair" in key(path.name))] if reason else []

    def _whole(self, folder: Path, lefts: Sequence[Left]) -> Left:
        reasons, files = {left.reason for left in lefts}, sum(left.files for left in lefts if left.reason not in (EMPTY, CLOSED))
        flair = any(left.flair for left in lefts)
        if len(reasons) == 1 and UNKNOWN not in reasons:
            return Left(reasons.pop(), self._below(folder), files, flair)
        return Left((UNKNOWN if flair else NO_FLAIR) if files else EMPTY, self._below(folder), files, flair)

    def _place(self, path: Path) -> Path:
        """Where a file lies, whatever links lead to its folder; a file that is a link itself stays one."""
        if path.parent not in self._resolved:
            self._resolved[path.parent] = Path(os.path.realpath(path.parent))
        return self._resolved[path.parent] / path.name

    def _below(self, path: Path) -> str:
        return str(path.relative_to(self._root))


def _reason(path: Path, folder: bool) -> str | None:
    """Why a file was not taken; none where it is no scan."""
    name = key(path.name)
    if folder:
        return None if name in VERSIONS else HIDDEN
    if not is_scan(path):
        return HIDDEN if ".nii" in name else FORMAT if name.endswith(OTHER_FORMATS) else None
    if name.startswith(OURS):
        return None
    return RESULT if key(stem(path)).endswith(RESULTS) else UNKNOWN
