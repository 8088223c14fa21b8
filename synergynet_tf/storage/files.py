"""Files and folders: the user's own are never touched, and a reader never finds a file of ours half written.

The rule for what a command writes, tried before it begins:

- `keep_apart`: a folder that a command fills is none of its inputs, holds none, and lies in none that is searched for scans.
- `claim`: a file that it writes is no input, lies in no folder that is searched, and is absent, or as we wrote it before.

What we write bears our mark, a digest of its bytes: an extended attribute of the file, or, where the file system has none, a line
of the list `.synergynet` beside it. What was changed since, by hand or by another program, is not ours any more; what was broken
is.
"""
import contextlib
import fcntl
import functools
import gzip
import hashlib
import io
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from synergynet_tf.errors import InputError, reason, unwritable

ATTRIBUTE = "user.synergynet"
LIST = ".synergynet"            # a line a file: [name, mark]
GROWS = "grows"                 # the mark of a folder, and of a file that is added to: ours whatever it holds
TEMPORARY = ".synergynet-*.tmp"


def replace_file(path: Path, content: bytes, grows: bool = False) -> None:
    """Write `content` to a temporary file beside `path`, then move it there: the old file or the new one, never a part.

    It bears our mark; with `grows` it does so when it is added to, too.

    Raises:
        InputError: the folder is absent or cannot be written, or the disk is full; what lay at `path` is then untouched.
    """
    try:
        _sweep_once(path.parent)
        with temporary(path) as unfinished:
            with open(unfinished, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())     # else a power cut after the rename may leave an empty file
            _mark(unfinished, path, GROWS if grows else _digest(content))
            os.replace(unfinished, path)
    except OSError as error:
        raise unwritable(path, error) from None


def npz(arrays: Mapping[str, Any], compressed: bool = False) -> bytes:
    """The bytes of an .npz archive that holds NumPy arrays by name; `readers.read_npz` reads it."""
    import numpy as np

    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def make_folder(path: Path, option: str) -> None:
    """Make a folder and try it: one that cannot be written should stop a command before the work, not after it.

    What killed writers left in it is removed.

    Raises:
        InputError: it cannot be made or written; the command's `option` that gave the folder is named.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        sweep(path)
        with temporary(path / "probe"):
            pass
    except OSError as error:
        what, remedy = reason(error)
        raise InputError(f"{option} is {path}, but it cannot be made or written ({what}): {remedy}") from None


def make_own(path: Path) -> None:
    """Make a folder that is ours whatever it will hold; one that holds something already stays as it is.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not any(path.iterdir()):
            _mark(path, path, GROWS)
    except OSError as error:
        raise unwritable(path, error) from None


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


def claim(option: str, outputs: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Refuse to begin where a file that a command would write is an input, or lies in one, or lies there and is not ours.

    Args:
        option: what named the place, for the message.
        outputs: files that `replace_file` will write, and folders that `make_own` will make. What they lie in is made.
        inputs: as for `keep_apart`.

    Raises:
        InputError: it names the file and the remedy; nothing is made then. Or a folder cannot be made or written.
    """
    read, searched = {_identity(path): path for path in inputs if path.exists()}, {}
    for path in outputs:
        if path.parent not in searched:
            searched[path.parent] = next((read[place] for place in _around(path.parent) if place in read), None)
        source = read.get(_identity(path)) or searched[path.parent]
        if source is not None:
            raise InputError(f"{path}: would be written, but {source} is read, which it is or lies in; "
                             f"name another place with {option}")
        if os.path.lexists(path) and not is_ours(path):
            raise InputError(f"{path}: lies there already, and was not written by this program, or was changed since; "
                             f"move it away, or name another place with {option}")
    for folder in searched:
        make_folder(folder, option)


def is_ours(path: Path) -> bool:
    """Whether a file is as we wrote it, or is ours and broken; or a folder was made by us, or is empty."""
    marks = _marks(path)
    if GROWS in marks:
        return True
    if path.is_dir():
        return not any(path.iterdir())
    return bool(marks) and path.is_file() and not path.is_symlink() and (digest(path) in marks or _is_broken(path))


@contextlib.contextmanager
def temporary(path: Path, folder: bool = False) -> Iterator[Path]:
    """An empty file or folder beside `path` for the length of a `with`, to be filled and renamed; what is not is removed.

    It is locked: a process that is killed meanwhile leaves it unlocked, and `sweep` removes it.
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
    """A digest of a file's bytes.

    Raises:
        InputError: it cannot be read.
    """
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
    except OSError:         # another process has the lock, or the file system has no locks: nothing is removed
        if not wait:
            os.close(handle)
            return None
    if not os.path.exists(path):
        os.close(handle)
        return None
    return handle


def _is_broken(path: Path) -> bool:
    """Whether nobody can have meant a file to be so: it is empty, or cut, or its own checksums do not fit."""
    if not path.stat().st_size:
        return True
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                while file.read(2 ** 20):
                    pass
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".png":
            return not _has_sound_chunks(path.read_bytes())
    except (OSError, EOFError, ValueError, RecursionError, zlib.error):
        return True
    return False


def _has_sound_chunks(png: bytes) -> bool:
    """Whether a PNG file's parts, each with its checksum, reach to its end."""
    at = 8
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at:at + 4], "big")
        if zlib.crc32(png[at + 4:end]).to_bytes(4, "big") != png[end:end + 4]:
            return False
        at = end + 4
    return at == len(png) and png[-8:-4] == b"IEND"


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


def _mark(path: Path, name: Path, mark: str) -> None:
    """Mark what lies at `path` and will be at `name`."""
    try:
        os.setxattr(path, ATTRIBUTE, mark.encode())
    except (OSError, AttributeError):       # not here: a line is added, whole even where several processes do so at a time
        handle = os.open(name.parent / LIST, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, f"\n{json.dumps([name.name, mark])}\n".encode())
            os.fsync(handle)
        finally:
            os.close(handle)


def _marks(path: Path) -> set[str]:
    """Of a file or folder: its own, or those in the list, where a killed writer may have left one too many."""
    with contextlib.suppress(OSError, AttributeError):
        return {os.getxattr(path, ATTRIBUTE, follow_symlinks=False).decode(errors="replace")}
    marks = set()
    with contextlib.suppress(OSError):
        for line in (path.parent / LIST).read_bytes().splitlines():
            with contextlib.suppress(ValueError, TypeError, RecursionError):        # a damaged line says nothing
                name, mark = json.loads(line)
                if name == path.name:
                    marks.add(mark)
    return marks
