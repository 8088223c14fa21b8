"""The records of a run: a JSONL log, TensorBoard, and a printed line for each epoch.

The log is only appended to. A run that resumes from a checkpoint writes where it resumes, `{"resumed": ...}`. Records before this
line that lie beyond the checkpoint are ignored, since the run writes them again; so is a line that was cut off by a kill.
"""
import contextlib
import errno
import json
import math
import os
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import tensorflow as tf
from rich.console import Console

from synergynet_tf.errors import disk_full, unwritable
from synergynet_tf.storage.files import make_own, replace_file
from synergynet_tf.storage.readers import read_jsonl
from synergynet_tf.training.stages import Stage

LOG = "log.jsonl"


@dataclass(frozen=True)
class Record:
    """A line of the log."""

    stage: int
    epoch: int                  # of the stage, from 0
    step: int                   # of the run
    loss: float
    parts: dict[str, float]
    validation: dict[str, float] = field(default_factory=dict)     # where the record ends an epoch
    seconds: float = 0.0


@dataclass(frozen=True)
class Resumed:
    """The line where a run goes on: stage and whole epochs of its checkpoint."""

    resumed: list[int]


def read_log(path: pathlib.Path) -> list[dict[str, Any]]:
    """The records of a log that are the run's, in order; none where there is no log.

    Raises:
        InputError: it is damaged.
    """
    records: list[dict[str, Any]] = []
    lines = read_jsonl(path, "log", "move it away", Record | Resumed, '{"resumed"') if path.exists() else ()
    for line in lines:
        if "resumed" in line:
            records = [record for record in records if [record["stage"], record["epoch"]] < line["resumed"]]
        else:
            records.append(line)
    return records


class History:
    """Writes a run's records as they come.

    Args:
        run: the run folder; none: nothing is written, another process of the run does.
        done: (stage, epochs) that the checkpoint holds.
        console: where the lines go.

    Raises:
        InputError: the log that lies there is damaged, or cannot be written.
    """

    def __init__(self, run: pathlib.Path | None, done: tuple[int, int], console: Console):
        self._file: BinaryIO | None = None
        self._board: Any = None
        if not run:
            return
        self._path, self._console = run / LOG, console
        read_log(self._path)        # a damaged log is an error now, not after the training
        if not self._path.exists():
            replace_file(self._path, b"", grows=True)
        with _writing(self._path):
            self._file = open(self._path, "ab+")    # noqa: SIM115 (closed by `close`)
            self._file.seek(-min(self._file.tell(), 1), os.SEEK_END)
            last = self._file.read()
        if last:
            self._append({"resumed": list(done)}, "" if last == b"\n" else "\n")
        make_own(run / "tensorboard")
        self._board = tf.summary.create_file_writer(str(run / "tensorboard"))

    def record(self, stage: Stage, epoch: int, step: int, loss: float, parts: dict[str, float],
               validation: dict[str, float] | None = None, seconds: float = 0.0) -> None:
        """Append one record. `step` counts from the run's start, `epoch` from the stage's; `validation` ends an epoch.

        Raises:
            InputError: the log cannot be written, on a full disk for one.
        """
        if self._file is None or self._board is None:
            return
        entry: dict[str, Any] = {"stage": stage.number, "epoch": epoch, "step": step, "loss": loss, "parts": parts}
        if validation is not None:
            finite = {name: value for name, value in validation.items() if math.isfinite(value)}
            entry |= {"validation": finite, "seconds": seconds}
        self._append(entry)
        with _writing(self._path.with_name("tensorboard")), self._board.as_default(step=step):
            tf.summary.scalar("loss", loss)
            for group, values in (("train", parts), ("validation", validation or {})):
                for name, value in values.items():
                    tf.summary.scalar(f"{group}/{name}", value)
        if validation is not None:
            self._say(stage, epoch, loss, validation, seconds)

    def _append(self, entry: dict[str, Any], before: str = "") -> None:
        """Add a line, after what ends one that a kill has torn. What ends an epoch outlasts a power cut too."""
        file = cast(BinaryIO, self._file)
        with _writing(self._path):
            file.write(f"{before}{json.dumps(entry)}\n".encode())
            file.flush()
            if "validation" in entry or "resumed" in entry:
                os.fsync(file.fileno())

    def _say(self, stage: Stage, epoch: int, loss: float, validation: dict[str, float], seconds: float) -> None:
        shown = "; validation " + "  ".join(f"{name} {value:.4f}" for name, value in validation.items()) if validation else ""
        self._console.print(f"stage {stage.number} ({stage.name}) epoch {epoch + 1}: training loss {loss:.4f}{shown}  "
                            f"({seconds:.0f} s)", highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Flush and close the files."""
        if self._file:
            with _writing(self._path):
                self._file.close()
            with _writing(self._path.with_name("tensorboard")):
                self._board.close()


@contextlib.contextmanager
def _writing(path: pathlib.Path) -> Iterator[None]:
    """Turn what goes wrong with a file into its InputError; TensorFlow's writer has exceptions of its own."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from None
    except tf.errors.OpError as error:
        code = errno.ENOSPC if disk_full(error.message) else 0
        raise unwritable(path, OSError(code, error.message.splitlines()[0])) from None
