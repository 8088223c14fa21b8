"""Checkpoints: one .npz file with the weights, their average, the optimizer's state, the progress and the configuration.

A checkpoint is whole or absent (`files.replace_file`). Names inside follow the network's parts (`weights/encoder/012_kernel`), no
framework's own naming, so that both Keras versions read the weights of either.
"""
import dataclasses
import io
import json
import pathlib
import zipfile
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from synergynet_tf.files import replace_file
from synergynet_tf.training.stages import PARTS
from synergynet_tf.training.systems import system_of

FORMAT = 1


@dataclass(frozen=True)
class Progress:
    """Where a run stands: `epochs` whole epochs of `stage` are done."""

    stage: int = 1
    epochs: int = 0
    best: float | None = None       # validation score of the best checkpoint so far
    replicas: int = 1               # that shared each step


def named_weights(model: keras.Model) -> dict[str, Any]:
    """The network's variables by name, e.g. `encoder/012_kernel`; the same names in every process and Keras version."""
    named = {}
    for part in (part for part in PARTS if hasattr(model, part)):
        variables = sorted(getattr(model, part).weights, key=lambda v: not v.trainable)     # Keras 2's order, under 3 too
        for i, variable in enumerate(variables):
            leaf = variable.name.split("/")[-1].split(":")[0]
            named[f"{part}/{i:03d}_{leaf}"] = variable
    return named


def save(path: pathlib.Path, model: keras.Model, config: Config, progress: Progress, optimizer: Any = None,
         average: list[np.ndarray] | None = None) -> None:
    """Write a checkpoint, atomically.

    Args:
        average: the averaged weights, in the order of `named_weights`; none: not averaged.

    Raises:
        InputError: it cannot be written; what lay at `path` is untouched.
    """
    weights = named_weights(model)
    arrays = {f"weights/{name}": np.asarray(variable) for name, variable in weights.items()}
    arrays |= {f"average/{name}": value for name, value in zip(weights, average or ())}
    arrays |= {f"optimizer/{i:04d}": np.asarray(v) for i, v in enumerate(optimizer.variables if optimizer else ())}
    meta = {"format": FORMAT, "keras": _keras(), "config": config.asdict(), "progress": dataclasses.asdict(progress)}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    replace_file(path, buffer.getvalue())


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds, read into memory."""

    path: pathlib.Path
    keras: int                  # major version that wrote it
    config: Config
    progress: Progress
    arrays: dict[str, np.ndarray]

    def restore_weights(self, model: keras.Model, averaged: bool = False) -> None:
        """Assign the weights to `model`; the averaged ones if asked for and present."""
        group = "average" if averaged and any(name.startswith("average/") for name in self.arrays) else "weights"
        for name, variable in named_weights(model).items():
            value = self.arrays.get(f"{group}/{name}")
            if value is None or value.shape != tuple(variable.shape):
                found = "absent" if value is None else f"of shape {value.shape}"
                raise InputError(f"{self.path}: {name} is {found}, the network wants {tuple(variable.shape)}; "
                                 "use the configuration that the checkpoint was trained with")
            variable.assign(value)

    def restore_optimizer(self, optimizer: Any) -> None:
        """Assign the optimizer's state; its variables must have been made for the same stage.

        Raises InputError under another major version of Keras, whose optimizers keep other state.
        """
        if self.keras != _keras():
            raise InputError(f"{self.path}: was written under Keras {self.keras} and cannot be resumed under Keras {_keras()} "
                             "(its weights can be used for prediction); resume it where it began")
        for i, variable in enumerate(optimizer.variables):
            variable.assign(self.arrays[f"optimizer/{i:04d}"])

    def average(self, model: keras.Model) -> list[np.ndarray] | None:
        """The averaged weights in the order of `named_weights`, if the run keeps them."""
        names = [f"average/{name}" for name in named_weights(model)]
        return [self.arrays[name] for name in names] if names[0] in self.arrays else None


def load(path: pathlib.Path) -> Checkpoint:
    """Read a checkpoint. Raises InputError when it is absent, damaged, of another format or no checkpoint at all."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop("meta").tobytes())
        if meta["format"] != FORMAT:
            raise InputError(f"{path}: format {meta['format']}, this version reads {FORMAT}; use the version that wrote it")
        return Checkpoint(path, meta["keras"], Config.from_dict(meta["config"]), Progress(**meta["progress"]), arrays)
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint; train first, or name the folder of a run") from None
    except InputError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable checkpoint ({error}); use another one of the run") from None


def load_run(run: pathlib.Path, which: str = "best") -> tuple[keras.Model, Config]:
    """The trained network of a run folder, averaged weights where it keeps them, and its configuration.

    Args:
        run: folder that `train` wrote.
        which: "best" or "last".
    """
    checkpoint = load(pathlib.Path(run) / f"{which}.npz")
    model = system_of(checkpoint.config).build(checkpoint.config)
    checkpoint.restore_weights(model, averaged=True)
    return model, checkpoint.config


def _keras() -> int:
    return int(keras.__version__.split(".")[0])
