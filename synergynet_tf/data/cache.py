"""Prepared cases on disk: a folder per case, whose arrays are memory-mapped, so that a training crop reads only its own pages.

    <root>/<name>-<key>/image.npy       float16 [X, Y, Z, C], z-scored, 0 outside the brain
                        instances.npy   int16 [X, Y, Z], lesion labels
                        case.json       the lesion boxes and what a list of cases shows
    <root>/digests.json                 digests of files by path, size and time, so that unchanged files are not read again

The key is a digest of the files' bytes and of every setting that shapes the arrays: what changes is prepared anew, beside the
old. A folder appears by a rename when it is complete; what an interrupted run leaves has another name and is swept up later.
"""
import contextlib
import errno
import functools
import hashlib
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synergynet_tf.config import Config
from synergynet_tf.data.instances import LesionTable, check_room, label_lesions, lesion_table
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.preprocess import load_case
from synergynet_tf.errors import InputError, reason
from synergynet_tf.files import digest, replace_file
from synergynet_tf.processes import cores, pool

FORMAT = 1              # of the folders: raise it when what they hold changes
MANY_CASES = 4          # from here on processes are started: each needs a second to begin
SETTLED_NS = 2 * 10**9  # a file younger than this may change again within one tick of its clock: its digest is not kept
LEFTOVER_S = 86_400     # an unfinished folder this old belongs to no running command
UNFINISHED = ".tmp"


@dataclass(frozen=True, eq=False)
class CachedCase:
    """A prepared case, cropped to the box of its brain; nothing but the table is in memory."""

    name: str
    patient: str
    folder: Path
    shape: tuple[int, int, int]
    channels: tuple[str, ...]
    spacing: tuple[float, float, float]     # mm
    brain_voxels: int
    has_lesions: bool           # whether there is a reference mask; without one, `instances` is all 0
    table: LesionTable
    case: Case

    def image(self) -> np.ndarray:
        """The channels, float16 [X, Y, Z, C], read-only; opened anew, so that processes share nothing."""
        return _mapped(self.folder / "image.npy", np.float16, (*self.shape, len(self.channels)))

    def instances(self) -> np.ndarray:
        """The lesion labels, int16 [X, Y, Z], 0 background, read-only."""
        return _mapped(self.folder / "instances.npy", np.int16, self.shape)


def _mapped(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """An array of `_build`, without parsing its header: to `np.load` that is Python source, and CPython 3.11 cannot compile in
    two threads at once ("AST constructor recursion depth mismatch"), as the pipeline would."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.memmap(path, dtype, "r", offset=path.stat().st_size - size, shape=shape)


def build_cache(cases: Sequence[Case], config: Config, workers: int | None = None,
                on_case: Callable[[CachedCase], None] | None = None) -> list[CachedCase]:
    """Prepare the cases that are not yet in the cache, and open all of them, in their order.

    Args:
        cases: what `layouts.discover` found.
        config: `data` (channels, cache) and `lesions` (connectivity; sizes and slots) are used.
        workers: processes; none: one a core, or this one alone for fewer than `MANY_CASES` cases to prepare.
        on_case: called with each case when it is ready, in their order.

    Raises:
        InputError: a case cannot be used (the first in their order is named), the cache cannot be written, or a worker died.
    """
    root = cache_root(config)
    folders = _folders(cases, config, root)
    missing = [i for i, case in enumerate(cases) if _open(case, folders[i], config) is None]
    if workers is None:
        workers = min(cores(), len(missing)) if len(missing) >= MANY_CASES else 1
    build = functools.partial(_build, config=config)
    if workers <= 1:
        return _collect(cases, folders, config, {i: functools.partial(build, cases[i], folders[i]) for i in missing}, on_case)
    with pool(workers, "preparing") as executor:
        jobs = {i: executor.submit(build, cases[i], folders[i]).result for i in missing}
        return _collect(cases, folders, config, jobs, on_case)


def cache_root(config: Config) -> Path:
    """The folder named by data.cache, or synergynet_tf in the user's cache directory."""
    if config.data.cache is not None:
        return Path(config.data.cache).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synergynet_tf"


def _collect(cases: Sequence[Case], folders: Sequence[Path], config: Config, jobs: dict[int, Callable[[], None]],
             on_case: Callable[[CachedCase], None] | None) -> list[CachedCase]:
    ready = []
    for i, case in enumerate(cases):
        if i in jobs:
            jobs[i]()
        cached = _open(case, folders[i], config)
        if cached is None:
            raise InputError(f"{folders[i]}: was removed while it was in use; run the command again")
        ready.append(cached)
        if on_case:
            on_case(cached)
    return ready


def _open(case: Case, folder: Path, config: Config) -> CachedCase | None:
    """A complete folder as a case, else None: absent, damaged, or of another shape than it says."""
    try:
        stored = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        table = lesion_table(stored["boxes"], stored["voxels"], config.lesions)
        cached = CachedCase(case.name, case.patient, folder, tuple(stored["shape"]), tuple(config.data.channels),
                            tuple(stored["spacing"]), stored["brain_voxels"], stored["has_lesions"], table, case)
        image, instances = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("image", "instances"))
        whole = image.shape == (*cached.shape, len(cached.channels)) and instances.shape == cached.shape
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    check_room(len(table.voxels), config.lesions, case.name)
    return cached if whole else None


