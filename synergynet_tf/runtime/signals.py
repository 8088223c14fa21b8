"""How a command ends when it is told to: Ctrl-C, SIGTERM (`kill`, a batch system, a container) and SIGHUP (its terminal is gone).

What is under way is left in order: what was written is whole, processes that were started end too. Python acts on a signal only
between its own steps; a step of TensorFlow's can take minutes, so that after `PATIENCE` the process is ended from a thread.
"""
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

PATIENCE = 5.0      # seconds
ENDING = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
SHOW_CURSOR = "\x1b[?25h"       # a bar hides it


class Ended(KeyboardInterrupt):
    """The process was told to end by the signal `number`."""

    def __init__(self, number: int = signal.SIGINT):
        super().__init__(number)
        self.number = number


def message_of(number: int) -> str:
    """The line that a command prints when a signal ends it."""
    return "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"


def status(number: int) -> int:
    """The exit status of a process that a signal ended, as shells have it."""
    return 128 + number


@contextlib.contextmanager
def orderly() -> Iterator[None]:
    """For the length of a `with`, signals that end raise `Ended` in the main thread; what does not end then is ended.

    Signals that were ignored before (nohup) stay so. In another thread than the main one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told_by, over = [], threading.Event()

    def end(number: int, _frame: object) -> None:
        told_by.append(number)
        if len(told_by) == 1:       # a second one comes too late to be of use
            raise Ended(number)

    with _watched(over):
        before = {number: signal.signal(number, end) for number in ENDING if signal.getsignal(number) != signal.SIG_IGN}
        try:
            yield
        except KeyboardInterrupt as error:      # a library may have raised its own in the place of ours
            raise Ended(*told_by[:1]) from error
        finally:
            over.set()
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Undo at the end of a `with` what a library did to the handlers of signals that end."""
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _watched(over: threading.Event) -> Iterator[None]:
    """Start a thread that receives signals even while the main thread is busy, and ends the process if the latter does not."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def watch() -> None:
        while number := os.read(reading, 1):
            if number[0] in ENDING and not over.wait(PATIENCE):
                with contextlib.suppress(OSError):      # the terminal may be gone
                    os.write(2, f"{SHOW_CURSOR if sys.stderr.isatty() else ''}{message_of(number[0])}\n".encode())
                os._exit(status(number[0]))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)       # which ends the thread
        thread.join()
        os.close(reading)
