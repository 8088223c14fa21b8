"""The training of one trial: the project's own staged trainer, from scratch, from a shared checkpoint, or from another trial's.

A trial's folder is a run folder as `train` makes one: config.yaml, manifest.csv, last.npz, best.npz, log.jsonl.
"""
import dataclasses
from pathlib import Path

from rich.console import Console

from synergynet_tf.config import Config, command_line
from synergynet_tf.data import splits
from synergynet_tf.data.cache import build_cache
from synergynet_tf.data.splits import Split
from synergynet_tf.errors import InputError
from synergynet_tf.storage.files import replace_file
from synergynet_tf.training import checkpoint
from synergynet_tf.training.history import LOG, read_log
from synergynet_tf.training.trainer import Cases, Trainer
from synergynet_tf.workflows.validation import make_scorer

LAST, BEST = "last.npz", "best.npz"
NETWORK = ("unet", "detector", "mask")      # what two networks must share for one to start from the other


@dataclasses.dataclass(frozen=True)
class StagedTraining:
    """Trains trials on one split.

    Args:
        split: the cases; the validation cases give the scores.
        shared: checkpoint of stages 1 to 3 that every trial starts from (`train_shared`); None: every trial trains all stages.
    """

    split: Split
    shared: Path | None = None

    def __call__(self, config: Config, folder: Path, parent: Path | None) -> dict[str, float]:
        """Train a trial, from where its folder stands, and give the validation scores of its best checkpoint.

        Args:
            config: the trial's own.
            folder: the trial's own, made before.
            parent: folder of the trial whose last checkpoint this one continues.

        Raises:
            InputError: as `Trainer.fit`; or no epoch of the last stage was validated.
        """
        self._begin(config, folder, parent)
        with open(folder / "train.log", "a", encoding="utf-8") as lines:
            fit(config, self.split, folder, Console(file=lines, width=160))
        return best_scores(folder)

    def _begin(self, config: Config, folder: Path, parent: Path | None) -> None:
        if (folder / LAST).exists():        # killed, and taken up
            return
        command_line.save(config, folder / "config.yaml")
        splits.save(self.split, folder / "manifest.csv")
        files = (BEST, LOG, LAST) if parent else (LAST,) if self.shared else ()
        for name in files:      # the last checkpoint last: with it the trial has begun
            source = parent / name if parent else self.shared
            if source and source.exists():
                replace_file(folder / name, source.read_bytes())


def fit(config: Config, split: Split, folder: Path, console: Console) -> None:
    """Train what is left of a run in its folder."""
    train, validation = (build_cache(cases, config) for cases in (split.train, split.validation))
    Trainer(config, Cases(train, validation), folder, make_scorer(validation, config), (folder / LAST).exists(), console).fit()


def best_scores(folder: Path) -> dict[str, float]:
    """The validation scores of a run's best checkpoint: those of the first of the highest Dice in the last stage."""
    scored = [record["validation"] for record in read_log(folder / LOG) if "dsc" in record.get("validation", {})]
    if not scored:
        raise InputError(f"{folder}: no epoch of stage 4 was validated; train.epochs must end with 1 or more")
    best = max(scored, key=lambda scores: scores["dsc"])
    return {name: value for name, value in best.items() if name != "loss"}


def train_shared(config: Config, split: Split, folder: Path) -> Path:
    """Train stages 1 to 3 once, going on where a kill stopped it; the checkpoint that trials start from."""
    folder.mkdir(exist_ok=True)
    epochs = (*config.train.epochs[:3], 0)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=epochs))
    done = checkpoint.load(folder / LAST).progress if (folder / LAST).exists() else None
    if done is None or not _through_three(done, epochs):
        command_line.save(config, folder / "config.yaml")
        fit(config, split, folder, Console())
    return folder / LAST


def check_shared(path: Path, config: Config) -> Config:
    """The configuration for trials that start from a run's checkpoint: its epochs of stages 1 to 3, our own of stage 4.

    Raises:
        InputError: it is no checkpoint, it does not stand at the end of stage 3, or its network is another one.
    """
    shared = checkpoint.load(path)
    if not _through_three(shared.progress, shared.config.train.epochs):
        raise InputError(f"{path}: stands at stage {shared.progress.stage}, epoch {shared.progress.epochs}, but trials start "
                         "from the end of stage 3; train it with an epoch count of 0 for stage 4")
    for group in NETWORK:
        ours, theirs = (dataclasses.asdict(getattr(c, group)) for c in (config, shared.config))
        for name in ours:
            if ours[name] != theirs[name]:
                raise InputError(f"{path}: was trained with {group}.{name} {theirs[name]!r}, but the search has {ours[name]!r}; "
                                 "give the search the same")
    epochs = (*shared.config.train.epochs[:3], config.train.epochs[3])
    return dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=epochs))


def _through_three(progress: checkpoint.Progress, epochs: tuple[int, ...]) -> bool:
    return progress.stage == 3 and progress.epochs == epochs[2] > 0
