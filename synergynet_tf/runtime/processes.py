"""Work shared among processes, or done beside other work, and the memory that such work leaves."""
import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import TypeVar

from synergynet_tf.errors import InputError

MANY = 4                    # items from which on processes are started: each needs a second or two to begin
PR_SET_PDEATHSIG = 1        # of Linux's prctl: the signal that a process gets when its parent ends


T = TypeVar("T")
R = TypeVar("R")


class Ended(InputError):
    """A process was ended from outside."""


def cores() -> int:
    """How many processes this one may use at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> int:
    """The most memory that this process has taken so far, or since `restart_peak`, bytes (Linux).

    `resource.getrusage` is no help: what a process starts with there is the peak of the one that started it.
    """
    with open("/proc/self/status", encoding="ascii") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def restart_peak() -> bool:
    """Have `peak_memory` begin again, with what the process holds now; whether the system lets it (Linux)."""
    with contextlib.suppress(OSError):
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        return True
    return False


@contextlib.contextmanager
def pool(workers: int, doing: str, begin: Callable[[], None] | None = None) -> Iterator[ProcessPoolExecutor]:
    """Processes for the length of a `with`; what has not begun at its end is dropped, and they end with this one.

    Args:
        workers: how many.
        doing: what they do, "scoring" for one, for the message.
        begin: what each calls first.

    Raises:
        Ended: a process was ended from outside.
    """
    with _deaf():       # so is multiprocessing's own helper, which begins here
        executor = ProcessPoolExecutor(workers, Children(), begin)
    try:
        yield executor
    except BrokenProcessPool:
        many = f"one of {workers} {doing} processes" if workers > 1 else f"the {doing} process"
        raise Ended(f"{many} was ended from outside, for want of memory as a rule: use fewer --workers, or end other "
                    "programs") from None
    except BaseException:       # what runs could take minutes
        for child in active_children():
            child.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def each(call: Callable[[T], R], items: Sequence[T], workers: int | None,
         doing: str) -> Generator[tuple[T, R | InputError], None, None]:
    """Every item, in their order, with what `call` makes of it in one of several processes, or in this one.

    A process that is ended from outside, as a system short of memory does, takes the others with it: what they were at is done
    again, alone, and an item whose process is ended twice comes with an InputError. The rest goes on.

    Args:
        call: a function that can be pickled.
        items: values that can be pickled.
        workers: processes; 1: this one; none: one a core, or this one for fewer than `MANY` items.
        doing: as for `pool`.
    """
    if workers is None:
        workers = min(cores(), len(items)) if len(items) >= MANY else 1
    if workers <= 1:
        yield from ((item, call(item)) for item in items)
        return
    remaining = list(items)
    while remaining:
        try:
            with pool(workers, doing) as executor:
                jobs = [executor.submit(call, item) for item in remaining]
                for job in jobs:
                    done = job.result()
                    yield remaining.pop(0), done
        except Ended:
            for item in remaining[:workers]:
                yield item, _alone(call, item, doing)
            del remaining[:workers]


def _alone(call: Callable[[T], R], item: T, doing: str) -> R | InputError:
    try:
        with pool(1, doing) as executor:
            return executor.submit(call, item).result()
    except Ended as error:
        return InputError(str(error))


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Block the terminal's signals for the length of a `with`; this process receives them at its end.

    A process that is started within inherits the block, and so never receives them, not even while it begins.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Child(SpawnProcess):
    """A process that ends with the one that started it, however that ends, and leaves Ctrl-C to it."""

    def start(self) -> None:
        """Start it."""
        self._of_main = threading.current_thread() is threading.main_thread()
        with _deaf():
            super().start()

    def run(self) -> None:
        """Do what it is for."""
        parent = parent_process()
        if self._of_main and sys.platform == "linux":       # at once; it is of the thread that started this process, too
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        super().run()


class Children(SpawnContext):
    """A context of multiprocessing whose processes are `_Child`ren.

    They are spawned, not forked, since the process that starts them may have TensorFlow's threads.
    """

    Process = _Child


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


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
