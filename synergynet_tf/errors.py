"""The one exception that a user can cause, and how a command shows it."""
import errno
import functools
import os
import sys
from collections.abc import Callable

# What the system says of files, in words that say what to do.
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


def reason(error: OSError) -> tuple[str, str]:
    """What the system says is wrong with a file, and what to do."""
    other = error.strerror or str(error) or type(error).__name__
    return REASONS.get(error.errno, (other, "check the path, its rights and its disk"))


def unwritable(path: object, error: OSError) -> InputError:
    """The error of a file that cannot be written."""
    what, remedy = reason(error)
    return InputError(f"{path}: cannot be written ({what}); {remedy}")


def disk_full(message: str) -> bool:
    """Whether a message of another library's own exceptions speaks of a full disk."""
    return any(os.strerror(code) in message for code in (errno.ENOSPC, errno.EDQUOT))


def command(main: Callable[[list[str] | None], None]) -> Callable[[list[str] | None], int]:
    """Make `main(argv)` an entry point: an InputError becomes one line on stderr and exit status 2, no traceback."""

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> int:
        """The exit status."""
        try:
            main(argv)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except OSError as error:        # a full disk, a folder without rights: where no part says it better
            what, remedy = reason(error)
            print(f"error: {error.filename or 'a file'}: {what}; {remedy}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        return 0

    return run
