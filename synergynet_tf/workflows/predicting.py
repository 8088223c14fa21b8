"""What `predict` does: find the cases, segment each, and write what belongs to all of them.

Until the cases are known it takes no TensorFlow, so that a raw scan is being prepared while that begins.
"""
import functools
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from synergynet_tf.config import Config
from synergynet_tf.data import quality_range
from synergynet_tf.data.anatomy.template import template
from synergynet_tf.data.dicom.files import is_dicom
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.layouts.sources import sources
from synergynet_tf.data.raw import tools
from synergynet_tf.errors import InputError, Unprepared, print_error
from synergynet_tf.report.follow_up import courses, follow_ups
from synergynet_tf.report.prediction_tables import TABLES, write_tables
from synergynet_tf.runtime import processes
from synergynet_tf.runtime.memory import GB
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.storage.files import claim, make_folder
from synergynet_tf.training.run_files import weights_file
from synergynet_tf.workflows.bids_output import bids_names, write_bids
from synergynet_tf.workflows.inputs import find_cases, names_result, split_cases
from synergynet_tf.workflows.job import Job, ReadCase, read_case, unfinished
from synergynet_tf.workflows.networks import Changes, joint_identity, read_networks
from synergynet_tf.workflows.raw_inputs import FOLDER, Failed, Preparer, Ready, preparing_processes, segment_any

if TYPE_CHECKING:
    from synergynet_tf.workflows.networks import Stored

OUTPUTS = ("_mask.nii.gz", "_probability.nii.gz", "_mask_native.nii.gz", "_lesions.json")       # of a case


def predict(options: Namespace) -> None:
    """Segment what the command line names.

    Raises:
        InputError: nothing can be segmented or written; or, at the end, for the inputs that failed, which are named on stderr.
    """
    if options.dicom:
        tools.load("highdicom")     # which says that it is absent before the work, not after it
    changes = Changes.of(options)
    stored = read_networks(options.run, options.weights, changes)
    config = stored[0][1]
    cases, unusable, studies = _cases(options, config)
    memory = None if options.memory_budget is None else options.memory_budget * GB
    first, *further = (run.absolute() for run in options.run)
    network = joint_identity(options.run, options.weights)
    job = Job(first, options.weights, config, network, options.out.absolute(), options.picture, memory, tuple(further), changes,
              _ranges(options), options.strict)
    if options.bids:
        bids_names(cases)       # which says what is wrong with them, before the work
        make_folder(options.bids, "--bids")
    wanted = unfinished(cases, job) if options.resume else cases
    _claim_outputs(wanted, options)
    by_name, total, failed = {case.name: case for case in wanted}, len(cases) + len(unusable), list[str]()
    with processes.pool(preparing_processes(), "preparing") as executor:
        preparer = Preparer(executor, config.data.channels, options.out / FOLDER)
        reader = _Reader(job)
        if wanted and not options.workers:
            reader.ahead(wanted[0], options.how, preparer)
        segment = _segmenter(stored, job, options, reader, warm=any(map(preparer.has_begun, wanted)))
        pending = (lambda case: bool(unfinished([case], job))) if options.resume else (lambda case: True)
        _say_failed(chain(unusable, segment_any(by_name, options.how, segment, preparer, pending)), failed, total)
    done = [by_name.get(case.name, case) for case in cases if case.name not in failed]
    _write_summaries(done, failed, options)
    if options.dicom:
        from synergynet_tf.workflows.dicom_output import write_objects

        _say_failed(write_objects([case.name for case in done], studies, options.out, network["sha256"]), failed, total)
    if failed:
        rest = f"; {options.out} holds the others" if len(failed) < total else ""
        raise InputError(f"{len(failed)} of {total} inputs could not be segmented: {', '.join(failed)}{rest}")


class _Reader:
    """Gives cases in memory, of which one may have been read ahead."""

    def __init__(self, job: Job):
        self._job = job
        self._read: dict[str, ReadCase] = {}

    def ahead(self, case: Case, how: str, preparer: Preparer) -> None:
        """Read a case now; if it is raw, begin to prepare it."""
        if how == "raw":
            preparer.begin(case)
            return
        try:
            self._read[case.name] = self(case)
        except Unprepared:
            if how == "auto":
                preparer.begin(case)
        except Exception:       # noqa: S110 - whatever it is: it is said when the case's turn comes
            pass

    def __call__(self, case: Case) -> ReadCase:
        return self._read.pop(case.name, None) or read_case(self._job, self._job.seen(case))


