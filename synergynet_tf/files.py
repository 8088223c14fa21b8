"""Writing a file so that a reader never meets half of one."""
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
