"""Our training steps and whole scans on a GPU, compiled by XLA, beside PyTorch: `python -m benchmarks.gpu FOLDER`.

It needs JAX and PyTorch, no TensorFlow; FOLDER is of benchmarks/gpu_export.py. Each side has a process of its own, one after the
other, and the medians of a job's runs are printed as a Markdown table. A job begins and ends in the host's memory: the patch or
the scan is carried to the device, the loss or the mask back. "Off by": how far the first loss, or the scan's logits, are from
those that TensorFlow made in float32 on a processor. Convolutions in float32 may round as the device likes (TF32), which is the
default of both sides; bfloat16 is mixed precision. With XLA_FLAGS=--xla_gpu_force_conv_nhwc=true ours are faster still.
"""
import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import scenes
from synergynet_tf.config import Config

SYSTEMS = ("synergynet", "unet")
JOBS = ("step-float32", "step-bfloat16", "scan")
MANNERS = ("eager", "eager-last", "compiled")       # of PyTorch
SAMPLED = (slice(None, None, 4),) * 3               # the logits that are compared
SIDES = [*(f"xla {job}" for job in JOBS), *(f"torch {manner}" for manner in MANNERS)]     # what a process does


class Task(NamedTuple):
    """What a system has to do, as benchmarks/gpu_export.py left it."""

    config: Config
    given: dict[str, np.ndarray]
    image: np.ndarray       # float32 [1, X, Y, Z, C], a patch
    scan: np.ndarray        # the same, a brain's box
    variables: Path

    def error(self, job: str, result: Any) -> float:
        """Of a loss, or of a scan's logits [X, Y, Z]: where two proposals change places there are other patches, so the mean."""
        if job == "scan":
            return float(np.abs(np.asarray(result)[SAMPLED] - self.given["logits"]).mean())
        return abs(float(result) - float(self.given["loss"]))


def main() -> None:
    """Entry point: the table, or one side's rows as JSON."""
    own = _arguments()
    if own.side:
        kind, which = own.side.split()
        for row in {"xla": xla, "torch": pytorch}[kind](read(own.folder, own.system), own, which):
            print(json.dumps(row), flush=True)
        return
    print("| system | side | job | s | first, s | GB | off by |\n|---|---|---|---:|---:|---:|---:|", flush=True)
    for system in SYSTEMS:
        for side in SIDES:
            if all(part in f"{system} {side}" for part in own.only):
                _show(system, side, own)


def read(folder: Path, system: str) -> Task:
    """A system's task. Raises OSError where the folder has none."""
    with np.load(folder / f"{system}-task.npz") as file:
        given = {name: file[name] for name in file.files}
    images = (scenes.image(tuple(given[name]), int(given["channels"])) for name in ("size", "scan"))
    config = Config.from_dict(json.loads((folder / "config.json").read_text()))
    return Task(config, given, *images, folder / f"{system}-variables.npz")


def xla(task: Task, own: argparse.Namespace, job: str) -> Iterator[dict]:
    """Ours."""
    import jax

    from benchmarks.stablehlo import Program

    begun = time.perf_counter()
    program = Program(own.folder / f"{own.system}-{job}.npz", task.variables)
    annotation = [value for name, value in task.given.items() if name.startswith("batch ")]

    def run() -> Any:
        if job == "scan":
            mask, logits = program(task.scan)
            np.asarray(mask)
            return logits
        return float(program(task.image, *annotation)[0])

    made = run()
    first, error = time.perf_counter() - begun, task.error(job, made)
    seconds, memory = timed(run, own.rounds), jax.local_devices()[0].memory_stats() or {}       # none on a processor
    yield {"job": job, "seconds": seconds, "first": first, "error": error, "memory": memory.get("peak_bytes_in_use", 0) / 2 ** 30}


def pytorch(task: Task, own: argparse.Namespace, manner: str) -> Iterator[dict]:
    """The twin's three jobs."""
    import torch

    from benchmarks.torch_gpu import Twin, on_host

    twin = Twin(own.system, task, manner)
    for job in JOBS:
        torch.cuda.reset_peak_memory_stats()
        run, begun = twin.job(job), time.perf_counter()
        made = run()
        first, error = time.perf_counter() - begun, task.error(job, on_host(made) if job == "scan" else made)
        yield {"job": job, "seconds": timed(run, own.rounds), "first": first, "error": error,
               "memory": torch.cuda.max_memory_allocated() / 2 ** 30}


def timed(run: Callable[[], Any], rounds: int) -> float:
    """Median of so many runs, after one more that is not timed."""
    run()
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def _show(system: str, side: str, own: argparse.Namespace) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", str(own.folder), "--system", system, "--side", side,
               "--rounds", str(own.rounds)]
    try:
        shown = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=own.limit, check=False)
        rows, end = shown.stdout, f"exit {shown.returncode}" if shown.returncode else ""
    except subprocess.TimeoutExpired as expired:
        rows, end = (expired.stdout or b"").decode(), f"stopped after {own.limit} s"
    for row in map(json.loads, filter(lambda line: line.startswith("{"), rows.splitlines())):
        name = side if side.startswith("torch") else "xla"
        print(f"| {system} | {name} | {row['job']} | {row['seconds']:.4f} | {row['first']:.1f} | {row['memory']:.2f} | "
              f"{row['error']:.1e} |", flush=True)
    if end:
        print(f"| {system} | {side} | {end} | | | | |", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="only sides in whose name are all of these: "
                        f"{', '.join(SYSTEMS)}; {', '.join(SIDES)}")
    parser.add_argument("--rounds", type=int, default=10, help="timed runs of a job (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=300, help="seconds for a side (default: %(default)s)")
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
