"""What the pipeline takes from a training: memory over many cases, and the time a step waits for its patch.

`python -m benchmarks.feeding --preset paper` prepares one phantom patient, links it as many times as there are to be cases, and
prints as a Markdown table

- memory: what a process that runs one epoch of the pipeline over all cases has above what it had before: RssAnon (what it holds
  itself) and VmRSS (with the pages of mapped files, which the system takes back when it needs them);
- waiting: of some training steps after the first, the share of time that passes until the next patch is there.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks import worker
from synergynet_tf.config import Config, PhantomConfig, command_line
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.startup import import_tensorflow

EVERY = 25      # visits between two looks at the memory


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point: both figures, or with --measure one of them as JSON."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    config, own = command_line.parse(arguments, __doc__, _add_arguments)
    if own.measure:
        print(json.dumps({"memory": memory, "waiting": waiting}[own.measure](config, own)))
        return
    with tempfile.TemporaryDirectory() as folder:
        from synergynet_tf.data.phantom import generate_cohort

        manifest = generate_cohort(Path(folder) / "phantoms", PhantomConfig(patients=1), workers=1)
        arguments += ["--data.path", str(manifest), "--data.cache", f"{folder}/cache"]
        figures = {}
        for name in ("memory", "waiting"):
            shown = subprocess.run([sys.executable, "-m", "benchmarks.feeding", *arguments, "--measure", name], check=True,
                                   stdout=subprocess.PIPE, text=True)
            figures |= json.loads(shown.stdout.splitlines()[-1])
    print("| | |\n|---|---|")
    for name, value in figures.items():
        print(f"| {name} | {value:.4g} |")


def memory(config: Config, own: argparse.Namespace) -> dict[str, float]:
    """Peak memory of one epoch without a network, MB above that of the process before it."""
    import_tensorflow()
    from synergynet_tf.data import pipeline

    cases = _cases(config, own.cases)
    settings = replace(config, train=replace(config.train, steps_per_epoch=None))
    before = {name: worker.memory(name) for name in ("RssAnon", "VmRSS")}
    seen = {name: [] for name in before}
    for visit, _ in enumerate(pipeline.training_dataset(cases, settings, 0)):
        if visit % EVERY == 0 or visit == len(cases) - 1:
            for name, values in seen.items():
                values.append(worker.memory(name) - before[name])
    return {"cases": len(cases)} | {f"{name} above, MB, {what}": value for name, values in seen.items()
                                    for what, value in (("highest", max(values)), ("last", values[-1]))}


def waiting(config: Config, own: argparse.Namespace) -> dict[str, float]:
    """Share of the time of training steps (stage `own.stage`) that passes in waiting for the next patch."""
    import_tensorflow()
    from synergynet_tf.data import pipeline
    from synergynet_tf.models.synergynet import build_synergynet
    from synergynet_tf.training.optimizer import make_optimizer
    from synergynet_tf.training.stages import STAGES, trainable_variables
    from synergynet_tf.training.steps import make_train_step

    stage, model = STAGES[own.stage - 1], build_synergynet(config)
    optimizer = make_optimizer(config.train, own.steps)
    optimizer.build(trainable_variables(model, stage))
    step, waited, whole = make_train_step(model, optimizer, stage, config), [], []
    patches = iter(pipeline.training_dataset(_cases(config, own.cases), config, 0))
    for _ in range(own.steps + 1):
        start = time.perf_counter()
        batch = next(patches)
        there = time.perf_counter()
        float(step(batch)[0])
        waited.append(there - start)
        whole.append(time.perf_counter() - start)
    return {"steps": own.steps, "step, s": statistics.median(whole[1:]), "waiting, s": statistics.median(waited[1:]),
            "waiting, % of the time": 100 * sum(waited[1:]) / sum(whole[1:])}


def _cases(config: Config, count: int) -> list:
    """`count` cases: links to the folder of the one that is cached, so that each has memory maps of its own."""
    from synergynet_tf.data import layouts
    from synergynet_tf.data.cache import build_cache

    found = layouts.discover(config.data.path, config.data.layout, config.data.channels, require_lesions=True)
    case = build_cache(found[:1], config)[0]
    folders = [case.folder.parent / f"link{number}" for number in range(count)]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        for file in case.folder.iterdir():
            if not (folder / file.name).exists():
                (folder / file.name).symlink_to(file)
    return [replace(case, name=folder.name, folder=folder) for folder in folders]


def _add_arguments(parser) -> None:
    parser.add_argument("--cases", type=int, default=500, help="cases of the epoch (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="training steps timed after the first (default: %(default)s)")
    parser.add_argument("--stage", type=int, default=1, help="training stage of the steps (default: %(default)s)")
    parser.add_argument("--measure", choices=("memory", "waiting"), help="only this figure, as JSON")


if __name__ == "__main__":
    sys.exit(main())
