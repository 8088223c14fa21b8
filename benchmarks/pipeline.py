"""Our pipeline beside MONAI's and torchio's, on one core: `python -m benchmarks.pipeline --preset paper --peers PYTHON`.

Every side makes samples (crop, turn, scale, deformation, flip, gamma, noise; image and labels, and in ours the lesions' boxes) of
the same cached cases, with every transform on, in a process of its own on the same core. They take turns, a few samples each,
and the medians of all turns are printed as a Markdown table. "Own" is the most memory that a process held itself, its imports'
too, without the pages of files that it shares with others. PYTHON is that of an environment with the extra `[bench]`. Without
--data.path, phantom patients are made. CPU seconds are what counts where other work runs on the machine.
"""
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import worker
from benchmarks.turns import Cost, Side, take_turns
from synergynet_tf.config import Config, PhantomConfig, command_line
from synergynet_tf.config.augment import AugmentConfig
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.startup import import_tensorflow

OURS = "ours"
PEERS = ("monai-smooth", "monai-elastic", "torchio")
JOB = "sample"
PATIENTS = 4
EPOCH = 1000        # patches of ours: more than are asked for, since the graph is built anew for each epoch


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point: the table, or with --serve our side."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    config, own = command_line.parse(arguments, __doc__, _add_arguments)
    if own.serve:
        _serve(config, own.core)
        return
    with tempfile.TemporaryDirectory() as folder:
        if not config.data.path:
            arguments += ["--data.path", str(_phantoms(Path(folder)))]
        arguments += ["--data.cache", f"{folder}/cache"]
        config, own = command_line.parse(arguments, __doc__, _add_arguments)
        (Path(folder) / "peers").mkdir()
        _export(config, Path(folder) / "peers")
        size = [str(n) for n in config.patch.size]
        commands = {OURS: [sys.executable, "-m", "benchmarks.pipeline", *arguments, "--serve"]}
        commands |= {side: [own.peers, "-W", "ignore", "-m", "benchmarks.peers", side, f"{folder}/peers", *size,
                            "--core", str(own.core)] for side in own.against if own.peers}
        sides = {name: Side(command, {JOB: own.samples}) for name, command in commands.items()}
        _print(take_turns(sides, own.turns), own.turns, config)


def _serve(config: Config, core: int) -> None:
    worker.pin(core)
    import_tensorflow()
    from synergynet_tf.data import pipeline

    before = worker.memory("VmRSS")     # the pipeline compiles before it gives any sample
    augment = AugmentConfig(flip=0.5, scale=1.0, elastic=1.0, gamma=1.0, noise=1.0)
    config = replace(config, augment=augment, train=replace(config.train, batch=1, steps_per_epoch=EPOCH))
    samples = iter(pipeline.training_dataset(_cases(config), config, 0, parallel=1))
    worker.serve({JOB: lambda: next(samples)}, before=before)


def _cases(config: Config) -> list:
    from synergynet_tf.data import layouts
    from synergynet_tf.data.cache import build_cache

    found = layouts.discover(config.data.path, config.data.layout, config.data.channels, require_lesions=True,
                             raters=config.data.raters)
    return build_cache(found, config)


def _phantoms(folder: Path) -> Path:
    from synergynet_tf.data.phantom import generate_cohort

    return generate_cohort(folder / "phantoms", PhantomConfig(patients=PATIENTS), workers=1)


def _export(config: Config, folder: Path) -> None:
    """Write the cached cases as the peers like them: float32, channels first."""
    for case in _cases(config):
        np.save(folder / f"{case.name}.image.npy", np.ascontiguousarray(np.moveaxis(case.image(), -1, 0), np.float32))
        np.save(folder / f"{case.name}.label.npy", np.asarray(case.instances()[None], np.float32))


def _print(costs: dict[str, dict[str, Cost]], turns: int, config: Config) -> None:
    size = "x".join(map(str, config.patch.size))
    print(f"{size}x{len(config.data.channels)}, one core, medians of {turns} turns; load {os.getloadavg()[0]:.1f}\n")
    print("| side | CPU s a sample | wall s a sample | samples a CPU s | ours is faster | peak MB | above imports | own MB |")
    print("|---|---|---|---|---|---|---|---|")
    ours = costs[OURS][JOB].cpu
    for name, jobs in costs.items():
        cost = jobs[JOB]
        print(f"| {name} | {cost.cpu:.3f} | {cost.wall:.3f} | {1 / cost.cpu:.2f} | {cost.cpu / ours:.1f} x | {cost.peak:.0f} | "
              f"{cost.above:.0f} | {cost.private:.0f} |")


def _add_arguments(parser) -> None:
    parser.add_argument("--peers", metavar="PYTHON", help="of an environment with MONAI and torchio; none: ours alone")
    parser.add_argument("--against", nargs="+", choices=PEERS, default=list(PEERS), help="which of them (default: all)")
    parser.add_argument("--turns", type=int, default=7, help="turns of each side (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=3, help="samples a turn (default: %(default)s)")
    parser.add_argument("--core", type=int, default=0, help="the core that all run on, one at a time (default: %(default)s)")
    parser.add_argument("--serve", action="store_true", help="our side alone, driven over stdin")


if __name__ == "__main__":
    sys.exit(main())
