"""The bar that every long command shows: what is done, how much of it, the time left."""
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[..., None]


@contextlib.contextmanager
def bar(what: str, total: int, done: int = 0, console: "Console | None" = None) -> Iterator[Advance]:
    """A progress bar for the length of a `with`, shown where the console is a terminal.

    Args:
        what: before the bar.
        total, done: steps in all, and those done before.
        console: none: stderr, since stdout is for results. Lines printed to the same console go above the bar.

    Yields:
        A function `advance(steps=1, what=...)` that moves the bar on and, if given a text, changes the one before it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total, completed=done)

        def advance(steps: int = 1, what: str | None = None) -> None:
            progress.update(task, advance=steps, **({"description": what} if what else {}))

        yield advance
