"""Work shared among processes, or done beside other work, and the memory that such work leaves."""
import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from synergynet_tf.errors import InputError


def cores() -> int:
    """How many processes this one may use at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> int:
    """The most memory that this process has taken so far, bytes (Linux).

    `resource.getrusage` is no help: what a process starts with there is the peak of the one that started it.
    """
    with open("/proc/self/status", encoding="ascii") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


@contextlib.contextmanager
def pool(workers: int, doing: str) -> Iterator[ProcessPoolExecutor]:
    """Processes for the length of a `with`; what has not begun at its end is dropped. They are spawned, not forked: the caller
    may hold TensorFlow's threads.

    Args:
        doing: what they do, "scoring" for one, for the message.

    Raises:
        InputError: a process was ended from outside.
    """
    executor = ProcessPoolExecutor(workers, get_context("spawn"))
    try:
        yield executor
    except BrokenProcessPool:
        raise InputError(f"one of {workers} {doing} processes was ended from outside, for want of memory as a rule: "
                         "use fewer --workers") from None
    finally:
        executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def repeated(call: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call a function about every so many seconds, in a thread, for the length of a `with`."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            call()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def giving_back(every: float = 0.5) -> Iterator[None]:
    """Give memory back about every so many seconds during a `with`, and at its end.

    Of what tracing, rewriting or compiling a graph took, the C library would keep some 100 MB, beside the maps of the step that
    follows at once.
    """
    with repeated(give_back, every):
        yield
    give_back()


def give_back() -> None:
    """Have the C library return freed memory to the system. It is glibc's that keeps it; elsewhere nothing is done."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)
