"""One side of a comparison, in a process of its own on one core: makes samples when told to, and says what they cost.

Standard library only: the sides live in different environments.
"""
import json
import os
import sys
import time
from collections.abc import Callable


def pin(core: int) -> None:
    """Hold this process, and the libraries it has yet to import, to one core."""
    os.sched_setaffinity(0, {core})
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = "1"


def serve(make: Callable[[], object]) -> None:
    """For each line on stdin, a number of samples, make them and print their mean cost as JSON; ends when stdin does.

    The first line printed is the memory before any sample, MB. Each later one holds `wall` and `cpu` seconds a sample, the latter
    with all that was worked ahead since the line before, and the `peak` memory so far, MB.
    """
    print(json.dumps(memory("VmRSS")), flush=True)
    spent = time.process_time()
    for line in sys.stdin:
        start, count = time.perf_counter(), int(line)
        for _ in range(count):
            make()
        wall, now = time.perf_counter() - start, time.process_time()
        cost = {"wall": wall / count, "cpu": (now - spent) / count, "peak": memory("VmHWM")}
        spent = now
        print(json.dumps(cost), flush=True)


def memory(name: str) -> float:
    """A line of this process's /proc/self/status, MB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":")) / 1024
