"""What the command does: the trials of a search, alone or beside other processes, and the scan of a trained run."""
import contextlib
import dataclasses
import functools
import io
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from keras_tuner.src import config as keras_tuner_config
from rich.console import Console

from synergynet_tf.config import Config, DataConfig
from synergynet_tf.data import identity as data_identity
from synergynet_tf.data import layouts
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.layouts.sources import keep_data_apart, sources
from synergynet_tf.data.splits import Split
from synergynet_tf.errors import InputError
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.processes import repeated
from synergynet_tf.storage import locks
from synergynet_tf.storage.files import digest, keep_apart, replace_file
from synergynet_tf.training import checkpoint
from synergynet_tf.training.run_files import weights_file
from synergynet_tf.workflows import fitting
from synergynet_tf.workflows.networks import identity as network_identity
from synergynet_tf.workflows.networks import resolve_runs

from . import gamma_scan, parallel, report
from .board import Board
from .gamma_scan import Scan
from .objective import Objective
from .oracles import make_oracle
from .process import in_own_process
from .project import begun, claim, make_project
from .settings import OWN, Settings
from .space import Space, hyperparameters
from .trials import StagedTraining, check_shared, train_shared
from .tuner import SynergyTuner, Train, failure

LAST = "last.npz"           # of the run that --warm-start names


def search(config: Config, options: Namespace, settings: Settings) -> None:
    """Search in the folder `options.project`; an unfinished search there goes on.

    Raises:
        InputError: another search or other files lie there, or the data or the trials fail.
    """
    project, console, role = options.project, Console(), parallel.process_role()
    if role == "chief":
        parallel.check_port()
    if role == "worker":
        parallel.wait_for_chief(project)
    identity = {"space": options.space.asdict(), "objective": dataclasses.asdict(settings.objective), "oracle": settings.oracle,
                "warm_start": options.warm_start, "config": config.asdict()}
    shared = Path(options.warm_start) / LAST if options.warm_start not in (None, OWN) else None
    if shared and shared.is_file():
        identity["warm_start_digest"] = digest(shared)
    begun(project, identity)
    if role != "worker":
        keep_data_apart("--project", project, config, [shared] if shared else [])
        make_project(project)
    with locks.held(project, "name another folder with --project") if role != "worker" else contextlib.nullcontext():
        _run(config, options, settings, identity, shared, console)


def _run(config: Config, options: Namespace, settings: Settings, identity: dict[str, Any], shared: Path | None,
         console: Console) -> None:
    """Search in a project's folder, which is this process's, or its chief's."""
    project, role, goes_on = Path(options.project), parallel.process_role(), begun(Path(options.project), identity)
    config, split = _cases(config, project, goes_on, console)
    if shared:
        config = check_shared(shared, config)
        data_identity.warn_of_known(shared.parent, split)
    claim(project, identity)
    if options.warm_start == OWN:
        shared = in_own_process(train_shared, config, split, project / "shared")      # a worker finds it trained
    if role == "chief":
        replace_file(project / parallel.READY, b"")
    train = functools.partial(in_own_process, StagedTraining(split, shared))
    tuner = run_search(settings, options.space, config, project, train, console)
    if role != "worker":
        _report(tuner, options.space, config, settings.objective, split, shared is not None, console)


def _cases(config: Config, project: Path, goes_on: bool, console: Console) -> tuple[Config, Split]:
    """The configuration with its data named for good, and the cases, prepared; phantoms where none are named."""
    if not config.data.path:
        config = fitting.with_phantoms(config, project, console)
    path = str(Path(config.data.source).resolve())        # best.yaml is used elsewhere
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=path))
    split = fitting.divide(config, project, goes_on)
    if not split.validation:
        raise InputError(f"{path}: no case is left for validation, by which a search is judged; give more patients, "
                         "or data.split a second share above 0")
    for part, cases in (("training", split.train), ("validation", split.validation)):
        fitting.prepared(part, cases, config, console)
    return config, split


