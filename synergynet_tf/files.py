"""Files and folders: written so that a reader never meets half of one, and tried before the work that fills them."""
import hashlib
import os
import uuid
from pathlib import Path

from synergynet_tf.errors import InputError


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to a temporary file beside `path`, then move it there: the old file or the new one, never a part.

    Raises InputError when the folder is absent or cannot be written, or the disk is full; what lay at `path` is then untouched.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
    try:
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())     # else a power cut after the rename may leave an empty file
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); "
                         "choose a folder that exists, may be written and has room") from None


def make_folder(path: Path, option: str) -> None:
    """Make a folder and try it: one that cannot be written should stop a command before the work, not after it.

    Raises InputError, which names the command's `option` that gave the folder.
    """
    probe = path / f".{uuid.uuid4().hex[:12]}.tmp"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{option} is {path}, but it cannot be made or written ({error.strerror}): "
                         "name another folder") from None


def digest(path: Path) -> str:
    """A digest of a file's bytes. Raises InputError when it cannot be read."""
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
