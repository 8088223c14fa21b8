"""What every long command shows: what is done, of how much, the time left; on a terminal a bar, in a log a line now and then."""
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[..., None]
EVERY = 60.0            # seconds between two lines of a log, at least, and before the first
SHARE = 0.1             # of the whole between two lines, ...
AT_MOST = 600.0         # ... or so many seconds


@contextlib.contextmanager
def bar(what: str, total: int, done: int = 0, console: "Console | None" = None) -> Iterator[Advance]:
    """A progress bar for the length of a `with`; where there is no terminal, lines on stderr, since stdout is for results.

    Args:
        what: before the bar.
        total: steps in all.
        done: steps done before.
        console: none: stderr. Lines printed to the same console go above the bar. A quiet one shows nothing.

    Yields:
        A function `advance(steps=1, what=...)` that moves the bar on and, if given a text, changes the one before it.
    """
    from rich.console import Console

    if console and console.quiet:
        yield lambda steps=1, what=None: None
        return
    errors = Console(stderr=True)
    shown = next((place for place in (console or errors, errors) if place.is_terminal), None)
    if shown is None:
        yield Lines(what, total, done).advance
        return
    with _terminal(what, total, done, shown) as advance:
        yield advance


@contextlib.contextmanager
def _terminal(what: str, total: int, done: int, console: "Console") -> Iterator[Advance]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total, completed=done)

        def advance(steps: int = 1, what: str | None = None) -> None:
            progress.update(task, advance=steps, description=what or None)

        yield advance


class Lines:
    """The lines of a log: none of what is soon done.

    Args:
        what, total, done: as of `bar`.
        clock: seconds.
        say: where a line goes.
    """

    def __init__(self, what: str, total: int, done: int = 0, clock: Callable[[], float] = time.monotonic,
                 say: Callable[[str], None] | None = None):
        self._what, self._total, self._done, self._clock = what, total, done, clock
        self._say = say or (lambda line: print(line, file=sys.stderr, flush=True))
        self._first = self._reported = done
        self._began = self._last = clock()

    def advance(self, steps: int = 1, what: str | None = None) -> None:
        """Go on so many steps, and say so where it is time."""
        self._done, self._what = self._done + steps, what or self._what
        now = self._clock()
        since, more = now - self._last, self._done - self._reported
        if more and self._done < self._total and since >= EVERY and (more >= SHARE * self._total or since >= AT_MOST):
            remaining = (now - self._began) * (self._total - self._done) / (self._done - self._first)
            self._say(f"{self._what}: {self._done} of {self._total} ({self._done / self._total:.0%}) in "
                      f"{duration(now - self._began)}, about {duration(remaining)} left")
            self._last, self._reported = now, self._done


def duration(seconds: float) -> str:
    """In words, of the two largest units that say something: "3 h 20 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest} s" if minutes else f"{rest} s"