def run_search(settings: Settings, space: Space, config: Config, project: Path, train: Train,
               console: Console) -> SynergyTuner:
    """Run the trials of a search, alone, as the chief or as a worker, as the environment says, until all have ended.

    Args:
        settings: how the search goes.
        space: what is searched.
        config: what every trial starts from; its `train.seed` seeds the oracle too.
        project: the search's folder; an unfinished search in it is gone on with.
        train: trains one trial (`tuner.Train`).
        console: where the lines go.

    Raises:
        InputError: every trial failed, or the chief no longer answers.
    """
    keras_tuner_config.DEBUG = False        # a failed trial's trace goes to its folder, not across the table
    role = parallel.process_role()
    oracle = make_oracle(settings.oracle, settings.objective.name, hyperparameters(space, config), settings.max_trials,
                         config.train.epochs[3], config.train.seed + 1, settings.silence)
    board = Board(project, settings.objective.name, console)
    with contextlib.redirect_stdout(io.StringIO()):     # it says that it goes on
        tuner = SynergyTuner(oracle, project, config, settings.objective, train, board)
    with contextlib.ExitStack() as stack:
        if role == "chief":
            stack.enter_context(repeated(oracle.forget_silent, 1.0))
        if role != "worker":
            stack.enter_context(board.live(oracle))
        try:
            tuner.search()
        except grpc.RpcError as error:
            raise InputError(f"the chief at {parallel.address()} no longer answers ({error.code().name}); start it again, "
                             "then this worker") from None
    if role != "worker" and all(trial.status == "FAILED" for trial in oracle.trials.values()):
        last = failure(tuner.trial_folder(max(oracle.trials)))
        raise InputError(f"all {len(oracle.trials)} trials failed, the last with: {last}; error.txt in each one's folder in "
                         f"{project} tells more")
    return tuner


def _cases_to_scan(run: Path, data: DataConfig, channels: Sequence[str]) -> tuple[Case, ...]:
    if data.path:
        cases = tuple(layouts.discover(data.path, data.layout, channels, require_lesions=True, raters=data.raters))
        data_identity.warn_of_known(run, Split((), cases, ()))
        return cases
    if run.suffix == ".npz":
        raise InputError(f"{run}: a file of weights names no validation cases; name scans with reference masks with --data.path")
    cases = tuple(data_identity.cases_of(run, "validation", channels, require_lesions=True))
    if not cases:
        raise InputError(f"{run}/manifest.csv: no case has the split validation, by which a scan is judged; name others with "
                         "--data.path")
    return cases


def _report(tuner: SynergyTuner, space: Space, config: Config, objective: Objective, split: Split, warm: bool,
            console: Console) -> None:
    """Scan the best trial's network, and write best.yaml, summary.md and the figures."""
    project, trials = Path(tuner.project_dir), list(tuner.oracle.trials.values())
    best = report.best_trial(trials)
    scan = _scan(tuner.trial_folder(best.trial_id), split.validation, project / "branches", objective)
    report.write(project, trials, space, config, objective, scan, warm)
    console.print(f"best: trial {best.trial_id}, {objective.name} {best.score:.4f}; {project} holds best.yaml, summary.md and "
                  "its figures", highlight=False, soft_wrap=True)


def _scan(run: Path, cases: tuple[Case, ...], folder: Path, objective: Objective) -> Scan:
    """Scan a run's best checkpoint on the given cases; what its branches say is kept in `folder`."""
    model, config = checkpoint.load_run(run)
    with progress.bar("branches of the validation cases", len(cases)) as advance:
        weights = network_identity(run, "best")["sha256"]
        plain = dataclasses.replace(config, infer=dataclasses.replace(config.infer, mirror=False))      # its branches, once
        cached = gamma_scan.cache_branches(Predictor(model, plain), cases, folder, weights, advance)
    with progress.bar("gamma and threshold", 2 * len(cases)) as advance:
        return gamma_scan.scan(cached, objective, config.infer.threshold, config.lesions.connectivity, advance)


def scan_run(run: Path, project: Path, objective: Objective, data: DataConfig) -> None:
    """`--gamma-scan`: best.yaml is the run's configuration with the gamma and the threshold found.

    Args:
        run: a run's folder, a file of weights or `shipped`.
        project: where best.yaml, scan.csv and gamma.png are written.
        objective: which is highest at the gamma and the threshold that are chosen.
        data: with a path: all cases there; else the run's own validation cases.

    Raises:
        InputError: the run or the cases cannot be used.
    """
    (run,) = resolve_runs([run])
    weights = weights_file(run, "best")
    config = checkpoint.load(weights).config
    cases = _cases_to_scan(run, data, config.data.channels)
    keep_apart("--project", project, [weights, *(sources(data.path, cases) if data.path else ())])
    make_project(project)
    with locks.held(project, "name another folder with --project"):
        scan = _scan(run, cases, project / "branches", objective)
        report.write_scan(project, gamma_scan.chosen(config, scan), objective, scan)
    print(f"gamma {scan.gamma.best:g}, threshold {scan.threshold.best:g}: {objective.name} "
          f"{max(scan.threshold.objective):.4f} on {len(cases)} validation cases; with the run's own gamma "
          f"{config.fusion.gamma:g} and threshold {config.infer.threshold:g}: {scan.gamma.at(config.fusion.gamma):.4f}\n"
          f"{project} holds best.yaml, scan.csv and gamma.png")
