"""Which files are DICOM images: of a folder and what is below it, or of a zip file, which is read without being unpacked."""
import io
import zipfile
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
        try:
            if self.member is None:
                return open(self.path, "rb")
            with zipfile.ZipFile(self.path) as archive:
                return io.BytesIO(archive.read(self.member))
        except OSError as error:
            what, remedy = reason(error)
            raise InputError(f"{self}: cannot be read ({what}); {remedy}") from None
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError, EOFError) as error:
            raise InputError(f"{self}: cannot be unpacked ({error}); copy the zip file again, without a password") from None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}: {self.member}"


def is_dicom(path: Path) -> bool:
    """Whether a path is a DICOM file, a zip file, or a folder that holds DICOM files and neither NIfTI files nor a manifest."""
    if path.is_file():
        return path.suffix.lower() == ".zip" or _has_mark(path)
    if not path.is_dir() or (path / "manifest.csv").exists():
        return False
    dicom = False
    for file in _below(path):
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
        files = [File(path, name) for name in _members(path)]
        found = [file for file in files if _marked(file)]
    else:
        found = [File(file) for file in ([path] if path.is_file() else _below(path)) if _has_mark(file)]
    if not found:
        raise InputError(f"{path}: holds no DICOM image; name the folder or zip file of a study")
    return found


def _below(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def _has_mark(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(PREAMBLE + len(MAGIC))[PREAMBLE:] == MAGIC
    except OSError:
        return False


def _marked(file: File) -> bool:
    with zipfile.ZipFile(file.path) as archive, archive.open(file.member or "") as content:
        return content.read(PREAMBLE + len(MAGIC))[PREAMBLE:] == MAGIC


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = [part for part in archive.infolist() if not part.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable zip file ({error}); copy it again") from None
    for part in parts:
        if part.flag_bits & 1:
            raise InputError(f"{path}: {part.filename} is locked by a password; unpack it, and name the folder")
        if part.file_size > LARGEST or part.file_size > INFLATED * (part.compress_size + 1):
            raise InputError(f"{path}: {part.filename} would take {part.file_size} bytes, which no image takes; look at the file")
    return sorted(part.filename for part in parts)
