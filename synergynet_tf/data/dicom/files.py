"""Which files are DICOM images: of a folder and what is below it, or of a zip file, which is read without being unpacked."""
import contextlib
import functools
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from synergynet_tf.errors import InputError, reason
from synergynet_tf.storage.names import is_nifti

PREAMBLE, MAGIC = 128, b"DICM"
LARGEST = 2 ** 31           # bytes of one image: an enhanced file holds a whole scan
INFLATED = 1000             # a part of a zip file is never so many times larger than it is there


@dataclass(frozen=True)
class File:
    """A file of a study, in a folder or in a zip file."""

    path: Path
    member: str | None = None       # its name in the zip file

    def open(self) -> IO[bytes]:
        """Its bytes, to be read.

        Raises:
            InputError: it cannot be opened.
        """
        with _opening(self):
            return open(self.path, "rb") if self.member is None else io.BytesIO(_archive(self.path).read(self.member))

    def is_marked(self) -> bool:
        """Whether it begins as DICOM files do.

        Raises:
            InputError: it cannot be opened.
        """
        with _opening(self), open(self.path, "rb") if self.member is None else _archive(self.path).open(self.member) as content:
            return content.read(PREAMBLE + len(MAGIC))[PREAMBLE:] == MAGIC

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}: {self.member}"


@contextlib.contextmanager
def _opening(file: File | Path) -> Iterator[None]:
    """Raises InputError, in a line, for what may be wrong with a file or a zip file."""
    try:
        yield
    except OSError as error:
        what, remedy = reason(error)
        raise InputError(f"{file}: cannot be read ({what}); {remedy}") from None
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, ValueError, EOFError) as error:
        raise InputError(f"{file}: cannot be unpacked ({error}); copy the zip file again, without a password") from None


@functools.lru_cache(maxsize=1)
def _archive(path: Path) -> zipfile.ZipFile:
    """A zip file, open: its list is read once for all its members."""
    return zipfile.ZipFile(path)


def is_dicom(path: Path) -> bool:
    """Whether a path is a DICOM file, a zip file, or a folder that holds DICOM files and neither NIfTI files nor a manifest."""
    if path.is_file():
        return path.suffix.lower() == ".zip" or _has_mark(path)
    if not path.is_dir() or (path / "manifest.csv").exists():
        return False
    dicom = False
    for file in (path for path in path.rglob("*") if path.is_file()):
        if is_nifti(file):
            return False
        dicom = dicom or _has_mark(file)
    return dicom


def images_at(path: Path) -> list[File]:
    """The DICOM files at a path, in the order of their names.

    Raises:
        InputError: there is none, or a zip file is damaged or made to burst.
    """
    if path.suffix.lower() == ".zip" and path.is_file():
        found = [file for file in _members(path) if file.is_marked()]
    else:
        below = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        found = [File(file) for file in below if _has_mark(file)]
    if not found:
        raise InputError(f"{path}: holds no DICOM image; name the folder or zip file of a study")
    return found


def _has_mark(path: Path) -> bool:
    try:
        return File(path).is_marked()
    except InputError:
        return False


def _members(path: Path) -> list[File]:
    _archive.cache_clear()      # the file may be another by now
    with _opening(path):
        parts = [part for part in _archive(path).infolist() if not part.is_dir()]
    for part in parts:
        if part.flag_bits & 1:
            raise InputError(f"{path}: {part.filename} is locked by a password; unpack it, and name the folder")
        if part.file_size > LARGEST or part.file_size > INFLATED * (part.compress_size + 1):
            raise InputError(f"{path}: {part.filename} would take {part.file_size} bytes, which no image takes; look at the file")
    return [File(path, name) for name in sorted(part.filename for part in parts)]
