"""What a run tells: a JSONL log, TensorBoard, and a line for each epoch."""
import json
import pathlib
from typing import Any

import tensorflow as tf
from rich.console import Console

from synergynet_tf.files import replace_file
from synergynet_tf.training.stages import Stage

LOG = "log.jsonl"


def read_log(path: pathlib.Path) -> list[dict[str, Any]]:
    """The records of a log; a last line cut off by a kill is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


class History:
    """Writes a run's records as they come.

    Args:
        run: the run folder; none: nothing is written, another process of the run does.
        done: (stage, epochs) that the checkpoint holds; later records of a killed run are dropped, since they come again.
        console: where the lines go.
    """

    def __init__(self, run: pathlib.Path | None, done: tuple[int, int], console: Console):
        self._file = self._board = None
        if not run:
            return
        self._path, self._console = run / LOG, console
        kept = [r for r in read_log(self._path) if (r["stage"], r["epoch"]) < (done[0], done[1])]
        replace_file(self._path, "".join(json.dumps(r) + "\n" for r in kept).encode())
        self._file = open(self._path, "a", encoding="utf-8")    # noqa: SIM115 (closed by `close`)
        self._board = tf.summary.create_file_writer(str(run / "tensorboard"))

    def record(self, stage: Stage, epoch: int, step: int, loss: float, parts: dict[str, float],
               validation: dict[str, float] | None = None, seconds: float | None = None) -> None:
        """Append one record. `step` counts from the run's start, `epoch` from the stage's; `validation` ends an epoch."""
        if not self._file:
            return
        entry = {"stage": stage.number, "epoch": epoch, "step": step, "loss": loss, "parts": parts}
        if validation is not None:
            entry |= {"validation": validation, "seconds": seconds}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        with self._board.as_default(step=step):
            tf.summary.scalar("loss", loss)
            for group, values in (("train", parts), ("validation", validation or {})):
                for name, value in values.items():
                    tf.summary.scalar(f"{group}/{name}", value)
        if validation is not None:
            self._say(stage, epoch, loss, validation, seconds)

    def _say(self, stage: Stage, epoch: int, loss: float, validation: dict[str, float], seconds: float) -> None:
        shown = "  ".join(f"{name} {value:.4f}" for name, value in validation.items())
        self._console.print(f"stage {stage.number} ({stage.name}) epoch {epoch + 1}: loss {loss:.4f}  {shown}  ({seconds:.0f} s)",
                            highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Flush and close the files."""
        if self._file:
            self._file.close()
            self._board.close()
