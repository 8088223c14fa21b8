"""One side of a comparison, in a process of its own on given cores: does its jobs when told to, and says what they cost.

Standard library only: the sides live in different environments.
"""
import json
import os
import sys
import time
from collections.abc import Callable


def pin(*cores: int) -> None:
    """Hold this process, and the libraries it has yet to import, to these cores."""
    os.sched_setaffinity(0, cores)
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(len(cores))


def serve(jobs: dict[str, Callable[[], object]], **known: float) -> None:
    """For each line on stdin, a job's name and a number, do it so many times and print its mean cost as JSON, until stdin ends.

    The first line printed holds the memory `before` any job, MB, and what else is `known`, which may give `before` itself, as it
    was after the imports. Each later one holds `wall` and `cpu` seconds a job, the latter with all that was worked ahead since
    the line before, and the `peak` memory so far, MB.
    """
    print(json.dumps({"before": memory("VmRSS")} | known), flush=True)
    spent = time.process_time()
    for line in sys.stdin:
        name, count = line.rsplit(maxsplit=1)
        start = time.perf_counter()
        for _ in range(int(count)):
            jobs[name]()
        wall, now = time.perf_counter() - start, time.process_time()
        cost = {"wall": wall / int(count), "cpu": (now - spent) / int(count), "peak": memory("VmHWM")}
        spent = now
        print(json.dumps(cost), flush=True)


def memory(name: str, process: int | str = "self") -> float:
    """A line of a process's /proc/<process>/status, MB."""
    with open(f"/proc/{process}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":")) / 1024
