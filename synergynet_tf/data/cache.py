"""Prepared cases on disk: a folder per case, whose arrays are memory-mapped, so that a training crop reads only its own pages.

    <root>/<name>-<key>/image.npy       float16 [X, Y, Z, C], z-scored, 0 outside the brain
                        instances.npy   int16 [X, Y, Z], lesion labels
                        case.json       the lesion boxes, what a list of cases shows, the arrays' sizes and checksums
    <root>/digests.json                 see `identity.Digests`

The key is a digest of the files' bytes and of every setting that shapes the arrays: what changes is prepared anew, beside the
old. A folder appears by a rename when it is complete and on the disk; what an interrupted run leaves has another name and is
swept up later. Each process checks a folder once, and what is damaged is prepared anew.
"""
import contextlib
import errno
import functools
import hashlib
import io
import json
import logging
import math
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from synergynet_tf.config import Config
from synergynet_tf.data import image_quality
from synergynet_tf.data.identity import INDEX, Digests, files_of
from synergynet_tf.data.instances import LesionTable, check_room, label_lesions, lesion_table
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.preprocess import load_case
from synergynet_tf.errors import InputError, of_case, reason
from synergynet_tf.runtime.processes import each
from synergynet_tf.storage.files import sweep, temporary
from synergynet_tf.storage.sealed import read_sealed, sealed

log = logging.getLogger(__name__)

FORMAT = 3              # of the folders: raise it when what they hold changes
ABOUT, ARRAYS = "case.json", ("image.npy", "instances.npy")
CONTENT = {"shape": list[int], "spacing": list[float], "brain_voxels": int, "has_lesions": bool,
           "boxes": list[list[int]], "voxels": list[int], "notes": list[str], "quality": dict[str, float | None],
           "files": dict[str, list[int]]}       # size and CRC-32 of each
_sound: set[tuple[str, int, int]] = set()      # arrays that this process has checked, with their state at the time


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
    notes: tuple[str, ...] = field(default=(), kw_only=True)    # what in the files was mended, or is to be looked at
    quality: image_quality.Quality = field(default_factory=dict, kw_only=True)

    def image(self) -> np.ndarray:
        """The channels, float16 [X, Y, Z, C], read-only; opened anew, so that processes share nothing."""
        return _mapped(self.folder / ARRAYS[0], np.float16, (*self.shape, len(self.channels)))

    def instances(self) -> np.ndarray:
        """The lesion labels, int16 [X, Y, Z], 0 background, read-only."""
        return _mapped(self.folder / ARRAYS[1], np.int16, self.shape)


