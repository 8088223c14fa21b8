"""The bytes of a NIfTI file, unpacked no further than its header asks for, and the header as nibabel mends it.

Whatever is wrong with a file is an InputError that names it: a file may come from anywhere, and be made to do harm.
"""
import gzip
import io
import logging
import math
import stat
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from synergynet_tf.data.foreign import ENOUGH, absent, described
from synergynet_tf.errors import InputError, reason

MAX_VOXELS = 2 ** 28        # 0.35 mm for a whole head; more is a damaged header, or asks for memory in vain
HEADER_ROOM = 2 ** 24       # bytes before the voxels, at most
PADDING = 4096              # bytes after the voxels that some programs write; more are voxels that the header does not count
GZIP_RATIO = 1032           # deflate packs no more bytes than this into one
PIECE = 2 ** 20             # bytes unpacked at a time
TINY = 2.0 ** -126          # numbers nearer to 0 are what damage makes of it, and 0 to some processors
MENDED = 30                 # nibabel's severity of what in a header a reader should hear of


@dataclass(frozen=True, eq=False)
class Contents:
    """A NIfTI file read whole."""

    header: nib.Nifti1Header        # NIfTI-2 is a subclass
    content: bytes                  # to the end of the voxels
    mended: tuple[str, ...]         # what was wrong with the header

    def voxels(self) -> np.ndarray:
        """The voxels, scaled, float32, as stored. What float32 cannot hold is infinite."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asanyarray(ArrayProxy(io.BytesIO(self.content), self.header), dtype=np.float32)


def read_contents(path: Path) -> Contents:
    """Read and unpack a file, and check its header.

    Raises:
        InputError: no such file, not NIfTI in one file, truncated or corrupt, not three-dimensional, complex or colour voxels, no
            voxels at all or more than `MAX_VOXELS`, more bytes than the header asks for, a header that is damaged otherwise.
    """
    try:
        return _read(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise InputError(f"{path}: {absent(path)}") from None
    except EOFError:
        raise InputError(f"{path}: truncated: the gzip data end too early; replace the file") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: corrupt gzip data ({first_line(error)}); replace the file") from None
    except ValueError as error:     # a name that no file can have
        raise InputError(f"{path}: cannot be read ({first_line(error)}); check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)[0]}); give a NIfTI file") from None
    except MemoryError:
        raise InputError(f"{path}: too large for this machine's memory; resample it, or take a larger machine") from None


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its name where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _read(path: Path) -> Contents:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InputError(absent(path))
    with open(path, "rb") as packed:
        is_gzip = packed.read(2) == b"\x1f\x8b"
        packed.seek(0)
        return parse(cast(BinaryIO, gzip.GzipFile(fileobj=packed) if is_gzip else packed), status.st_size, is_gzip)


def parse(file: BinaryIO, size: int, is_gzip: bool = False) -> Contents:
    """The contents of a file that is open and, before it was unpacked, of `size` bytes.

    Raises:
        InputError: what is wrong with it, as of `read_contents`; no file is named.
    """
    head = _exactly(file, ENOUGH)
    if head[344:348] != b"n+1\0" and head[4:8] != b"n+2\0":
        raise InputError(described(head))
    kind = nib.Nifti1Header if head[344:348] == b"n+1\0" else nib.Nifti2Header
    needed = _needed(kind, head)
    possible = size * (GZIP_RATIO if is_gzip else 1)
    if needed > possible:
        raise InputError(f"truncated: {size} bytes{' of gzip data' if is_gzip else ''}, but the header asks for "
                         f"{needed}; replace the file")
    content = head[:needed] + _exactly(file, needed - len(head))
    if len(content) < needed:
        raise InputError(f"truncated: {len(content)} bytes, but the header asks for {needed}; replace the file")
    beyond = len(head) - needed if len(head) > needed else 0
    if beyond + len(_exactly(file, PADDING + 1)) > PADDING:       # which also reads to the checksum
        raise InputError(f"more bytes than the {needed} that the header asks for: the header or the file is damaged; "
                         "replace the file")
    header, mended = _checked(kind, content)
    return Contents(header, content, mended)


def _exactly(file: BinaryIO, count: int) -> bytes:
    """The next `count` bytes, or all that are left, in pieces: no memory is asked for before there are bytes to fill it."""
    pieces = []
    while count > 0 and (piece := file.read(min(count, PIECE))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _needed(kind: type[nib.Nifti1Header], head: bytes) -> int:
    """The bytes of a file to the end of its voxels, by its unchecked header. Raises InputError where that is no scan."""
    size = kind.template_dtype.itemsize
    if len(head) < size + 4:
        raise InputError(f"truncated: {len(head)} bytes, but a NIfTI header takes {size + 4}; replace the file")
    header = kind(head[:size], check=False)
    offset, scaling = float(header["vox_offset"]), [float(header[name]) for name in ("scl_slope", "scl_inter")]
    if not kind.single_vox_offset <= offset <= HEADER_ROOM:
        raise InputError(f"the voxels begin at byte {offset:g} (vox_offset), but {kind.single_vox_offset} to {HEADER_ROOM} are "
                         "possible: the header is damaged; replace the file")
    if np.isinf(scaling[0]) or any(0 < abs(number) < TINY for number in scaling):
        raise InputError("the voxels are scaled by {:g} and shifted by {:g} (scl_slope, scl_inter): the header is damaged; "
                         "replace the file".format(*scaling))
    if not 1 <= header["dim"][0] <= 7:
        raise InputError(f"the file has {header['dim'][0]} axes (dim), but 1 to 7 are possible: the header is damaged; replace "
                         "the file")
    try:
        dtype, shape = header.get_data_dtype(), header.get_data_shape()
    except Exception as error:      # damage that no list of exceptions foresees
        raise InputError(f"the NIfTI header is damaged ({first_line(error)}); replace the file") from None
    if dtype.kind not in "iuf":
        raise InputError(f"the voxels are {'colours' if dtype.kind == 'V' else 'complex numbers'} ({dtype}), but one real number "
                         "a voxel is needed; convert the file")
    return int(offset) + dtype.itemsize * _count(tuple(int(n) for n in shape))


def _count(shape: tuple[int, ...]) -> int:
    """The number of voxels. Raises InputError where not three axes at most are longer than 1, and for none or too many."""
    shown = " x ".join(map(str, shape))
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise InputError(f"the file has {len(shape)} axes ({shown}), but a scan has 3; extract one volume")
    if min(shape) <= 0:
        raise InputError(f"no voxels ({shown}); replace the file")
    count = math.prod(shape)
    if count > MAX_VOXELS:
        raise InputError(f"{shown} voxels, but a scan of a head has {MAX_VOXELS} at most: replace the file where its header is "
                         "damaged, else resample it")
    return count


def _checked(kind: type[nib.Nifti1Header], content: bytes) -> tuple[nib.Nifti1Header, tuple[str, ...]]:
    """The header with its extensions, mended as nibabel mends it, and what was mended; nibabel itself would name no file."""
    heard = _Heard()
    offset = int(kind(content[:kind.template_dtype.itemsize], check=False)["vox_offset"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = kind.from_fileobj(io.BytesIO(content[:offset]), check=False)       # no extension reaches into the voxels
            header.check_fix(heard.logger)
            header.get_best_affine(), header.get_slope_inter()
    except Exception as error:      # as above
        raise InputError(f"the NIfTI header is damaged ({first_line(error)}); replace the file") from None
    return header, tuple(heard.messages)


class _Heard(logging.Handler):
    """A logger of its own, and what was said to it."""

    def __init__(self) -> None:
        super().__init__(MENDED)
        self.logger = logging.Logger("header")
        self.messages: list[str] = []
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is said."""
        self.messages.append(record.getMessage())