def _segmenter(stored: "Sequence[Stored]", job: Job, options: Namespace, reader: _Reader,
               warm: bool) -> Callable[[Sequence[Case], Ready], Failed]:
    """What segments cases, in this process or in several; `warm`: there is time to get the first call's work done."""
    import_tensorflow()
    from synergynet_tf.inference.predictor import Predictor
    from synergynet_tf.workflows.segmenting import segment, segment_shared

    if options.workers:
        return functools.partial(segment_shared, job=job, workers=options.workers, address=options.cluster)
    (model, config), *others = [(checkpoint.network(), config) for checkpoint, config in stored]
    predictor = Predictor(model, config, job.memory, others, share=1.0)
    if warm:
        predictor.warm()
        template()
        if options.report:
            import synergynet_tf.workflows.reporting  # noqa: F401 - it is asked for at the end, and takes a second

    def read(case: Case, ready: Ready) -> ReadCase | None:
        made = ready(case)
        return None if made is None else reader(made)

    return lambda cases, ready: segment(cases, predictor, job, functools.partial(read, ready=ready))


def _say_failed(outcomes: Iterable[tuple[str, InputError]], failed: list[str], total: int) -> None:
    """Name each case that fails, as it does; raises the error of the only one."""
    for name, error in outcomes:
        failed.append(name)
        if total == 1:
            raise error
        print_error(str(error))


def _write_summaries(done: Sequence[Case], failed: Sequence[str], options: Namespace) -> None:
    """The tables, and what was asked for: the BIDS data set, the report."""
    if not done:
        return
    patients = follow_ups(done, options.out)
    write_tables(options.out, [case.name for case in done], failed, courses(patients))
    if options.bids:
        write_bids(done, options.out, options.bids)
    if options.report:
        from synergynet_tf.workflows.reporting import write_predictions_report

        write_predictions_report(done, patients, options.out)


def _cases(options: Namespace, config: Config) -> tuple[list[Case], list[tuple[str, InputError]], dict[str, Any]]:
    """The cases that are named, the inputs that cannot be used, and the DICOM series of the cases that came as such."""
    channels, files = config.data.channels, options.input
    unusable: list[tuple[str, InputError]] = []
    series: dict[str, Any] = {}
    if options.split:
        return split_cases(options.run[0], options.split, channels), [], {}
    if studies := {path for path in files if is_dicom(path)}:
        tools.load("pydicom")
        from synergynet_tf.workflows.dicom_inputs import as_nifti

        files, unusable, series = as_nifti(files, studies, channels, options.out, options.series)
    cases, wrong = find_cases(files, options.t2, channels, _raters(options, config)) if files else ([], [])
    return cases, [*unusable, *wrong], series


def _ranges(options: Namespace) -> quality_range.Ranges | None:
    """Those of the runs. Raises InputError where they are needed and not known."""
    ranges = quality_range.read(options.run)
    if options.strict and ranges is None:
        raise InputError(f"--strict refuses scans of another image quality than a run was trained on, but "
                         f"{' '.join(str(quality_range.place(run)) for run in options.run)} is absent: runs of earlier versions "
                         "have none; train again, or leave --strict out")
    return ranges


def _claim_outputs(cases: Sequence[Case], options: Namespace) -> None:
    """Raises InputError where a file that is to be written is an input, or lies in one, or is there and not ours."""
    kinds = [*OUTPUTS, *([".png"] if options.picture else []), *(["_seg.dcm", "_report.dcm"] if options.dicom else [])]
    read = [file for path in options.input if not names_result(path) for file in sources(path)]
    read += [file for run in options.run for file in sources(weights_file(run, options.weights), cases)]
    claim("--out", [*(options.out / f"{case.name}{kind}" for case in cases for kind in kinds),
                    *(options.out / name for name in TABLES), *([options.out / "report"] if options.report else [])], read)


def _raters(options: Namespace, config: Config) -> str | None:
    """Whose reference is drawn where two have made one: the run's choice, the first of both; none where no picture is drawn."""
    chosen = options.raters or config.data.raters
    return {"both": "first"}.get(chosen, chosen) if options.picture else None