def _mapped(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """An array of `_build`, without parsing its header.

    To `np.load` the header is Python source, and CPython 3.11 cannot compile in two threads at once ("AST constructor recursion
    depth mismatch"), as the pipeline would.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.memmap(path, dtype, "r", offset=path.stat().st_size - size, shape=shape)


def build_cache(cases: Sequence[Case], config: Config, workers: int | None = None,
                on_case: Callable[[CachedCase], None] | None = None) -> list[CachedCase]:
    """Prepare the cases that are not yet in the cache, and open all of them, in their order.

    Args:
        cases: what `layouts.discover` found.
        config: `data` (channels, cache) and `lesions` (connectivity; sizes and slots) are used.
        workers: processes, as of `processes.each`.
        on_case: called with each case when it is ready, in their order.

    Raises:
        InputError: a case cannot be used (the first in their order is named), or the cache cannot be written.
    """
    root = cache_root(config)
    folders = _folders(cases, config, root)
    missing = {i for i, case in enumerate(cases) if not _is_ready(case, folders[i], config)}
    jobs = [(cases[i], folders[i]) for i in sorted(missing)]
    with contextlib.closing(each(functools.partial(_try_build, config=config), jobs, workers, "preparing")) as built:
        ready = []
        for i, case in enumerate(cases):
            if i in missing and (error := next(built)[1]):
                raise of_case(case.name, error)
            ready.append(_opened(case, folders[i], config))
            if on_case:
                on_case(ready[-1])
        return ready


def cache_root(config: Config) -> Path:
    """The folder named by data.cache, or synergynet_tf in the user's cache directory."""
    if config.data.cache is not None:
        return Path(config.data.cache).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synergynet_tf"


def _opened(case: Case, folder: Path, config: Config) -> CachedCase:
    cached = _open(case, folder, config)
    if cached is None:
        raise InputError(f"{folder}: was removed while it was in use; run the command again")
    return cached


class _Damaged(InputError):
    """A folder does not hold what was written."""


def _is_ready(case: Case, folder: Path, config: Config) -> bool:
    """Whether a folder exists and is undamaged; a damaged one is reported."""
    try:
        return _open(case, folder, config) is not None
    except _Damaged as error:
        log.warning(str(error))
        return False


def _open(case: Case, folder: Path, config: Config) -> CachedCase | None:
    """A complete folder as a case; None where there is none. Raises _Damaged, and InputError where it has too many lesions."""
    if not folder.exists():
        return None
    try:
        stored = read_sealed(folder / ABOUT, "prepared case", "it is prepared anew", CONTENT)
    except InputError as error:
        raise _Damaged(str(error)) from None
    for name in ARRAYS:
        _require_sound(folder / name, stored["files"])
    table = lesion_table(stored["boxes"], stored["voxels"], config.lesions)
    check_room(len(table.voxels), config.lesions, case.name)
    return CachedCase(case.name, case.patient, folder, tuple(stored["shape"]), tuple(config.data.channels),
                      tuple(stored["spacing"]), stored["brain_voxels"], stored["has_lesions"], table, case,
                      notes=tuple(stored["notes"]), quality=stored["quality"])


def _require_sound(path: Path, files: dict[str, tuple[int, int]]) -> None:
    """Raises _Damaged where an array's file is not what was written. Each state of it is read once in a process."""
    size, checksum = files.get(path.name, (0, 0))
    try:
        status = path.stat()
        state = str(path), status.st_mtime_ns, status.st_ctime_ns
        if status.st_size != size or size == 0:
            raise _Damaged(f"{path}: has {status.st_size} bytes, but {size} were written; it is prepared anew")
        if state not in _sound and zlib.crc32(np.memmap(path, np.uint8, "r").data) != checksum:
            raise _Damaged(f"{path}: is damaged: its checksum is another than when it was written; it is prepared anew")
    except OSError as error:
        raise _Damaged(f"{path}: cannot be read ({reason(error)[0]}); it is prepared anew") from None
    _sound.add(state)


def _try_build(job: tuple[Case, Path], config: Config) -> InputError | None:
    """`_build`, and what fails of it, whatever it is: an error that names the case."""
    case, folder = job
    try:
        _build(case, folder, config)
    except Exception as error:
        return of_case(case.name, error)
    return None


def _build(case: Case, folder: Path, config: Config) -> None:
    """Prepare one case in a folder of another name, then rename it: runs in a worker process."""
    loaded = load_case(case, config.data.channels)
    mask = np.zeros(loaded.brain.shape, bool) if loaded.lesions is None else loaded.lesions
    instances, table = label_lesions(mask, config.lesions, case.name)
    about = {"name": case.name, "shape": list(mask.shape), "channels": list(config.data.channels), "box": list(loaded.box),
             "spacing": list(loaded.grid.spacing), "brain_voxels": int(np.count_nonzero(loaded.brain)),
             "has_lesions": loaded.lesions is not None, "boxes": table.boxes.tolist(), "voxels": table.voxels.tolist(),
             "notes": list(loaded.notes), "quality": image_quality.measure(loaded.grid, loaded.brain, loaded.box)}
    try:
        with temporary(folder, folder=True) as unfinished:
            written = {name: _write(unfinished / name, _array_file(array))
                       for name, array in zip(ARRAYS, (loaded.image.astype(np.float16), instances))}
            _write(unfinished / ABOUT, sealed(about | {"files": written}))
            _sync(unfinished)
            try:
                os.rename(unfinished, folder)
            except OSError:
                if not _is_ready(case, folder, config):     # else another command was faster, and its folder is as good
                    shutil.rmtree(folder)
                    os.rename(unfinished, folder)
        _sync(folder.parent)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({reason(error)[0]}); "
                         "name a folder with room as data.cache") from None


def _array_file(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _write(path: Path, content: bytes) -> tuple[int, int]:
    """Write a file through to the disk; its size and CRC-32."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return len(content), zlib.crc32(content)


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _folders(cases: Sequence[Case], config: Config, root: Path) -> list[Path]:
    """Where each case belongs: its name and the key of what it holds. Makes the root and sweeps up what was left unfinished."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(f"{root}: cannot be made or written ({reason(error)[0]}); name another folder as data.cache") from None
    sweep(root)
    digests = Digests(root / INDEX)
    folders = [root / f"{case.name}-{_key(case, config, digests)}" for case in cases]
    digests.save()
    return folders


def _key(case: Case, config: Config, digests: Digests) -> str:
    content = {"format": FORMAT, "connectivity": config.lesions.connectivity, "channels": list(config.data.channels),
               "files": files_of(case, config.data.channels, digests.of), "combine": case.combine}
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()
