"""Checkpoints: one .npz file with the weights, their average, the optimizer's state, the progress and the configuration.

A checkpoint is whole or absent (`files.replace_file`). Names inside follow the network's parts (`weights/encoder/012_kernel`), no
framework's own naming, so that both Keras versions read the weights of either.
"""
import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from synergynet_tf.storage import typed
from synergynet_tf.storage.files import npz, replace_file
from synergynet_tf.storage.readers import Stored, parse_json, read_npz, reading
from synergynet_tf.training.run_files import weights_file
from synergynet_tf.training.stages import PARTS

if TYPE_CHECKING:
    from keras import Model  # by name: `keras` is a field below

FORMAT = 1
META = {"format": int, "keras": int, "config": dict, "progress": dict}
REMEDY = "use another one of the run, or train first and name the folder of that run"


@dataclass(frozen=True)
class Progress:
    """Where a run stands: `epochs` whole epochs of `stage` are done."""

    stage: int = 1
    epochs: int = 0
    best: float | None = None       # validation score of the best checkpoint so far
    replicas: int = 1               # that shared each step

    def require_possible(self, config: Config) -> None:
        """See that a run of the configuration can stand here.

        Raises:
            InputError: none can.
        """
        for name, low, high in (("stage", 1, len(config.train.epochs)), ("epochs", 0, 10 ** 6), ("replicas", 1, 10 ** 6)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"progress.{name} is {getattr(self, name)}, but it must be {low} to {high}")


def named_weights(model: "Model") -> dict[str, Any]:
    """The network's variables by name, e.g. `encoder/012_kernel`; the same names in every process and Keras version."""
    named = {}
    for part in (part for part in PARTS if hasattr(model, part)):
        variables = sorted(getattr(model, part).weights, key=lambda v: not v.trainable)     # Keras 2's order, under 3 too
        for i, variable in enumerate(variables):
            leaf = variable.name.split("/")[-1].split(":")[0]
            named[f"{part}/{i:03d}_{leaf}"] = variable
    return named


