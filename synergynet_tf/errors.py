"""The one exception that a user can cause, and how a command shows it."""
import functools
import sys
from collections.abc import Callable


class InputError(ValueError):
    """What a user gave cannot be used. The message is one line: the file or field, both values, the remedy."""


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
            print(f"error: {error.filename or 'a file'}: {error.strerror or error}; check the path, its rights and the room "
                  "on its disk", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        return 0

    return run
