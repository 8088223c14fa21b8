"""The entry point of a command: what becomes of its errors, of a signal, of its exit status."""
import contextlib
import functools
import sys
from collections.abc import Callable

from synergynet_tf.errors import InputError, print_error, reason
from synergynet_tf.runtime import signals


def command(main: Callable[[list[str] | None], None]) -> Callable[[list[str] | None], int]:
    """Make `main(argv)` an entry point: an InputError becomes one line on stderr and exit status 2, no traceback."""

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> int:
        """The exit status."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError):       # none, not a terminal's, or closed
                stream.reconfigure(errors="backslashreplace")           # a name that this terminal cannot show ends nothing
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
                print(signals.told(number), file=sys.stderr, flush=True)
            return signals.status(number)
        return 0

    return run
