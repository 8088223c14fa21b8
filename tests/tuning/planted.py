"""A search whose training is replaced by a formula with a known optimum; all else is the real code.

As a program, `python -m tests.tuning.planted PROJECT ORACLE TRIALS SECONDS`, it is one process of a search whose trials take
SECONDS each; every training leaves a line, `start` or `end`, in its trial's folder.
"""
import math
import os
import pathlib
import sys
import time

from rich.console import Console

from synergynet_tf.config import Config
from tuning.searching import run_search
from tuning.settings import Settings
from tuning.space import Space

GAMMA, ALPHA6 = 0.62, 3.0       # where the formula is highest
LINES = "lines.txt"
ONLY = dict.fromkeys(f"alpha{i}" for i in range(1, 6))     # not searched
SPACE = Space(**ONLY)


def height(config: Config) -> float:
    """1 at the optimum, less elsewhere."""
    return 1 - (config.fusion.gamma - GAMMA) ** 2 - 0.1 * math.log(config.loss.alpha6 / ALPHA6) ** 2


def planted(config: Config, folder: pathlib.Path, parent: pathlib.Path | None) -> dict[str, float]:
    """Validation scores by formula; those of few epochs are lower by the same."""
    return {"dsc": height(config) - 0.3 / config.train.epochs[3], "lfpr": 0.0}


def slow(seconds: float):
    """The formula, after a while."""

    def train(config: Config, folder: pathlib.Path, parent: pathlib.Path | None) -> dict[str, float]:
        with open(folder / LINES, "a") as file:
            file.write(f"start {os.getpid()}\n")
        time.sleep(seconds)
        with open(folder / LINES, "a") as file:
            file.write(f"end {os.getpid()}\n")
        return planted(config, folder, parent)

    return train


def search(project: pathlib.Path, settings: Settings, train=planted, space: Space = SPACE, config: Config | None = None):
    """Run a search; its tuner."""
    project.mkdir(exist_ok=True)
    with open(os.devnull, "w") as nowhere:
        return run_search(settings, space, config or Config(), project, train, Console(file=nowhere))


if __name__ == "__main__":
    folder, oracle, trials, seconds = sys.argv[1:]
    search(pathlib.Path(folder), Settings(oracle, int(trials), silence=3.0), slow(float(seconds)))
