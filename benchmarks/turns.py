"""The sides of a comparison take turns, each in a process of its own, so that whatever else the machine does meets them alike."""
import json
import select
import signal
import statistics
import subprocess
from typing import NamedTuple

from benchmarks import worker

LOOK = 0.005        # seconds between two looks at the memory of a side at work


class Side(NamedTuple):
    """A process that answers as `worker.serve` does."""

    command: list[str]
    jobs: dict[str, int]        # how many of each a turn


class Cost(NamedTuple):
    """What a job took: medians of the turns; memory is that of the whole process so far."""

    wall: float                 # seconds
    cpu: float                  # seconds of all threads together
    peak: float                 # MB
    private: float              # MB, the most that it held without the pages of files, which processes share (RssAnon)
    before: float               # MB, of the process before any job
    flops: float                # floating-point operations, 0 where the side does not know

    @property
    def above(self) -> float:
        return self.peak - self.before


def take_turns(sides: dict[str, Side], turns: int) -> dict[str, dict[str, Cost]]:
    """The cost of each job of each side. A first turn of each, in which it compiles, counts for its memory only.

    Raises:
        RuntimeError: a side ended early; what it had to say stands on stderr.
    """
    running = {name: subprocess.Popen(side.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for name, side in sides.items()}
    try:
        known = {name: _answer(name, process) for name, process in running.items()}
        said: dict[str, dict[str, list[dict]]] = {name: {job: [] for job in side.jobs} for name, side in sides.items()}
        for turn in range(turns + 1):
            for name, process in running.items():
                process.send_signal(signal.SIGCONT)
                for job, count in sides[name].jobs.items():
                    answer = _answer(name, process, f"{job} {count if turn else 1}\n")
                    said[name][job] += [answer] if turn else []
                    known[name]["private"] = max(known[name]["private"], answer["private"])
                process.send_signal(signal.SIGSTOP)        # nobody works ahead in the others' time
    finally:
        for process in running.values():
            process.kill()
            process.communicate()
    return {name: {job: _cost(answers, known[name]) for job, answers in jobs.items()} for name, jobs in said.items()}


def _answer(name: str, process: subprocess.Popen, question: str = "") -> dict:
    process.stdin.write(question)
    process.stdin.flush()
    private = 0.0
    while not select.select([process.stdout], [], [], LOOK)[0]:
        private = max(private, worker.memory("RssAnon", process.pid))
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the side '{name}' ended before its time: see above")
    return json.loads(line) | {"private": private}


def _cost(answers: list[dict], known: dict) -> Cost:
    wall, cpu = (statistics.median(answer[kind] for answer in answers) for kind in ("wall", "cpu"))
    peak = max(answer["peak"] for answer in answers)
    return Cost(wall, cpu, peak, known["private"], known["before"], known.get("flops", 0.0))
