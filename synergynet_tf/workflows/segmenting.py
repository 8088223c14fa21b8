"""What is done with each case that `predict` is given, by its own process or by a worker elsewhere."""
import functools
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tensorflow as tf
from rich.console import Console

from synergynet_tf.data import quality_range
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError, of_case, printable
from synergynet_tf.inference import outputs
from synergynet_tf.inference.budget import described
from synergynet_tf.inference.predictor import CasePrediction, Predictor
from synergynet_tf.runtime import cluster, progress
from synergynet_tf.runtime.processes import cores
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.workflows.job import Job, ReadCase, read_case
from synergynet_tf.workflows.networks import load_networks


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
    return lambda case: segment_read(job, predictor, read_case(job, case))


def _draw(prediction: CasePrediction, folder: pathlib.Path, summary: dict[str, Any]) -> pathlib.Path:
    from synergynet_tf.report.figures import segmentation_figure

    path, loaded, flair = folder / f"{summary['case']}.png", prediction.loaded, prediction.config.data.channels.index("flair")
    segmentation_figure(path, loaded.image[..., flair], prediction.segmentation.mask, loaded.lesions, loaded.grid.spacing,
                        _summary_line(summary))
    return path


def segment(cases: Sequence[Case], predictor: Predictor, job: Job,
            read: Callable[[Case], ReadCase | None]) -> Iterator[tuple[str, InputError]]:
    """Segment the cases one after the other and write what belongs to each; yields the name and the error of those that fail.

    `read` gives a case in memory, or None where nothing is to be done.
    """
    console = Console()
    with progress.bar("segmenting", len(cases), console=console) as advance:
        for case, finish in one_ahead(cases, read):
            try:
                scan = finish()
                start = time.monotonic()
                line, *notes = segment_read(job, predictor, scan).split("\n") if scan else ("",)
            except Exception as error:      # whatever it is: the others are still to be segmented
                yield case.name, of_case(case.name, error)
            else:
                if scan:
                    _print_line(console, "\n".join([f"{line}  ({time.monotonic() - start:.1f} s)", *notes]))
            advance()


def segment_shared(cases: Sequence[Case], ready: Callable[[Case], Case | None], job: Job, workers: int,
                   address: str | None) -> Iterator[tuple[str, InputError]]:
    """As `segment`, by several processes, on the machines of a Ray cluster where there is one; lines come as cases are done.

    `ready` gives a case as it is to be segmented, or None where nothing is to be done.
    """
    console, made = Console(), list[Case | None]()
    for case in cases:
        try:
            made.append(ready(case))
        except InputError as error:
            yield case.name, of_case(case.name, error)
    cases = [job.seen(case).absolute() for case in made if case]
    if not cases:
        return
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
