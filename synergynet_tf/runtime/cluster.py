"""Work shared among Ray's workers, on this machine or on many: each makes once what it needs, then takes item after item.

A worker that dies loses its item, and another takes it; an item that cannot be used is reported, and the rest is done.
"""
import contextlib
import os
import secrets
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from synergynet_tf.errors import InputError
from synergynet_tf.runtime import signals
from synergynet_tf.runtime.processes import cores

ATTEMPTS = 3                    # of an item, before the fault is taken to be its own
PATIENCE = 10                   # seconds without an outcome, after which it is asked whether Ray is still there
OBJECT_STORE = 100 * 2 ** 20    # bytes: what travels are names and figures, scans are read where they are used


class Outcome(NamedTuple):
    """What became of an item."""

    item: Any
    value: Any = None                   # what the worker made of it
    error: InputError | None = None     # or why there is none
    again: bool = False                 # the worker died, or failed: the item is tried again


@contextlib.contextmanager
def connected(workers: int, address: str | None) -> Iterator[None]:
    """Connect to Ray for the length of a `with`.

    Args:
        workers: processes that will share the work.
        address: of a cluster; "auto" for the one that this machine belongs to; none or "local" for a Ray of this machine, which
            ends with the `with`.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    local = address in (None, "local")
    ray = _ray(local)
    settings = {"num_cpus": max(cores(), workers), "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        _check_answers(address)
        with signals.kept():
            ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **(settings if local else {}))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"--cluster is {address}, but no Ray answers there ({str(error).splitlines()[0]}); start it with "
                         "`ray start --head`, or leave --cluster out") from None
    try:
        yield
    finally:
        ray.shutdown()


def _ray(local: bool) -> ModuleType:
    """Import Ray, which reads the environment meanwhile. Raises InputError where it is not installed.

    A Ray of this machine listens on loopback alone, to those who know its token: whoever reaches a Ray can run code there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")       # it would report to its makers
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")     # it would end workers for what others take
    if local:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"       # so it is called: no other machine takes part
        if "ray" not in sys.modules and os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
        from ray._private import ray_constants

        ray_constants.ENABLE_RAY_CLUSTER = not local        # where it was imported before
    except ImportError:
        raise InputError("ray is absent, which shares work among processes; install synergynet-tf[cluster]") from None
    return ray


def _check_answers(address: str | None) -> None:
    """Raise OSError when nothing listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and "/" not in host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


def share(make: Callable[[int], Callable[[Any], Any]], items: Sequence[Any], workers: int) -> Iterator[Outcome]:
    """Do all items in `workers` processes of the connected Ray; outcomes come as they are ready.

    Args:
        make: called once in each process with the number of cores that it may use, gives what is called with each item; an
            InputError of that is the item's own, anything else is tried again. Both travel, and so do the items.
        items: what is to be done, each once.
        workers: processes.

    Raises:
        InputError: no worker can be started, or Ray itself was ended.
    """
    import ray

    waiting, running = deque((item, 1) for item in items), {}
    start = _starter(make, workers)
    for _ in range(min(workers, len(items))):
        worker = start()
        running[worker.begin.remote()] = worker, None, 1
    while running and (waiting or any(item is not None for _, item, _ in running.values())):
        done = _first_done(list(running))
        worker, item, attempt = running.pop(done)
        try:
            value, refused = ray.get(done)
        except ray.exceptions.RayError as error:
            ended = isinstance(error, (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError))
            if item is None and attempt == ATTEMPTS:
                raise InputError(f"a worker could not be started: {_cause(error)}") from None
            if ended:
                worker = start()
            if item is None:
                running[worker.begin.remote()] = worker, None, attempt + 1
                continue
            if again := attempt < ATTEMPTS:
                waiting.append((item, attempt + 1))
            what = "its process was ended, for want of memory as a rule" if ended else _cause(error)
            yield Outcome(item, error=InputError(f"{what} (attempt {attempt} of {ATTEMPTS})"), again=again)
        else:
            if item is not None:
                yield Outcome(item, value, refused)
        if waiting:
            item, attempt = waiting.popleft()
            running[worker.do.remote(item)] = worker, item, attempt


def _first_done(running: list[Any]) -> Any:
    """The first of what is running that is done. Ray would wait for ever where none of its machines is left."""
    import ray

    while True:
        done, _ = ray.wait(running, num_returns=1, timeout=PATIENCE)
        if done:
            return done[0]
        try:
            alive = any(node["Alive"] for node in ray.nodes())
        except ray.exceptions.RayError:
            alive = False
        if not alive:
            raise InputError("Ray itself was ended from outside; what is finished is there: give the same command again, "
                             "`predict` with --resume")


class _Worker:
    """In a process of its own."""

    def __init__(self, make: Callable[[int], Callable[[Any], Any]], threads: int):
        self._make, self._threads = make, threads
        self._work: Callable[[Any], Any] | None = None

    def begin(self) -> tuple[None, None]:
        """Answers when the process is there."""
        return None, None

    def do(self, item: Any) -> tuple[Any, InputError | None]:
        try:
            self._work = self._work or self._make(self._threads)
            return self._work(item), None
        except InputError as error:
            return None, error


def _starter(make: Callable[[int], Callable[[Any], Any]], workers: int) -> Callable[[], Any]:
    """A function that starts a worker; together they share the cluster's cores and GPUs evenly."""
    import ray

    total = ray.cluster_resources()
    each = max(int(total.get("CPU", 1)) // workers, 1)
    share = {"num_cpus": each, "num_gpus": min(total.get("GPU", 0) / workers, 1)}
    remote = ray.remote(_Worker).options(scheduling_strategy="SPREAD", **share)
    return lambda: remote.remote(make, each)


def _cause(error: Exception) -> str:
    """What was raised in the worker, in a line."""
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {(str(cause).strip().splitlines() or [''])[0]}"
