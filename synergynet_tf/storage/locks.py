"""One command at a time in a folder that two would spoil.

The lock is the kernel's, on an open file: it ends with the process that holds it, however that ends, so that a killed command
never stands in the way of the next. The file itself, `.lock`, is taken away with the lock.
"""
import contextlib
import errno
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from synergynet_tf.errors import InputError, reason, unwritable

FILE = ".lock"
HELD = (errno.EWOULDBLOCK, errno.EACCES)
LOOK_S = 0.05               # between two looks whether a turn has come
PATIENCE_S = 600.0          # the longest turn: the files of one case, on a slow disk


class _Held(Exception):
    """Another process has the lock; the message says which."""


@contextlib.contextmanager
def held(folder: Path, remedy: str) -> Iterator[None]:
    """Keep other commands out of a folder for the length of a `with`; where files cannot be locked, say so and go on.

    Args:
        folder: exists and can be written.
        remedy: what else to do, for the message: "name another folder with --run".

    Raises:
        InputError: another command works there.
    """
    try:
        file = _take(folder / FILE)
    except _Held as holder:
        raise InputError(f"{folder}: another command works there ({holder}); wait for its end, stop it, or {remedy}") from None
    with _released(file, folder / FILE):
        yield


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait until no other command writes in a folder, and write there for the length of a `with`.

    Raises:
        InputError: one does not end.
    """
    with _released(_awaited(folder / FILE), folder / FILE):
        yield


def _awaited(path: Path) -> int | None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return _take(path)
        except _Held as holder:
            if time.monotonic() > until:
                raise InputError(f"{path.parent}: another command writes there and does not end ({holder}); stop it, or name "
                                 "another folder") from None
        time.sleep(LOOK_S)


def _take(path: Path) -> int | None:
    """The descriptor of the file, locked; None where there are no locks, which is said. Raises _Held, or InputError."""
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise unwritable(path.parent, error) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(file, 200).decode(errors="replace")
            os.close(file)
            if error.errno not in HELD:
                _warn(path, reason(error)[0])
                return None
            raise _Held(holder or "it has just begun") from None
        if _is_at(file, path):
            break
        os.close(file)      # its holder has removed it: there is a new one, or none
    with contextlib.suppress(OSError):      # on a full disk it holds no name
        os.truncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
    return file


@contextlib.contextmanager
def _released(file: int | None, path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        if file is not None:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(file)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _warn(path: Path, why: str) -> None:
    print(f"{path}: cannot be locked ({why}); going on: see that no other command works in this folder", file=sys.stderr)
