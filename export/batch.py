"""Many requests to one server: several at once, each asked again while the server is away."""
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import ThreadPool
from typing import Any, TypeVar

from synergynet_tf.errors import InputError

from .http_exchange import Unavailable

FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0        # seconds between two tries

T = TypeVar("T")
R = TypeVar("R")


class Patience:
    """Asks a server again while it is away.

    Waits grow from FIRST_WAIT to LONGEST_WAIT seconds, twofold, each times 0.5 to 1 by chance, so that clients which lost one
    server do not come back at once. A server is given up `seconds` after it was last there, for all who ask together: of a
    thousand scans the first waits, and those behind it ask once each.

    Args:
        seconds: how long it is asked again.
        say: is told, once each time the server goes away.
    """

    def __init__(self, seconds: float, say: Callable[[str], Any], sleep: Callable[[float], Any] = time.sleep,
                 clock: Callable[[], float] = time.monotonic):
        self._seconds, self._say, self._sleep, self._clock = seconds, say, sleep, clock
        self._away: float | None = None     # since when

    def ask(self, question: Callable[[], T]) -> T:
        """What `question` answers, asked again while it raises Unavailable.

        Raises:
            InputError: patience is over.
        """
        begin, wait = self._clock(), FIRST_WAIT
        while True:
            try:
                answer = question()
            except Unavailable as error:
                left = self._left(begin, str(error))
                if left <= 0:
                    raise InputError(f"{error}; the server did not answer within {self._seconds:g} s: is it running, "
                                     "and is --url right?") from None
                self._sleep(min(wait * random.uniform(0.5, 1), left))
                wait = min(2 * wait, LONGEST_WAIT)
            except InputError:      # an answer too
                self._away = None
                raise
            else:
                self._away = None
                return answer

    def _left(self, begin: float, message: str) -> float:
        now = self._clock()
        since = self._away
        if since is None:
            self._away = since = now
            if now - begin < self._seconds:
                self._say(f"{message}; asked again for up to {self._seconds:g} s")
        return self._seconds - (now - min(begin, since))


def at_once(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[tuple[T, R | Exception]]:
    """Do `work` on each of the items, some at once, and yield each with its result, or what it raised, as it comes.

    The threads are daemons, unlike those of a ThreadPoolExecutor: a program that is interrupted does not wait for their answers.
    Results that nobody has taken yet hold them up, so that no more than twice their number is in memory.
    """
    room = threading.Semaphore(2 * threads)

    def one(item: T) -> tuple[T, Any]:
        room.acquire()
        try:
            return item, work(item)
        except Exception as error:
            return item, error

    with ThreadPool(threads) as pool:
        for done in pool.imap_unordered(one, items):
            yield done
            room.release()


def aside(work: Callable[[], R]) -> R:
    """What `work` gives or raises, done in a daemon thread: here an interruption is noticed at once, whatever it waits for."""
    _, result = next(at_once(lambda _: work(), [None], 1))
    if isinstance(result, Exception):
        raise result
    return result