def _build(case: Case, folder: Path, config: Config) -> None:
    """Prepare one case in a folder of another name, then rename it: runs in a worker process."""
    loaded = load_case(case, config.data.channels)
    mask = np.zeros(loaded.brain.shape, bool) if loaded.lesions is None else loaded.lesions
    instances, table = label_lesions(mask, config.lesions, case.name)
    about = {"name": case.name, "shape": list(mask.shape), "channels": list(config.data.channels), "box": list(loaded.box),
             "spacing": list(loaded.grid.spacing), "brain_voxels": int(np.count_nonzero(loaded.brain)),
             "has_lesions": loaded.lesions is not None, "boxes": table.boxes.tolist(), "voxels": table.voxels.tolist()}
    unfinished = folder.with_name(f".{uuid.uuid4().hex}{UNFINISHED}")
    try:
        unfinished.mkdir()
        np.save(unfinished / "image.npy", loaded.image.astype(np.float16))
        np.save(unfinished / "instances.npy", instances)
        (unfinished / "case.json").write_text(json.dumps(about), encoding="utf-8")
        try:
            os.rename(unfinished, folder)
        except OSError:
            if _open(case, folder, config) is None:     # else another command was faster, and its folder is as good
                shutil.rmtree(folder)
                os.rename(unfinished, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({reason(error)[0]}); "
                         "name a folder with room as data.cache") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _folders(cases: Sequence[Case], config: Config, root: Path) -> list[Path]:
    """Where each case belongs: its name and the key of what it holds. Makes the root and sweeps up what was left unfinished."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(f"{root}: cannot be made or written ({reason(error)[0]}); name another folder as data.cache") from None
    for leftover in root.glob(f".*{UNFINISHED}"):
        with contextlib.suppress(FileNotFoundError):        # another command may be sweeping too
            if time.time() - leftover.stat().st_mtime > LEFTOVER_S:
                shutil.rmtree(leftover, ignore_errors=True)
    digests = _Digests(root / "digests.json")
    folders = [root / f"{case.name}-{_key(case, config, digests)}" for case in cases]
    digests.save()
    return folders


def _key(case: Case, config: Config, digests: "_Digests") -> str:
    content = {"format": FORMAT, "connectivity": config.lesions.connectivity,
               "images": [(channel, digests.of(case.images[channel])) for channel in config.data.channels],
               "lesions": digests.of(case.lesions) if case.lesions else None}
    if case.lesions and case.lesions2:
        content["combined"] = (case.combine, digests.of(case.lesions2))
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()


class _Digests:
    """Digests of files' bytes, remembered as long as a file's size and time stay the same."""

    def __init__(self, index: Path):
        self._index = index
        try:
            self._known = dict(json.loads(index.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):     # absent or damaged: it only saves time
            self._known = {}
        self._changed = False

    def of(self, path: Path) -> str:
        """The digest of a file's bytes. Raises InputError when it cannot be read."""
        try:
            status = path.stat()
        except OSError:
            return digest(path)         # which says what is wrong with it
        key = str(path.resolve())
        known = self._known.get(key)
        if known and known[:2] == [status.st_size, status.st_mtime_ns]:
            return known[2]
        content = digest(path)
        if time.time_ns() - status.st_mtime_ns > SETTLED_NS:
            self._known[key] = [status.st_size, status.st_mtime_ns, content]
            self._changed = True
        return content

    def save(self) -> None:
        """Write the index if it grew. Raises InputError when the folder cannot be written."""
        if self._changed:
            replace_file(self._index, json.dumps(self._known).encode())
