"""Files and folders: the user's own are never touched, and a reader never meets half of one of ours.

The rule for what a command writes, tried before it begins:

- `keep_apart`: a folder that a command fills is none of its inputs, holds none, and lies in none that is searched for scans.
- `claim`: a file that it writes is no input, lies in no folder that is searched, and is absent, or as we wrote it before.

We know what we wrote from `.synergynet`, a list in each folder that was claimed: `replace_file` enters there what it writes.
"""
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from synergynet_tf.errors import InputError, reason, unwritable

LEDGER = ".synergynet"          # a line a file: [name, size, time in ns, digest], or [name] of a folder, or a file that grows
TEMPORARY = ".synergynet-*.tmp"


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to a temporary file beside `path`, then move it there: the old file or the new one, never a part.

    Raises InputError when the folder is absent or cannot be written, or the disk is full; what lay at `path` is then untouched.
    """
    try:
        _sweep_once(path.parent)
        with temporary(path) as unfinished:
            with open(unfinished, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())     # else a power cut after the rename may leave an empty file
            if (path.parent / LEDGER).exists():
                about = unfinished.stat()
                _enter(path, [about.st_size, about.st_mtime_ns, _digest(content)])
            os.replace(unfinished, path)
    except OSError as error:
        raise unwritable(path, error) from None


def make_folder(path: Path, option: str) -> None:
    """Make a folder and try it: one that cannot be written should stop a command before the work, not after it.

    What killed writers left in it is removed. Raises InputError, which names the command's `option` that gave the folder.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        sweep(path)
        with temporary(path / "probe"):
            pass
    except OSError as error:
        what, remedy = reason(error)
        raise InputError(f"{option} is {path}, but it cannot be made or written ({what}): {remedy}") from None


def keep_apart(option: str, folder: Path, inputs: Iterable[Path]) -> None:
    """Refuse a folder that a command would fill where it is an input, holds one, or lies in one.

    Paths are compared as the file system has them: by links, by `..` and by names in other case they are still the same.

    Args:
        option: what named the folder, for the message.
        folder: of outputs; it need not exist.
        inputs: files, and folders that are searched for scans; those that do not exist are passed over.

    Raises:
        InputError: it names both.
    """
    around = _around(folder)
    for path in filter(Path.exists, inputs):
        if _identity(folder) in _around(path) or path.is_dir() and _identity(path) in around:
            raise InputError(f"{option} is {folder}, but {path} is read: what is written would lie among it, or over it; "
                             f"name another folder with {option}, beside the input")


def claim(option: str, outputs: Iterable[Path], inputs: Iterable[Path] = (), growing: Iterable[Path] = ()) -> None:
    """Refuse to begin where a file that a command would write is an input, or lies in one, or lies there and is not ours.

    Args:
        option: what named the place, for the message.
        outputs: files that `replace_file` will write; their folders are made.
        inputs: as for `keep_apart`.
        growing: folders to be filled, and files that are added to: ours whatever they hold, once they were claimed.

    Raises:
        InputError: it names the file and the remedy; nothing was written then. Or a folder cannot be made or written.
    """
    outputs, growing = list(outputs), list(growing)
    read = {_identity(path): path for path in inputs if path.exists()}
    known = {folder: _entered(folder) for folder in dict.fromkeys(path.parent for path in (*outputs, *growing))}
    searched = {folder: read[place] for folder in known for place in _around(folder) if place in read}
    for path in (*outputs, *growing):
        source = read.get(_identity(path)) or searched.get(path.parent)
        if source is not None:
            raise InputError(f"{path}: would be written, but {source} is read, which it is or lies in; "
                             f"name another place with {option}")
        if not _is_free(path, known[path.parent]):
            raise InputError(f"{path}: lies there already, and was not written by this program, or was changed since; "
                             f"move it away, or name another place with {option}")
    for folder in known:
        make_folder(folder, option)
        try:
            (folder / LEDGER).touch()
            for path in growing:
                if path.parent == folder and [] not in known[folder].get(path.name, []):
                    _enter(path, [])
        except OSError as error:
            raise InputError(f"{folder / LEDGER}: cannot be written ({reason(error)[0]}); "
                             f"name another place with {option}") from None


def is_ours(path: Path) -> bool:
    """Whether a file is as we wrote it, in a folder that was claimed."""
    return path.is_file() and _is_free(path, _entered(path.parent))


@contextlib.contextmanager
def temporary(path: Path, folder: bool = False) -> Iterator[Path]:
    """An empty file or folder beside `path` for the length of a `with`, to be filled and renamed; what is not is removed.

    It is locked: whoever is killed meanwhile leaves it unlocked, and `sweep` removes it.
    """
    handle, unfinished = None, path
    while handle is None:
        unfinished = path.with_name(f"{TEMPORARY.replace('*', uuid.uuid4().hex[:12])}")
        unfinished.mkdir() if folder else unfinished.touch()
        handle = _locked(unfinished)        # none: it was swept before it could be locked
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True) if folder else unfinished.unlink(missing_ok=True)
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders that killed writers left in a folder; those that are being written stay."""
    for path in folder.glob(TEMPORARY):
        handle = _locked(path, wait=False)
        if handle is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            os.close(handle)


_sweep_once = functools.lru_cache(maxsize=None)(sweep)      # when a process first writes into a folder


def digest(path: Path) -> str:
    """A digest of a file's bytes. Raises InputError when it cannot be read."""
    try:
        return _digest(path.read_bytes())
    except OSError as error:
        what, remedy = reason(error)
        raise InputError(f"{path}: cannot be read ({what}); {remedy}") from None


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _locked(path: Path, wait: bool = True) -> int | None:
    """A descriptor that holds the lock of a file or folder; none where it is gone, or, without waiting, another has the lock."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:         # another has it, or the file system knows no locks: there nothing is swept
        if not wait:
            os.close(handle)
            return None
    if not os.path.exists(path):
        os.close(handle)
        return None
    return handle


def _identity(path: Path) -> tuple[int, int] | str:
    """What is the same for every name of a file or folder; of one that does not exist, its path without links."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def _around(path: Path) -> set[tuple[int, int] | str]:
    """A path and the folders around it, both as it is written and with links resolved."""
    written, real = Path(os.path.abspath(path)), Path(os.path.realpath(path))
    return {_identity(place) for place in (written, *written.parents, real, *real.parents)}


def _enter(path: Path, content: list) -> None:
    """Add a line to the folder's list, whole even where several processes do so at a time."""
    handle = os.open(path.parent / LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, ("\n" + json.dumps([path.name, *content]) + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def _entered(folder: Path) -> dict[str, list[list]]:
    """What was written to a folder: [size, time, digest] by name, or [] of what grows. Lines that are damaged are passed over."""
    known: dict[str, list[list]] = {}
    try:
        lines = (folder / LEDGER).read_bytes().splitlines()
    except OSError:
        return known
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, IndexError):
            entry = json.loads(line)
            if isinstance(entry, list):
                known.setdefault(entry[0], []).append(entry[1:])
    return known


def _is_free(path: Path, known: dict[str, list[list]]) -> bool:
    """Whether a path may be written: nothing is there, or what we put there."""
    entries = known.get(path.name, [])
    if not os.path.lexists(path) or [] in entries:
        return True
    if path.is_dir():
        return not any(path.iterdir())
    if path.is_symlink() or not path.is_file() or not entries:
        return False
    about = path.stat()
    return [about.st_size, about.st_mtime_ns] in [entry[:2] for entry in entries] or \
        digest(path) in [entry[2] for entry in entries if len(entry) == 3]
