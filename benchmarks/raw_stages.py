"""A raw FLAIR to its mask, tables and report, stage by stage: seconds by the clock and of the processors, and peak memory.

    python -m benchmarks.raw_stages results FLAIR.nii.gz [more options of predict]

`predict --report` runs in this process, on the cores that it is given (taskset -c 0,1); each stage is timed without the stages
inside it. Beside other work, processor seconds tell more than the clock. Prints a Markdown table.
"""
import functools
import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

from synergynet_tf.runtime.processes import peak_memory

STAGES = {      # what the table says: the functions, each where it is called from
    "loading the network": ("workflows.predicting:load_networks",),
    "reading the raw scan": ("data.preprocess:read_scan",),
    "registration to MNI152": ("data.raw.registration:to_template",),
    "brain mask": ("data.raw.skull:brain",),
    "bias field (N4)": ("data.raw.bias:log_field", "data.raw.bias:corrected"),
    "resampling": ("data.raw.preparation:resample",),
    "judging": ("data.raw.preparation:_require_brain",),
    "writing prepared files": ("data.raw.preparation:write", "data.raw.store:npz", "data.raw.preparation:_digests"),
    "picture of the preparation": ("workflows.raw_inputs:draw_prepared",),
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


def main(out: str, *arguments: str) -> None:
    """Print the table; the arguments are those of `predict`."""
    clock, wall = Clock(), time.perf_counter()
    for stage, places in STAGES.items():
        for place in places:
            module, _, name = place.partition(":")
            *owners, name = name.split(".")
            owner = functools.reduce(getattr, owners, importlib.import_module(f"synergynet_tf.{module}"))
            setattr(owner, name, clock.timed(stage, getattr(owner, name)))
    from synergynet_tf import predict

    clock.spent["imports"] = [time.perf_counter() - wall, time.process_time()]
    run = clock.timed("the rest", predict.main)
    if run(["--out", out, "--report", *arguments]) != 0:
        sys.exit("predict failed")
    print("| stage | s | of processors, s |\n|---|---:|---:|")
    for stage, (seconds, worked) in clock.spent.items():
        print(f"| {stage} | {seconds:.1f} | {worked:.1f} |")
    total = [sum(values) for values in zip(*clock.spent.values())]
    print(f"| all | {total[0]:.1f} | {total[1]:.1f} |\n\npeak memory {peak_memory() / 2 ** 30:.2f} GB")


if __name__ == "__main__":
    main(*sys.argv[1:])
