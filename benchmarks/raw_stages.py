"""A raw FLAIR to its mask, tables and report: seconds by the clock and of the processors, and peak memory.

    python -m benchmarks.raw_stages results FLAIR.nii.gz

First `predict --report` as a user calls it, cold, which prepares the scan in one process while another begins; then the same
work stage by stage in this process, one after the other, each timed without the stages inside it. It takes the cores that it is
given (taskset -c 0,1). Beside other work, processor seconds tell more than the clock. Prints Markdown.
"""
import functools
import importlib
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from synergynet_tf.runtime.processes import peak_memory

STAGES = {      # what the table says: the functions, each where it is called from
    "loading the network": ("training.checkpoint:Checkpoint.network",),
    "reading the raw scan": ("data.preprocess:read_scan",),
    "registration to MNI152": ("data.raw.registration:to_template",),
    "brain mask": ("data.raw.skull:brain",),
    "bias field (N4)": ("data.raw.bias:log_field", "data.raw.bias:corrected"),
    "resampling": ("data.raw.preparation:resample",),
    "judging": ("data.raw.preparation:_require_brain",),
    "writing prepared files": ("data.raw.preparation:write", "data.raw.store:npz", "data.raw.preparation:_digests"),
    "picture of the preparation": ("report.preparation:preparation_picture",),
    "the network": ("inference.predictor:Predictor.predict_loaded",),
    "writing masks": ("inference.outputs:write_case",),
    "tables": ("workflows.predicting:write_tables",),
    "report": ("workflows.reporting:write_predictions_report",),
}


class Clock:
    """What each stage took: [seconds by the clock, processor seconds]."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}
        self._inner: list[list[float]] = []

    def timed(self, stage: str, call: Callable) -> Callable:
        """`call`, whose cost is put down under `stage`."""
        @functools.wraps(call)
        def measured(*values: Any, **named: Any) -> Any:
            start = [time.perf_counter(), time.process_time()]
            self._inner.append([0.0, 0.0])
            try:
                return call(*values, **named)
            finally:
                cost = [time.perf_counter() - start[0], time.process_time() - start[1]]
                inside = self._inner.pop()
                own = self.spent.setdefault(stage, [0.0, 0.0])
                for i in range(2):
                    own[i] += cost[i] - inside[i]
                    if self._inner:
                        self._inner[-1][i] += cost[i]
        return measured


def main(out: str, flair: str) -> None:
    """Print both tables."""
    folder, scan = pathlib.Path(out), pathlib.Path(flair)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "synergynet_tf.predict", "--report", "--out", folder / "whole", scan], check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"predict --report: {time.perf_counter() - start:.1f} s, of processors {used.ru_utime + used.ru_stime:.1f} s, "
          f"the larger process {used.ru_maxrss / 2 ** 20:.2f} GB\n")
    by_stage(folder, scan)


def by_stage(folder: pathlib.Path, scan: pathlib.Path) -> None:
    """Prepare the scan, segment what was prepared, and print the table."""
    clock, wall = Clock(), time.perf_counter()
    for stage, places in STAGES.items():
        for place in places:
            module, _, name = place.partition(":")
            *owners, name = name.split(".")
            owner = functools.reduce(getattr, owners, importlib.import_module(f"synergynet_tf.{module}"))
            setattr(owner, name, clock.timed(stage, getattr(owner, name)))
    from synergynet_tf import predict, prepare

    clock.spent["imports"] = [time.perf_counter() - wall, time.process_time()]
    case, prepared = folder / "raw" / "case", folder / "prepared"
    case.mkdir(parents=True)
    (case / "flair.nii.gz").symlink_to(scan.absolute())
    for command, arguments in ((prepare, ["--raw", prepared, "--data.path", case.parent]),
                               (predict, ["--report", "--out", folder / "stages", prepared / "case" / "flair.nii.gz"])):
        if clock.timed("the rest", command.main)([str(word) for word in arguments]) != 0:
            sys.exit("it failed")
    print("| stage | s | of processors, s |\n|---|---:|---:|")
    for stage, (seconds, worked) in clock.spent.items():
        print(f"| {stage} | {seconds:.1f} | {worked:.1f} |")
    total = [sum(values) for values in zip(*clock.spent.values())]
    print(f"| all | {total[0]:.1f} | {total[1]:.1f} |\n\npeak memory {peak_memory() / 2 ** 30:.2f} GB")


if __name__ == "__main__":
    main(*sys.argv[1:])
