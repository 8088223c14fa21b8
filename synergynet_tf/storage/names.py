"""Names of files, and what becomes one: names of cases, patients, sessions, channels and other tools."""
import os
import re
import unicodedata

from synergynet_tf.errors import InputError, printable

NIFTI_ENDINGS = (".nii.gz", ".nii")
LONGEST = 200       # bytes: with what is added to it, a file's name has 255 at most


def key(name: str) -> str:
    """A name as all file systems tell names apart: without case, accents and letters in one."""
    return unicodedata.normalize("NFC", name).casefold()


def is_nifti(path: str | os.PathLike) -> bool:
    """Whether a file is called as NIfTI files are, in whatever case."""
    return key(os.path.basename(path)).endswith(NIFTI_ENDINGS)


def stem(path: str | os.PathLike) -> str:
    """A file's name without its NIfTI ending, in whatever case that is written."""
    name = os.path.basename(path)
    return next((name[:-len(ending)] for ending in NIFTI_ENDINGS if key(name).endswith(ending)), name)


def name_fault(what: str, name: str, also: str = "") -> str | None:
    """Why a name can name no file, as a message; None where it can.

    Args:
        what: what is called so, for the message: "the case name".
        name: the name.
        also: letters that are allowed beside those of every name.
    """
    if not re.fullmatch(rf"\w[\w.\-{also}]*", unicodedata.normalize("NFC", name)):
        return (f"{what} {printable(repr(name))} cannot name a file; use letters, digits, '_', '-' and '.', "
                "and begin with a letter or digit")
    size = len(name.encode(errors="surrogateescape"))
    if size > LONGEST:
        return f"{what} {printable(name[:40])}... takes {size} bytes, but {LONGEST} are the most for a file; shorten it"
    return None


def require_name(what: str, name: str, also: str = "") -> None:
    """See that a name can name a file, see `name_fault`.

    Raises:
        InputError: it can name none.
    """
    fault = name_fault(what, name, also)
    if fault:
        raise InputError(fault)
