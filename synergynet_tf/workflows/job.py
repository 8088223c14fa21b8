"""What `predict` is to make of each case, as values that need no network: the settings, what is read, what is finished."""
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from synergynet_tf.config import Config
from synergynet_tf.data import preprocess, quality_range
from synergynet_tf.data.identity import files_of
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.preprocess import LoadedCase
from synergynet_tf.errors import InputError
from synergynet_tf.storage.sealed import is_intact, read_sealed
from synergynet_tf.workflows.networks import Changes


@dataclasses.dataclass(frozen=True)
class Job:
    """What segmenting any case takes, as values that can be sent to another process."""

    run: pathlib.Path               # absolute, as `out`
    weights: str                    # best or last
    config: Config                  # the run's, with what the command line sets otherwise
    checkpoint: dict[str, str]      # what identifies the network
    out: pathlib.Path
    picture: bool
    memory: float | None = None     # bytes that a process may take; see `inference.budget`
    others: tuple[pathlib.Path, ...] = ()       # further runs, averaged with it
    changes: Changes = Changes()    # what the command line sets otherwise than each run
    ranges: quality_range.Ranges | None = None      # of the image quality of the scans that the network was trained on
    strict: bool = False            # refuse a scan outside them

    def seen(self, case: Case) -> Case:
        """The case without its reference, which is only drawn."""
        return case if self.picture else dataclasses.replace(case, lesions=None, lesions2=None)


class ReadCase(NamedTuple):
    """A case in memory, and the digests of its files."""

    loaded: LoadedCase
    inputs: dict[str, str]      # digests by channel, and of the reference where it is drawn; taken before they were read
    quality: list[quality_range.Judged]


def read_case(job: Job, case: Case) -> ReadCase:
    """Read a case, and judge its image quality, which adds to its notes.

    Raises:
        InputError: as `preprocess.load_case`; or the job is strict, and the scan outside its ranges.
    """
    channels = job.config.data.channels
    inputs = files_of(case, channels)
    loaded, quality = quality_range.judged_case(preprocess.load_case(case, channels), job.ranges)
    if job.strict:
        quality_range.require_usual(loaded.grid.path, quality)
    return ReadCase(loaded, inputs, quality)


def unfinished(cases: Sequence[Case], job: Job) -> list[Case]:
    """The cases of which not all files are there as they were written, or which are of another scan, network or setting."""
    return [case for case in cases if not _is_finished(case, job)]


def _is_finished(case: Case, job: Job) -> bool:
    kinds = ("_mask.nii.gz", "_probability.nii.gz", *([".png"] if job.picture else []))
    try:
        wanted = _made_by(case, job) | {"inputs": files_of(job.seen(case), job.config.data.channels)}
    except InputError:      # of a scan that cannot be read, which is said when it is tried
        return False
    record = job.out / f"{case.name}_lesions.json"
    return is_intact(record, wanted, [case.name + kind for kind in kinds]) and not (job.strict and _is_flagged(record))


def _is_flagged(record: pathlib.Path) -> bool:
    """Whether the scan of a result lies outside the ranges, of which it is refused when it is tried again."""
    return any(row.flagged for row in quality_range.from_stored(read_sealed(record, "result", "", {})))


def _made_by(case: Case, job: Job) -> dict[str, Any]:
    """What of a case's JSON file (`outputs.report`) says how it was made. A budget may choose another coverage for each case."""
    config = job.config
    coverage = {"coverage": config.infer.coverage} if job.memory is None else {}
    images = {channel: str(case.images[channel].absolute()) for channel in config.data.channels}
    return {"checkpoint": job.checkpoint, "images": images, **coverage, "gamma": config.fusion.gamma,
            "threshold": config.infer.threshold, "mirror": config.infer.mirror, "min_lesion": config.infer.min_lesion,
            "min_peak": config.infer.min_peak, "connectivity": config.lesions.connectivity,
            **({"split_confluent": True} if config.infer.split_confluent else {})}
