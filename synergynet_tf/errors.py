"""The one exception that a user can cause, and how a command shows it."""
import errno
import os
import sys

# Errors of the system about files: what is wrong, and what to do.
REASONS = {
    errno.ENOSPC: ("the disk is full", "make room on it, or name another place"),
    errno.EDQUOT: ("the disk quota is used up", "make room, or name another place"),
    errno.EFBIG: ("it is larger than the system lets a file be", "raise the limit (ulimit -f), or name another place"),
    errno.EROFS: ("the file system is read-only", "name another place"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n), or take fewer workers"),
    errno.ENFILE: ("too many files are open on this machine", "close some programs"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.EACCES: ("permission denied", "check its rights, or name another place"),
    errno.EPERM: ("it is not permitted", "check its rights, or name another place"),
    errno.EIO: ("the disk cannot read or write it", "check the disk, or name another place"),
    errno.ENOENT: ("no such file or folder", "check the path"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "check the path"),
    errno.EISDIR: ("it is a folder", "name a file"),
    errno.EEXIST: ("a file lies there", "name another place"),
    errno.ENOMEM: ("memory is used up", "close some programs, or take fewer workers"),
    errno.ESTALE: ("the network drive has lost it", "mount it again"),
}


class InputError(ValueError):
    """What a user gave cannot be used. The message is one line: the file or field, both values, the remedy."""


class Unprepared(InputError):
    """A scan that is as it left the scanner: skull on, or on thick slices. `prepare --raw` makes it fit for a network."""


def printable(text: str) -> str:
    """A text that any line, table or figure can take: control characters, and what of a file's name is no text, are escaped."""
    escaped = (letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text)
    return "".join(escaped)


def reason(error: OSError) -> tuple[str, str]:
    """What the system says is wrong with a file, and what to do."""
    other = error.strerror or str(error) or type(error).__name__
    return REASONS.get(error.errno or 0, (other, "check the path, its rights and its disk"))


def unwritable(path: object, error: OSError) -> InputError:
    """The error of a file that cannot be written."""
    what, remedy = reason(error)
    return InputError(f"{path}: cannot be written ({what}); {remedy}")


def of_case(name: str, error: Exception) -> InputError:
    """The error of a case that failed, for any reason: an InputError that names the case and says what to do."""
    if isinstance(error, InputError):
        return error if name in str(error) else type(error)(f"case {name}: {error}")
    first_line = (str(error).strip().splitlines() or [""])[0][:300]
    if isinstance(error, MemoryError):
        return InputError(f"case {name}: does not fit into memory{first_line and f' ({first_line})'}; end other programs, or use "
                          "fewer --workers, or a machine with more")
    if isinstance(error, OSError):
        what, remedy = reason(error)
        return InputError(f"case {name}: {error.filename or 'a file'}: {what}; {remedy}")
    return InputError(f"case {name}: {type(error).__name__}: {first_line}; this was not foreseen: please report it, with the "
                      "scan's header")


def disk_full(message: str) -> bool:
    """Whether the message of another library's exception means a full disk."""
    return any(os.strerror(code) in message for code in (errno.ENOSPC, errno.EDQUOT))


def print_error(message: str) -> None:
    """Say on stderr, in one line, what cannot be used."""
    print(f"error: {printable(message)}", file=sys.stderr)


