"""Seconds a step and peak memory of each training stage: `python -m benchmarks.stages --preset paper [--data.path ...]`.

Every stage runs in a process of its own, so that its peak memory is its own. Without --data.path one phantom patient is made.
The first step, which traces and allocates, is timed apart. Processor seconds are of all threads, the input's too: beside other
work they tell more than the clock. Peak memory is the whole process's; "of tensors" is what TensorFlow's allocator had given out
at the most, without its own gaps, the program and its graphs. Prints a Markdown table.
"""
import contextlib
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path

from synergynet_tf.config import Config, PhantomConfig, command_line
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.processes import giving_back, peak_memory
from tuning.process import in_own_process

STAGE_COUNT = 4


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see the module's docstring."""
    config, own = command_line.parse(sys.argv[1:] if argv is None else list(argv), __doc__, _add_arguments)
    stages = [own.stage] if own.stage else range(1, STAGE_COUNT + 1)
    with tempfile.TemporaryDirectory() as folder:
        path = config.data.path or str(_phantom(Path(folder)))
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=path, cache=f"{folder}/cache"))
        rows = [in_own_process(measure, config, stage, own.steps) for stage in stages]
    size = "x".join(map(str, config.patch.size))
    print(f"{size}x{len(config.data.channels)}, batch {config.train.batch}, {own.steps} steps after the first\n")
    print("| stage | first step, s | step, s | of processors, s | peak memory, GB | of tensors, GB | loss |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['stage']} | {row['first']:.1f} | {row['step']:.2f} | {row['processors']:.2f} | {row['memory']:.2f} "
              f"| {row['tensors']:.2f} | {row['loss']:.3f} |")


def measure(config: Config, number: int, steps: int) -> dict[str, float]:
    """Run 1 + `steps` real steps of a stage; the median of the later ones."""
    import tensorflow as tf

    from synergynet_tf.data import layouts, pipeline
    from synergynet_tf.data.cache import build_cache
    from synergynet_tf.models.synergynet import build_synergynet
    from synergynet_tf.training.determinism import make_deterministic
    from synergynet_tf.training.optimizer import make_optimizer
    from synergynet_tf.training.precision import layers_in
    from synergynet_tf.training.stages import STAGES, trainable_variables
    from synergynet_tf.training.steps import make_train_step

    if config.train.deterministic:
        make_deterministic()        # as a training does
    stage = STAGES[number - 1]
    found = layouts.discover(config.data.path, config.data.layout, config.data.channels, require_lesions=True,
                             raters=config.data.raters)
    cases = build_cache(found, config)
    with layers_in(config.train.precision):
        model = build_synergynet(config)
    optimizer = make_optimizer(config.train, steps)
    optimizer.build(trainable_variables(model, stage))
    step, seconds, processors, epoch = make_train_step(model, optimizer, stage, config), [], [], 0
    while len(seconds) <= steps:
        for batch in pipeline.training_dataset(cases, config, epoch):
            start, worked = time.perf_counter(), time.process_time()
            with contextlib.nullcontext() if seconds else giving_back():     # this too
                loss = float(step(batch)[0])
            seconds.append(time.perf_counter() - start)
            processors.append(time.process_time() - worked)
        epoch += 1
    peak = peak_memory() / 2 ** 30
    tensors = tf.config.experimental.get_memory_info(tf.config.list_logical_devices()[-1].name)["peak"] / 2 ** 30
    return {"stage": number, "first": seconds[0], "step": statistics.median(seconds[1:steps + 1]),
            "processors": statistics.median(processors[1:steps + 1]), "memory": peak, "tensors": tensors, "loss": loss}


def _phantom(folder: Path) -> Path:
    from synergynet_tf.data.phantom import generate_cohort

    return generate_cohort(folder / "phantoms", PhantomConfig(patients=1), workers=1)


def _add_arguments(parser) -> None:
    parser.add_argument("--steps", type=int, default=3, help="steps timed after the first (default: %(default)s)")
    parser.add_argument("--stage", type=int, choices=range(1, STAGE_COUNT + 1), help="only this one (default: all)")


if __name__ == "__main__":
    sys.exit(main())
