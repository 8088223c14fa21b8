"""The entry point of a command: what becomes of its errors, of a signal, of its exit status."""
import contextlib
import functools
import io
import sys
from collections.abc import Callable
from typing import Protocol

from synergynet_tf.errors import InputError, print_error, reason
from synergynet_tf.runtime import signals


class Command(Protocol):
    """An entry point: called with the arguments, or with none for those of this process, it gives the exit status."""

    def __call__(self, argv: list[str] | None = None) -> int:
        """Run the command."""


def command(main: Callable[[list[str] | None], None]) -> Command:
    """Make `main(argv)` an entry point: an InputError becomes one line on stderr and exit status 2, no traceback."""

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> int:
        """The exit status."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                with contextlib.suppress(ValueError):               # closed
                    stream.reconfigure(errors="backslashreplace")   # so that a name that this terminal cannot show raises nothing
        try:
            with signals.orderly():
                main(argv)
        except InputError as error:
            print_error(str(error))
            return 2
        except OSError as error:        # a full disk, a folder without rights: where no part says it better
            what, remedy = reason(error)
            print_error(f"{error.filename or 'a file'}: {what}; {remedy}")
            return 2
        except KeyboardInterrupt as error:
            number = getattr(error, "number", signals.ENDING[0])
            with contextlib.suppress(OSError):      # the terminal may be gone
                print(signals.message_of(number), file=sys.stderr, flush=True)
            return signals.status(number)
        return 0

    return run
