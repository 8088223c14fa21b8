"""Reading what was stored: JSON, JSONL, YAML, NumPy archives and checksums, by one way for all of them.

A file may have been cut off, damaged, edited or replaced since it was written. Whatever is wrong with it, what comes out is one
InputError that names the file, the reason and the remedy, never another exception, never a value of another type than was
asked for, and never more memory than the file's size allows for. Pickles are not read.
"""
import contextlib
import errno
import io
import json
import math
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from synergynet_tf.errors import InputError, reason
from synergynet_tf.storage import typed
from synergynet_tf.storage.yamls import load

if TYPE_CHECKING:
    import numpy as np

LARGEST = 2 ** 28           # bytes of a text: nothing that is written comes near
DEFLATE = 1032              # no compressed byte can hold more of them
REASON = 300                # characters of a reason in a message
SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class Stored(NamedTuple):
    """An array that an archive must hold."""

    kinds: str                              # of its dtype, as NumPy has them: "f" float, "iu" whole, "b" bool, "U" text
    shape: tuple[int | None, ...]           # None: any length
    finite: bool = True


def read_json(path: Path, kind: str, remedy: str, hint: Any = Any) -> Any:
    """The value of a JSON file.

    Args:
        path: the file.
        kind: what the file is, for the message: "record of the preparation".
        remedy: what to do where it cannot be read.
        hint: what the value must be, as `typed.require` takes it.

    Raises:
        InputError: it is absent, not to be read, no JSON, or another value.
    """
    with reading(path, kind, remedy):
        return parse_json(_text(path), hint)


def parse_json(text: str | bytes, hint: Any = Any) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, or not as `hint` says.
        RecursionError: it is too deep.
    """
    value = json.loads(text, parse_constant=_refuse)
    typed.require(value, hint, "")
    return value


def read_jsonl(path: Path, kind: str, remedy: str, hint: Any = Any, mark: str = "") -> list[Any]:
    """The values of a file with a JSON value a line.

    A killed writer may leave its last line torn: such a line is passed over at the end, and before a line that begins with
    `mark`, which the writer that went on has put there. Args and Raises are otherwise those of `read_json`.
    """
    with reading(path, kind, remedy):
        values, lines = [], _text(path).split("\n")
        for number, line in enumerate(lines, start=1):
            try:
                if line:
                    values.append(parse_json(line, hint))
            except (ValueError, RecursionError) as error:
                torn = number == len(lines) or (mark and lines[number].startswith(mark))
                if not torn:
                    raise ValueError(f"line {number}: {error}") from None
        return values


def read_yaml(path: Path, kind: str, remedy: str, hint: Any = dict) -> Any:
    """The value of a YAML file, of UTF-8 or UTF-16. Args and Raises are those of `read_json`.

    Anchors, which can loop and multiply, are refused, and so is a key that is named twice.
    """
    with reading(path, kind, remedy):
        value = load(_bytes(path))
        typed.require(value, hint, "")
        return value


def read_npz(path: Path, kind: str, remedy: str, arrays: Mapping[str, Stored] | None = None) -> "dict[str, np.ndarray]":
    """The arrays of a NumPy archive, in memory, their checksums checked.

    Args:
        path: the file.
        kind: as of `read_json`.
        remedy: as of `read_json`.
        arrays: those it must hold; others are given too.

    Raises:
        InputError: it is absent, not to be read, no archive, damaged, or without one of the arrays.
    """
    with reading(path, kind, remedy):
        _require_regular(path)
        with _content_at_fault(), zipfile.ZipFile(path) as archive:
            _require_room(archive, path.stat().st_size)
            content = {info.filename.removesuffix(".npy"): _array(info.filename, archive.read(info))
                       for info in archive.infolist()}
        for name, wanted in (arrays or {}).items():
            _require_array(content, name, wanted)
        return content


def read_sums(path: Path, kind: str, remedy: str) -> dict[str, str]:
    """The SHA-256 sums of a file as `sha256sum` writes it, by name. Args and Raises are those of `read_json`."""
    with reading(path, kind, remedy):
        sums: dict[str, str] = {}
        for number, line in enumerate(_text(path).splitlines(), start=1):
            match = SUM.fullmatch(line)
            name = PurePosixPath(match[2]) if match else None
            if match is None or name is None or name.is_absolute() or ".." in name.parts or match[2] in sums:
                raise ValueError(f"line {number} is not a sum and the name of one more file below the folder")
            sums[match[2]] = match[1]
        return sums


@contextlib.contextmanager
def reading(path: Path, kind: str, remedy: str) -> Iterator[None]:
    """For the length of a `with`, turn whatever is raised into the one InputError of a file that is not as it should be."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such {kind}; {remedy}") from None
    except OSError as error:
        what, advice = reason(error)
        raise InputError(f"{path}: the {kind} cannot be read ({what}); {advice}, or {remedy}") from None
    except Exception as error:      # of a dozen kinds from the parsers, and each says that the content is wrong
        what = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a readable {kind} ({what[:REASON]}); {remedy}") from None


@contextlib.contextmanager
def _content_at_fault() -> Iterator[None]:
    """An archive that sends its reader to places that no file has: the system's complaint is the content's fault."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError("its parts are said to lie outside the file") from None


def _require_regular(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):       # a pipe would be waited for, a device never ends
        raise ValueError("it is no file")


def _bytes(path: Path) -> bytes:
    _require_regular(path)
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it has {path.stat().st_size} bytes, at most {LARGEST} are read")
    return path.read_bytes()


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _require_room(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive whose parts say that they are larger than its bytes can hold."""
    parts = archive.infolist()
    if len({info.filename for info in parts}) < len(parts):
        raise ValueError("two of its parts have one name")
    if sum(info.compress_size for info in parts) > size or any(
            info.file_size > DEFLATE * (info.compress_size + 1) for info in parts):
        raise ValueError("its parts are said to be larger than the file")


def _array(name: str, content: bytes) -> "np.ndarray":
    """An array of an archive; its header may lie about what follows."""
    import numpy as np

    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, _, dtype = read_header(file)
    if dtype.kind not in "biufU" or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"{name} is said to be {dtype} {shape}, which its {len(content) - file.tell()} bytes are not")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _require_array(content: "Mapping[str, np.ndarray]", name: str, wanted: Stored) -> None:
    import numpy as np

    if name not in content:
        raise ValueError(f"{name} is missing")
    array = content[name]
    fits = len(array.shape) == len(wanted.shape) and all(w in (None, n) for n, w in zip(array.shape, wanted.shape))
    if array.dtype.kind not in wanted.kinds or not fits:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, but it must be of kind {wanted.kinds} "
                         f"and {str(wanted.shape).replace('None', 'any')}")
    if wanted.finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
