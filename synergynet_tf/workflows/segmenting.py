"""What is done with each case that `predict` is given, by its own process or by a worker elsewhere."""
import dataclasses
import functools
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import tensorflow as tf
from rich.console import Console

from synergynet_tf.config import Config
from synergynet_tf.data import quality_range
from synergynet_tf.data.identity import files_of
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.preprocess import LoadedCase
from synergynet_tf.errors import InputError, of_case, printable
from synergynet_tf.inference import outputs
from synergynet_tf.inference.budget import described
from synergynet_tf.inference.predictor import CasePrediction, Predictor
from synergynet_tf.runtime import cluster, progress
from synergynet_tf.runtime.processes import cores
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.storage.sealed import is_intact
from synergynet_tf.workflows.networks import Changes, load_networks


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


def one_ahead(cases: Sequence[Case], load: Callable[[Case], Any]) -> Iterator[tuple[Case, Callable[[], Any]]]:
    """Each case, and a function that gives what `load` made of it, or raises what it raised.

    Meanwhile a thread loads the next case.
    """
    if not cases:
        return
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(load, cases[0])
        for i, case in enumerate(cases):
            current = upcoming
            if i + 1 < len(cases):
                upcoming = pool.submit(load, cases[i + 1])
            yield case, current.result
            del current     # its scan is not needed while the one after the next is loaded


def read_case(predictor: Predictor, job: Job, case: Case) -> ReadCase:
    """Read a case, and judge its image quality, which adds to its notes.

    Raises:
        InputError: as `Predictor.load`; or the job is strict, and the scan outside its ranges.
    """
    inputs = files_of(case, predictor.config.data.channels)
    loaded, quality = quality_range.judged_case(predictor.load(case), job.ranges)
    if job.strict:
        quality_range.require_usual(loaded.grid.path, quality)
    return ReadCase(loaded, inputs, quality)


def segment_read(job: Job, predictor: Predictor, read: ReadCase) -> str:
    """Segment a case that was read, write what belongs to it, and say it in a line, its notes in further ones.

    Raises:
        InputError: the case cannot be segmented, or a file cannot be written.
    """
    prediction, loaded = predictor.predict_loaded(read.loaded), read.loaded
    draw = functools.partial(_draw, prediction, job.out) if job.picture else None
    quality = quality_range.as_stored(read.quality)
    summary = outputs.write_case(job.out, prediction, job.checkpoint, read.inputs, draw, quality)
    line = _summary_line(summary)
    if job.memory is not None:
        shape = loaded.image.shape[:3]
        line = f"{line}; {described(prediction.config, shape, prediction.windows)}"
    return "\n    ".join([line, *map(printable, filter(None, (*loaded.notes, summary["places_note"])))])


def _summary_line(summary: dict[str, Any]) -> str:
    count, volume = summary["count"], summary["own_space_scale"] * summary["volume_ml"]
    return f"{printable(summary['case'])}: {count} lesion{'' if count == 1 else 's'}, {volume:.2f} ml"


def make_worker(job: Job, threads: int) -> Callable[[Case], str]:
    """For `cluster.share`: the network of a job, on so many cores, and what it does with each case."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    import_tensorflow()
    (model, _), *others = load_networks((job.run, *job.others), job.weights, job.changes)
    predictor = Predictor(model, job.config, job.memory, others, min(threads / cores(), 1.0))
    return lambda case: segment_read(job, predictor, read_case(predictor, job, case))


def unfinished(cases: Sequence[Case], job: Job) -> list[Case]:
    """The cases of which not all files are there as they were written, or which are of another scan, network or setting."""
    return [case for case in cases if not _is_finished(case, job)]


def _is_finished(case: Case, job: Job) -> bool:
    kinds = ("_mask.nii.gz", "_probability.nii.gz", *([".png"] if job.picture else []))
    try:
        wanted = _made_by(case, job) | {"inputs": files_of(job.seen(case), job.config.data.channels)}
    except InputError:      # of a scan that cannot be read, which is said when it is tried
        return False
    return is_intact(job.out / f"{case.name}_lesions.json", wanted, [case.name + kind for kind in kinds])


def _made_by(case: Case, job: Job) -> dict[str, Any]:
    """What of a case's JSON file (`outputs.report`) says how it was made. A budget may choose another coverage for each case."""
    config = job.config
    coverage = {"coverage": config.infer.coverage} if job.memory is None else {}
    images = {channel: str(case.images[channel].absolute()) for channel in config.data.channels}
    return {"checkpoint": job.checkpoint, "images": images, **coverage, "gamma": config.fusion.gamma,
            "threshold": config.infer.threshold, "mirror": config.infer.mirror, "min_lesion": config.infer.min_lesion,
            "min_peak": config.infer.min_peak, "connectivity": config.lesions.connectivity,
            **({"split_confluent": True} if config.infer.split_confluent else {})}


def _draw(prediction: CasePrediction, folder: pathlib.Path, summary: dict[str, Any]) -> pathlib.Path:
    from synergynet_tf.report.figures import segmentation_figure

    path, loaded, flair = folder / f"{summary['case']}.png", prediction.loaded, prediction.config.data.channels.index("flair")
    segmentation_figure(path, loaded.image[..., flair], prediction.segmentation.mask, loaded.lesions, loaded.grid.spacing,
                        _summary_line(summary))
    return path


def segment(cases: Sequence[Case], predictor: Predictor, job: Job) -> Iterator[tuple[str, InputError]]:
    """Segment the cases one after the other and write what belongs to each; yields the name and the error of those that fail."""
    console = Console()
    with progress.bar("segmenting", len(cases), console=console) as advance:
        for case, read in one_ahead([job.seen(case) for case in cases], functools.partial(read_case, predictor, job)):
            start = time.monotonic()
            try:
                line, *notes = segment_read(job, predictor, read()).split("\n")
            except Exception as error:      # whatever it is: the others are still to be segmented
                yield case.name, of_case(case.name, error)
            else:
                _print_line(console, "\n".join([f"{line}  ({time.monotonic() - start:.1f} s)", *notes]))
            advance()


def segment_shared(cases: Sequence[Case], job: Job, workers: int, address: str | None) -> Iterator[tuple[str, InputError]]:
    """As `segment`, by several processes, on the machines of a Ray cluster where there is one; lines come as cases are done."""
    console, cases = Console(), [job.seen(case).absolute() for case in cases]
    with cluster.connected(workers, address), progress.bar("segmenting", len(cases), console=console) as advance:
        for outcome in cluster.share(functools.partial(make_worker, job), cases, workers):
            if outcome.again:
                print(f"{outcome.item.name}: {outcome.error}; tried again", file=sys.stderr)
                continue
            if outcome.error:
                yield outcome.item.name, of_case(outcome.item.name, outcome.error)
            else:
                _print_line(console, outcome.value)
            advance()


def _print_line(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