def save(path: pathlib.Path, model: "Model", config: Config, progress: Progress, optimizer: Any = None,
         average: list[np.ndarray] | None = None) -> None:
    """Write a checkpoint, atomically.

    Args:
        path: the file.
        model: whose weights are kept.
        config: of the run.
        progress: where the run stands.
        optimizer: whose state is kept; none: nothing of it.
        average: the averaged weights, in the order of `named_weights`; none: not averaged.

    Raises:
        InputError: it cannot be written; what lay at `path` is untouched.
    """
    weights = named_weights(model)
    arrays = {f"weights/{name}": np.asarray(variable) for name, variable in weights.items()}
    arrays |= {f"average/{name}": value for name, value in zip(weights, average or ())}
    arrays |= {f"optimizer/{i:04d}": np.asarray(v) for i, v in enumerate(optimizer.variables if optimizer else ())}
    meta = {"format": FORMAT, "keras": _keras(), "config": config.asdict(), "progress": dataclasses.asdict(progress)}
    replace_file(path, npz(arrays | {"meta": _as_bytes(meta)}))


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds, read into memory."""

    path: pathlib.Path
    keras: int                  # major version that wrote it
    config: Config
    progress: Progress
    arrays: dict[str, np.ndarray]

    def network(self) -> "Model":
        """The network with its weights, averaged where they are kept."""
        from synergynet_tf.training.systems import system_of

        model = system_of(self.config).build(self.config)
        self.restore_weights(model, averaged=True)
        return model

    def restore_weights(self, model: "Model", averaged: bool = False) -> None:
        """Assign the weights to `model`; the averaged ones if asked for and present."""
        group = "average" if averaged and any(name.startswith("average/") for name in self.arrays) else "weights"
        values = {name: self._fitting(f"{group}/{name}", variable) for name, variable in named_weights(model).items()}
        for name, variable in named_weights(model).items():     # all or none
            variable.assign(values[name])

    def final_weights(self) -> dict[str, np.ndarray]:
        """The weights that predictions are made with, by name: averaged where they are kept."""
        group = "average/" if any(name.startswith("average/") for name in self.arrays) else "weights/"
        return {name.removeprefix(group): value for name, value in self.arrays.items() if name.startswith(group)}

    def begin(self, model: "Model") -> list[str]:
        """Assign the weights, averaged where they are kept, of the parts that both networks have: for a training of its own.

        Returns the names of these parts.

        Raises:
            InputError: there are none, or where one is built otherwise here.
        """
        theirs, ours = self.final_weights(), named_weights(model)
        parts = [part for part in PARTS if all(any(_part(name) == part for name in names) for names in (ours, theirs))]
        if not parts:
            raise InputError(f"{self.path}: no part of this network is in it; begin with another run, or from nothing")
        shared = [name for name in {**ours, **theirs} if _part(name) in parts]
        for name in shared:
            here, there = (tuple(weights[name].shape) if name in weights else "absent" for weights in (ours, theirs))
            if here != there:
                raise InputError(f"{self.path}: {name} is {there} in it and {here} in this network; set data.channels, unet, "
                                 "detector and mask as in that run's config.yaml, or begin from nothing")
        for name in shared:
            ours[name].assign(theirs[name])
        return parts

    def restore_optimizer(self, optimizer: Any) -> None:
        """Assign the optimizer's state; its variables must have been made for the same stage.

        Raises:
            InputError: another major version of Keras wrote it, whose optimizers keep other state.
        """
        if self.keras != _keras():
            raise InputError(f"{self.path}: was written under Keras {self.keras} and cannot be resumed under Keras {_keras()} "
                             "(its weights can be used for prediction); resume it where it began")
        values = [self._fitting(f"optimizer/{i:04d}", variable) for i, variable in enumerate(optimizer.variables)]
        for variable, value in zip(optimizer.variables, values):
            variable.assign(value)

    def average(self, model: "Model") -> list[np.ndarray] | None:
        """The averaged weights in the order of `named_weights`, if the run keeps them."""
        if not any(name.startswith("average/") for name in self.arrays):
            return None
        return [self._fitting(f"average/{name}", variable) for name, variable in named_weights(model).items()]

    def _fitting(self, name: str, variable: Any) -> np.ndarray:
        """An array for a variable. Raises InputError where it is absent, or of another shape or kind, or not finite."""
        value, wanted = self.arrays.get(name), tuple(variable.shape)
        if value is None or value.shape != wanted:
            actual = "absent" if value is None else f"of shape {value.shape}"
            raise InputError(f"{self.path}: {name.removeprefix('weights/')} is {actual}, the network wants {wanted}; "
                             "use the configuration that the checkpoint was trained with")
        if value.dtype.kind not in "fiu" or not np.isfinite(value).all():
            raise InputError(f"{self.path}: {name} holds values that are no finite numbers; {REMEDY}")
        return value


def strip(paths: Sequence[pathlib.Path], trained_on: Iterable[str], changed: Callable[[Config], Config]) -> bytes:
    """What a prediction needs of a checkpoint, as a file: the weights, averaged if they are kept, in half precision.

    Of several checkpoints of one training that went on, the mean of their weights is taken (Wortsman et al., ICML 2022): it
    does about as well as each on what that was trained on, and better on what is like neither.

    Args:
        paths: of the checkpoints; all but the weights is the last one's.
        trained_on: digests of the FLAIR scans that it was trained on (`identity.scans_of`), by which they are known again.
        changed: the configuration that predictions are to have, from the run's.

    Raises:
        InputError: as `load` and `changed`, the networks are built otherwise, or a weight is too large for half precision.
    """
    *_, whole = checkpoints = [load(path) for path in paths]
    each = [checkpoint.final_weights() for checkpoint in checkpoints]
    shapes = [{name: value.shape for name, value in weights.items()} for weights in each]
    for path, found in zip(paths, shapes):
        if other := [name for name in {**found, **shapes[-1]} if found.get(name) != shapes[-1].get(name)]:
            raise InputError(f"{path}: {other[0]} is of another shape than in {paths[-1]}, or in one of them alone: name runs of "
                             "one network, each begun with the one before")
    means = {name: np.mean([weights[name] for weights in each], axis=0, dtype=np.float64) for name in each[-1]}
    arrays = {f"weights/{name}": mean.astype(np.float16) if each[-1][name].dtype.kind == "f" else each[-1][name]
              for name, mean in means.items()}
    path = paths[-1]
    if not all(np.isfinite(value).all() for value in arrays.values()):
        raise InputError(f"{path}: a weight is beyond half precision; use the checkpoint as it is")
    config = changed(whole.config)
    placeless = dataclasses.replace(config, data=dataclasses.replace(config.data, path=None, cache=None),   # of another machine
                                    phantoms=dataclasses.replace(config.phantoms, anatomy=None, shapes=None))
    meta = {"format": FORMAT, "keras": whole.keras, "config": placeless.asdict(), "progress": dataclasses.asdict(whole.progress)}
    return npz(arrays | {"trained_on": np.array(sorted(trained_on), "U32"), "meta": _as_bytes(meta)}, compressed=True)


def _as_bytes(meta: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(json.dumps(meta).encode(), np.uint8)


def load(path: pathlib.Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: it is absent, damaged, of another format or no checkpoint at all.
    """
    arrays = read_npz(path, "checkpoint", REMEDY, {"meta": Stored("u", (None,))})
    with reading(path, "checkpoint", REMEDY):
        meta = parse_json(arrays.pop("meta").tobytes(), META)
        if meta["format"] != FORMAT:
            raise InputError(f"its format is {meta['format']}, this version reads {FORMAT}: use the version that wrote it")
        typed.require(meta["progress"], Progress, "progress")
        config, progress = Config.from_dict(meta["config"], complete=True), Progress(**meta["progress"])
        progress.require_possible(config)
        return Checkpoint(path, meta["keras"], config, progress, arrays)


def load_run(run: pathlib.Path, which: str = "best") -> tuple["Model", Config]:
    """The trained network of a run folder, averaged weights where it keeps them, and its configuration.

    Args:
        run: folder that `train` wrote, or a file of weights.
        which: "best" or "last", of a folder.
    """
    checkpoint = load(weights_file(pathlib.Path(run), which))
    return checkpoint.network(), checkpoint.config


def _part(name: str) -> str:
    return name.split("/")[0]


def _keras() -> int:
    return int(version("keras").split(".")[0])
