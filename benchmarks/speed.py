"""How fast and how small, beside PyTorch and MONAI: `python -m benchmarks.speed --peers PYTHON [--only unet,ops ...]`.

Every side runs in a process of its own on the same cores. Each takes turns with the reference, the first row of its table, so
that no more than two are in memory; ratios are of these pairs. Medians of all turns are printed as Markdown tables. PYTHON is
that of an environment with the extra `[bench]`; without it ours run alone. The peers check in the run that they compute what we
compute. Topics:

    unet           the U-Net's training step and forward pass beside the same network in PyTorch
    synergynet     SynergyNet's step by stage, and its forward pass, beside its own U-Net's
    convolutions   the U-Net's step beside its bare convolutions
    ops            crop and paste beside grid_sample; suppression and matching beside NumPy
    scan           a whole scan beside MONAI's sliding windows and a network like nnU-Net's
    growth         stage 4's step with more lesions, more voxels, more patches

Wall seconds grow where other work runs beside. So do PyTorch's CPU seconds, if less: its threads wait for each other by spinning.
Compare on an idle machine.
"""
import argparse
import os
import subprocess
import sys
import tempfile

from benchmarks import topics, turns

Pairs = dict[str, tuple[dict[str, turns.Cost], dict[str, turns.Cost]]]     # by side: its jobs' costs, the reference's beside it


def main(argv: list[str] | None = None) -> None:
    """Entry point: a table for each topic."""
    own = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        own.folder = folder
        if own.peers and {"unet", "ops", "scan"} & set(own.only):
            subprocess.run([sys.executable, "-m", "benchmarks.ours", "export", "--cores", *map(str, own.cores),
                            "--folder", folder], check=True)
        for name in own.only:
            for topic in topics.TOPICS[name](own):
                chosen = [side for side in topic.sides if side != topic.reference
                          and (not own.sides or any(part in side for part in own.sides))]
                if chosen or not own.sides:
                    _show(topic, _measure(topic, chosen, own))


def _measure(topic: topics.Topic, chosen: list[str], own: argparse.Namespace) -> Pairs:
    """Each of the chosen sides in turns with the reference; the reference alone where there is none."""
    first, pairs = topic.reference, {}
    for name in chosen or [first]:
        costs = turns.take_turns({one: topic.sides[one] for one in (first, name)}, own.turns)
        pairs |= {first: pairs.get(first, (costs[first],) * 2), name: (costs[name], costs[first])}
    print(f"\n### {topic.title}\n{own.turns} turns, {len(own.cores)} cores; load {os.getloadavg()[0]:.1f}\n")
    return pairs


def _show(topic: topics.Topic, pairs: Pairs) -> None:
    """A row for each side, or where sides have several jobs, for each job."""
    if len(topic.sides[topic.reference].jobs) > 1:
        _show_jobs(topic.reference, pairs)
        return
    print("| | wall s | x | CPU s | x | peak MB | above imports | x | GFLOP/s |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, (jobs, beside) in pairs.items():
        cost, base, times = jobs["run"], beside["run"], topic.times.get(name, 1)
        wall, cpu = times * cost.wall, times * cost.cpu
        rate = f"{cost.flops / cost.wall / 1e9:.0f}" if cost.flops else ""
        print(f"| {name} | {wall:.2f} | {wall / base.wall:.2f} | {cpu:.2f} | {cpu / base.cpu:.2f} | {cost.peak:.0f} | "
              f"{cost.above:.0f} | {cost.above / base.above:.2f} | {rate} |", flush=True)


def _show_jobs(reference: str, pairs: Pairs) -> None:
    peers = [name for name in pairs if name != reference]
    print(f"| ms wall (CPU) | {reference} | {' | '.join(f'{name} | x' for name in peers)} |")
    print(f"|---|---:|{'---:|---:|' * len(peers)}")
    for job, cost in pairs[reference][0].items():
        cells = [f"{cost.wall * 1e3:.1f} ({cost.cpu * 1e3:.1f})"]
        for theirs, ours in (tuple(side[job] for side in pairs[name]) for name in peers):
            cells += [f"{theirs.wall * 1e3:.1f} ({theirs.cpu * 1e3:.1f})",
                      f"{theirs.wall / ours.wall:.1f} ({theirs.cpu / ours.cpu:.1f})"]
        print(f"| {job} | {' | '.join(cells)} |")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="of an environment with PyTorch and MONAI; none: ours alone")
    parser.add_argument("--only", type=lambda value: value.split(","), default=list(topics.TOPICS), metavar="TOPIC,...",
                        help=f"of {', '.join(topics.TOPICS)} (default: all)")
    parser.add_argument("--sides", type=lambda value: value.split(","), default=[], metavar="NAME,...",
                        help="beside the reference only sides whose name holds one of these, and no table without one")
    parser.add_argument("--turns", type=int, default=5, help="turns of each side after the first (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs=3, default=(128, 160, 128), help="of a patch and a window, voxels")
    parser.add_argument("--scan", type=int, nargs=3, default=(144, 184, 152), help="of a brain's box, voxels")
    parser.add_argument("--lesions", type=int, default=100, help="in a patch (default: %(default)s)")
    parser.add_argument("--cores", type=int, nargs="+", default=sorted(os.sched_getaffinity(0)))
    return parser


if __name__ == "__main__":
    sys.exit(main())
