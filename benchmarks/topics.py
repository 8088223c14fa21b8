"""Who is compared with whom in benchmarks/speed.py."""
import argparse
import math
import sys
from collections.abc import Callable
from typing import NamedTuple

from benchmarks import ops
from benchmarks.torch_sides import NNUNET_PATCH
from benchmarks.turns import Side

MANNERS = {"eager": "PyTorch, eager", "eager-last": "PyTorch, eager, channels last", "compiled": "PyTorch, compiled, batch norm"}
DETECTED = (47, 139, 256)       # median and 9th decile of a real case's small lesions, and the most that are kept
GROWN = {"lesions": (0, 100, 400), "sides": (0.5, 0.75, 1.0), "batch": (1, 2)}


class Topic(NamedTuple):
    """One table."""

    title: str
    sides: dict[str, Side]
    reference: str              # the side that the others are divided by
    times: dict[str, float] = {}        # what a side's seconds are multiplied by, 1 where nothing is said


def unet(own: argparse.Namespace) -> list[Topic]:
    found = []
    for what, title in (("step", "The U-Net's training step"), ("forward", "The U-Net's forward pass")):
        sides = {"ours": _ours(own, f"unet-{what}")}
        sides |= {name: _peer(own, f"{what}-{manner}") for manner, name in MANNERS.items() if own.peers}
        found.append(Topic(f"{title}, {_by(own.size)}x2", sides, "ours"))
    return found


def synergynet(own: argparse.Namespace) -> list[Topic]:
    steps = {f"stage {number}": _ours(own, f"stage{number}-step") for number in (1, 2, 3, 4)}
    passes, scans = {"U-Net": _ours(own, "unet-forward")}, {"U-Net": _ours(own, "unet-scan")}
    for count in DETECTED:
        passes[f"SynergyNet, {count} detections"] = _ours(own, "synergynet-forward", detections=count)
        scans[f"SynergyNet, {count} detections"] = _ours(own, "synergynet-scan", detections=count)
    return [Topic(f"SynergyNet's training step, {_by(own.size)}x2, {own.lesions} lesions",
                  {"U-Net": _ours(own, "unet-step")} | steps, "U-Net"),
            Topic(f"SynergyNet's forward pass, {_by(own.size)}x2", passes, "U-Net"),
            Topic(f"A whole scan of {_by(own.scan)}x2 to its mask", scans, "U-Net")]


def convolutions(own: argparse.Namespace) -> list[Topic]:
    sides = {"step": _ours(own, "unet-step"), "convolutions alone": _ours(own, "convolutions")}
    return [Topic(f"The U-Net's step and its bare convolutions, {_by(own.size)}x2", sides, "step")]


def operations(own: argparse.Namespace) -> list[Topic]:
    resampled = {name + suffix: 10 for name in ("crop7", "crop16", "paste") for suffix in ("", " backward")}
    discrete = {f"nms {boxes}": 10 for boxes in ops.PROPOSALS}
    discrete |= {f"match {boxes}, {count} lesions": 10 for boxes in ops.PROPOSALS for count in ops.LESIONS}
    anchors = {f"match anchors, {count} lesions": 1 for count in ops.LESIONS}
    sides = {"ours": _ours(own, "ops", resampled)}
    if own.peers:
        sides["grid_sample"] = _peer(own, "ops", resampled)
        sides["grid_sample, channels last"] = _peer(own, "ops-last", resampled)
    return [Topic(f"Crop and paste, {ops.ROIS} boxes", sides, "ours"),
            Topic("Suppression and matching", {"ours": _ours(own, "ops", discrete | anchors),
                                               "NumPy": _ours(own, "numpy", discrete | anchors)}, "ours")]


def scan(own: argparse.Namespace) -> list[Topic]:
    sides = {"ours": _ours(own, "unet-scan"), "ours, windows": _ours(own, "unet-windows")}
    times = {}
    if own.peers:
        sides |= {f"MONAI, {name}": _peer(own, f"scan-{manner}") for manner, name in MANNERS.items()}
        count = math.prod(max(math.ceil((n - m) / (m // 2)), 0) + 1 for n, m in zip(own.scan, NNUNET_PATCH))
        times = {f"like nnU-Net, {count} windows": count, "like nnU-Net, mirrored": 8 * count}
        sides |= dict.fromkeys(times, _peer(own, "nnunet-window"))
    return [Topic(f"A whole scan of {_by(own.scan)}x2 to its mask, U-Nets", sides, "ours", times)]


def growth(own: argparse.Namespace) -> list[Topic]:
    name = "stage4-step"
    lesions = {f"{count} lesions": _ours(own, name, lesions=count) for count in GROWN["lesions"]}
    sizes = [[round(share * n / 8) * 8 for n in own.size] for share in GROWN["sides"]]
    volume = {_by(size): _ours(own, name, size=size, lesions=20) for size in sizes}
    batch = {f"batch of {count}": _ours(own, name, batch=count) for count in GROWN["batch"]}
    return [Topic(f"Stage 4's step by {what}", sides, next(iter(sides)))
            for what, sides in (("lesions", lesions), ("volume", volume), ("batch", batch))]


def _ours(own: argparse.Namespace, side: str, jobs: dict[str, int] | None = None, **other: object) -> Side:
    given = {"size": own.size, "scan": own.scan, "lesions": own.lesions} | other
    return Side([sys.executable, "-m", "benchmarks.ours", side, *_arguments(own, given)], jobs or {"run": 1})


def _peer(own: argparse.Namespace, side: str, jobs: dict[str, int] | None = None) -> Side:
    given = {"size": own.size, "scan": own.scan, "lesions": own.lesions, "folder": own.folder}
    return Side([own.peers, "-W", "ignore", "-m", "benchmarks.torch_sides", side, *_arguments(own, given)], jobs or {"run": 1})


def _arguments(own: argparse.Namespace, given: dict[str, object]) -> list[str]:
    found = ["--cores", *map(str, own.cores)]
    for name, value in given.items():
        found += [f"--{name}", *map(str, value if isinstance(value, (tuple, list)) else [value])]
    return found


def _by(size: tuple[int, int, int]) -> str:
    return "x".join(map(str, size))


TOPICS: dict[str, Callable[[argparse.Namespace], list[Topic]]] = {
    "unet": unet, "synergynet": synergynet, "convolutions": convolutions, "ops": operations, "scan": scan, "growth": growth}
