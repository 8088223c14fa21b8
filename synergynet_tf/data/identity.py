"""What a run was trained on, by content: `data.json` in its folder, with which a run that goes on is compared.

A path says nothing of what lies there: a scan is replaced, a case moves to another part of the split, a patient joins. So a run
keeps, of each case, its part, its patient and digests of the bytes of its files; and before it goes on, it names what differs.
"""
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from synergynet_tf.data import nifti
from synergynet_tf.data.layouts import LESIONS, SPLITS, Case, discover
from synergynet_tf.data.splits import Split, split_cases
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.processes import cores
from synergynet_tf.storage.files import digest, replace_file
from synergynet_tf.storage.readers import read_npz
from synergynet_tf.storage.sealed import read_sealed, sealed

log = logging.getLogger(__name__)

FILE = "data.json"
INDEX = "digests.json"
FORMAT = 1
NAMED = 8                               # differences that a message lists
TRAINED = ("train", "validation")       # the parts whose files shape a network, or choose it
SETTLED_NS = 2 * 10**9  # a file younger than this may change again within one tick of its clock: its digest is not kept
FIELDS = ("split", "patient", "combine", "weight")

Record = dict[str, dict[str, Any]]      # by the case's name: FIELDS, and mostly files: digests by channel


class Digests:
    """Digests of files, remembered in an index as long as all that the system says of a file stays the same.

    That is its size, its time, its number on the disk and the time of its last change of any kind, which nobody can set: a file
    that was swapped for another of its size and time is read again. Several threads may ask.
    """

    def __init__(self, index: Path):
        self._index = index
        try:
            self._known = read_sealed(index, "index", "", {"files": dict[str, list], "voxels": dict[str, str | None]})
        except InputError:      # absent or damaged: it only saves time
            self._known = {"files": {}, "voxels": {}}
        self._changed = False

    def of(self, path: Path) -> str:
        """The digest of a file's bytes.

        Raises:
            InputError: it cannot be read.
        """
        try:
            status = path.stat()
        except OSError:
            return digest(path)         # which says what is wrong with it
        key, now = str(path.resolve()), [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        *then, known = self._known["files"].get(key) or [None]
        if then == now:
            return known
        content = digest(path)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED_NS:
            self._keep("files", key, [*now, content])
        return content

    def of_voxels(self, path: Path) -> str | None:
        """The digest of a scan's voxels; None where they cannot be read, or are all 0.

        Raises:
            InputError: as `of`.
        """
        content = self.of(path)
        if content not in self._known["voxels"]:
            try:
                self._keep("voxels", content, voxel_digest(nifti.read(path, finite=False).array))
            except InputError:      # whoever needs the scan says what is wrong with it
                return None
        return self._known["voxels"][content]

    def save(self) -> None:
        """Write the index if it grew and its folder is there.

        Raises:
            InputError: it cannot be written.
        """
        if self._changed and self._index.parent.is_dir():
            replace_file(self._index, sealed(self._known))

    def _keep(self, kind: str, key: str, value: Any) -> None:
        self._known[kind][key] = value
        self._changed = True


def voxel_digest(array: np.ndarray) -> str | None:
    """Of the voxels and their shape, whatever the file's compression, header or orientation; none where all are 0."""
    if not array.any():
        return None
    content = np.ascontiguousarray(array)
    return hashlib.blake2b(content.data, digest_size=16, person=str(content.shape).encode()[:16]).hexdigest()


def members(split: Split) -> Record:
    """The cases of a split, without a look at their files."""
    return {case.name: {"split": part, "patient": case.patient, "combine": case.combine, "weight": case.weight}
            for part in SPLITS for case in getattr(split, part)}


def record_of(split: Split, channels: Sequence[str], digest_of: Callable[[Path], str] = digest) -> Record:
    """The cases of a split and what their files hold.

    Raises:
        InputError: one cannot be read.
    """
    files = {case.name: files_of(case, channels, digest_of) for part in SPLITS for case in getattr(split, part)}
    return {name: entry | {"files": files[name]} for name, entry in members(split).items()}


def files_of(case: Case, channels: Sequence[str], digest_of: Callable[[Path], str] = digest) -> dict[str, str]:
    """Digests of the files that a case is read from, by channel, `lesions` and `lesions2`.

    Raises:
        InputError: as `digest_of`.
    """
    paths = {channel: case.images[channel] for channel in channels}
    paths |= {name: path for name, path in ((LESIONS, case.lesions), ("lesions2", case.lesions2)) if path}
    return {name: digest_of(path) for name, path in paths.items()}


def without_files(record: Record) -> Record:
    """The record as `members` gives it."""
    return {name: {field: entry[field] for field in FIELDS} for name, entry in record.items()}


def write(folder: Path, record: Record, source: str | None) -> None:
    """Keep a record in a run's folder, with the path at which the data were found."""
    replace_file(folder / FILE, sealed({"format": FORMAT, "source": source, "cases": record}, indent=1))


def read(folder: Path) -> tuple[Record, str | None] | None:
    """The record of a run's folder and its source; None where it holds none.

    Raises:
        InputError: it is damaged.
    """
    if not (folder / FILE).exists():
        return None
    entry: Any = {"split": str, "patient": str, "combine": str | None, "weight": float, "files": dict[str, str]}
    stored = read_sealed(folder / FILE, "record of a run's data", "restore it, or remove it and have what lies there recorded",
                         {"format": int, "source": str | None, "cases": dict[str, entry]})
    return stored["cases"], stored["source"]


def cases_of(run: Path, part: str, channels: Sequence[str], require_lesions: bool) -> list[Case]:
    """The cases of one part of a run's own split, as it was trained with them.

    Raises:
        InputError: as `layouts.discover`, and where a case has joined, left or moved, or one of this part has other files.
    """
    cases, known = discover(run, "manifest", channels, require_lesions), read(run)
    if known:
        split = split_cases(cases, (1, 0, 0), 0)
        own = Split(*(getattr(split, name) if name == part else () for name in SPLITS))
        require_same(run, known[0], members(split) | record_of(own, channels))
    return [case for case in cases if case.split == part]


def trained_on(run: Path, split: Split) -> list[str]:
    """The validation and test cases whose patient or FLAIR scan a run was trained on; none of a run without a record."""
    patients, scans = {entry["patient"] for entry in _trained(run)}, scans_of(run)
    return [case.name for case in (*split.validation, *split.test)
            if case.patient in patients or digest(case.images["flair"]) in scans]


def scans_of(run: Path) -> set[str]:
    """Digests of the FLAIR scans that a run was trained on, or the network of a file of weights; none where they were not kept.

    Raises:
        InputError: the record is damaged.
    """
    if run.suffix == ".npz":
        return set(read_npz(run, "file of weights", "export it again", {}).get("trained_on", np.array([])).tolist())
    return {entry["files"]["flair"] for entry in _trained(run) if "flair" in entry["files"]}


def _trained(run: Path) -> list[dict[str, Any]]:
    record, _ = read(run) or ({}, None)
    return [entry for entry in record.values() if entry["split"] == "train"]


def warn_of_known(run: Path, split: Split) -> None:
    """Say where a run that another begins with was trained on what that one is judged by."""
    known = trained_on(run, split)
    if known:
        log.warning(f"{run}: was trained on cases by which it is judged here: {', '.join(known)}; put them into train, "
                    "begin with another run, or do not trust their scores")


def require_same(folder: Path, before: Record, now: Record) -> None:
    """See that a run's data are those that it began with.

    Raises:
        InputError: they are not; the cases that differ are named.
    """
    found = list(differences(before, now))
    if found:
        more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
        raise InputError(f"{folder}: the data changed since the run began: {'; '.join(found[:NAMED])}{more}: restore them, or "
                         "take another folder")


def differences(before: Record, now: Record) -> Iterator[str]:
    """What differs between two records: the cases that joined or left, then what became of the others.

    Files are compared where both records have them, and not those of a test case: no network has seen them, and what was
    predicted from them is kept by content.
    """
    yield from (f"{name} is new" for name in sorted(now.keys() - before.keys()))
    yield from (f"{name} is gone" for name in sorted(before.keys() - now.keys()))
    for name in sorted(before.keys() & now.keys()):
        was, entry = before[name], now[name]
        yield from (f"{name}: {field} is {entry[field] or 'none'}, but was {was[field] or 'none'}"
                    for field in FIELDS if was[field] != entry[field])
        if entry["split"] in TRAINED and "files" in was and "files" in entry:
            yield from _changed_files(name, was["files"], entry["files"])


def _changed_files(name: str, before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for file in sorted({*before, *now}):
        if file not in before or file not in now:
            yield f"{name}: {file} is {'gone' if file in before else 'new'}"
        elif before[file] != now[file]:
            yield f"{name}: {file} has another content"


def require_apart(split: Split, digests: Digests) -> None:
    """Refuse a split that has a patient, or one scan, in two parts.

    Scans are one where all voxels are equal, however they are packed: what `prepare --check` calls duplicates.

    Raises:
        InputError: a patient, or one scan under two patients' names, is in two parts of a split.
    """
    placed = [(part, case) for part in SPLITS for case in getattr(split, part)]
    with ThreadPoolExecutor(cores()) as pool:
        voxels = list(pool.map(lambda item: digests.of_voxels(item[1].images["flair"]), placed))
    _require_apart(placed, [case.patient for _, case in placed], "they are of one patient; all of a patient belong to one part")
    _require_apart(placed, voxels, "their FLAIR scans are the same, voxel by voxel; leave one of them out, or give both the "
                   "same patient")


def _require_apart(placed: Sequence[tuple[str, Case]], keys: Iterable[str | None], reason: str) -> None:
    first: dict[str, tuple[str, Case]] = {}
    for (part, case), key in zip(placed, keys):
        other, known = first.setdefault(key, (part, case)) if key is not None else (part, case)
        if other != part:
            raise InputError(f"case {known.name} is in {other} and case {case.name} in {part}, but {reason}")
