"""`python -m tuning.search`: find gamma and the loss weights on the validation cases of a cohort, or of phantom patients."""
import contextlib
import dataclasses
import functools
import io
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synergynet_tf.config import Config, arguments, command_line
from synergynet_tf.data.layouts.sources import keep_data_apart
from synergynet_tf.errors import InputError
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.processes import repeated
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.storage import locks
from synergynet_tf.storage.files import digest, keep_apart, replace_file

from . import parallel
from .objective import OBJECTIVES, Objective, Weights
from .project import begun, claim, make_project
from .space import Space

if TYPE_CHECKING:
    from rich.console import Console

    from synergynet_tf.data.layouts import Case
    from synergynet_tf.data.splits import Split

    from .gamma_scan import Scan
    from .tuner import SynergyTuner, Train

OWN = "own"                 # --warm-start without a run
LAST = "last.npz"           # of the run that it names
SMALL = ("--preset", "quickstart", "--phantoms.patients", "10", "--train.epochs", "[3,3,4,2]", "--train.steps_per_epoch", "40",
         "--train.validate_every", "2", "--max-trials", "4", "--warm-start")
DESCRIPTION = f"""Search gamma and the loss weights with Keras Tuner, on the validation cases of a cohort.

With --data.path the scans there are used. Without it, phantom patients are made; and without any preset, --config or
data a small search runs, minutes on two cores: {' '.join(SMALL)}.
The project folder holds best.yaml, which `python -m synergynet_tf.train --config` takes as it is, summary.md, its
figures, and a run folder for each trial. The same command again goes on where a search was stopped.

With --gamma-scan RUN nothing is trained: gamma 0, 0.01 ... 1, then the threshold, are tried on a trained run.

In parallel: the same command in every process, each with {parallel.ADDRESS} and {parallel.PORT}, and with
{parallel.NAME} chief in one and worker0, worker1 ... in the others. They share the project folder.
"""


@dataclass(frozen=True)
class Settings:
    """How a search goes, beside its space."""

    oracle: Literal["random", "bayesian", "hyperband"] = "bayesian"
    max_trials: int = 12            # of random and bayesian
    objective: Objective = dataclasses.field(default_factory=Objective)
    silence: float = 60.0           # seconds after which a worker that is not heard is taken for dead

    def __post_init__(self) -> None:
        if self.max_trials < 1:
            raise InputError(f"--max-trials is {self.max_trials}, but at least 1 is needed")
        if not self.silence > 0:
            raise InputError(f"--silence is {self.silence}, but it must be above 0 seconds")


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    words = sys.argv[1:] if argv is None else list(argv)
    named = [word.split("=")[0] for word in words if word.startswith("--")]
    chosen = set(named) & {"--data.path", "--config", "--preset", "--gamma-scan"}
    config, options = command_line.parse(words if chosen else [*SMALL, *words], DESCRIPTION, _add_arguments,
                            groups={"weights": Weights, "space": Space})
    objective = Objective(options.objective, options.weights)
    if options.gamma_scan:
        for name in named:
            if name not in ("--gamma-scan", "--project", "--objective") and not name.startswith("--weights"):
                raise InputError(f"{name} is given with --gamma-scan, but a scan takes the run's own configuration; leave it out")
        _scan_run(options.gamma_scan, options.project, objective)
    else:
        _search(config, options, Settings(options.oracle, options.max_trials, objective, options.silence))


def _add_arguments(parser: Any) -> None:
    default = Settings()
    parser.add_argument("--project", type=arguments.path, default="runs/search",
                        help="the search's folder, made here (default: %(default)s)")
    parser.add_argument("--oracle", default=default.oracle, choices=("random", "bayesian", "hyperband"),
                        help="how trials are chosen (default: %(default)s)")
    parser.add_argument("--max-trials", type=arguments.whole(1, 100_000), default=default.max_trials,
                        help="of random and bayesian; those of hyperband "
                        "follow from the epochs of stage 4 (default: %(default)s)")
    parser.add_argument("--objective", default="dsc", help=f"of the validation cases: {', '.join(OBJECTIVES)} (default: dsc)")
    parser.add_argument("--warm-start", nargs="?", const=OWN, type=_warm, metavar="RUN",
                        help="train stages 1 to 3 once, and start every "
                        "trial there; with RUN: from the last.npz of that run, which stands at the end of stage 3")
    parser.add_argument("--gamma-scan", type=arguments.path, metavar="RUN",
                        help="train nothing; scan gamma and the threshold of a trained run")
    parser.add_argument("--silence", type=arguments.number(0, 1e9, inner=True), default=default.silence,
                        help="seconds after which the chief gives a trial to "
                        "another worker where its own is not heard (default: %(default)s)")


def _warm(text: str) -> str:
    """What --warm-start is given: a run, with the user's home in place of ~."""
    return text if text == OWN else str(arguments.path(text))


def _search(config: Config, options: Namespace, settings: Settings) -> None:
    from rich.console import Console

    _check(config, options.space, options.warm_start)
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
         console: "Console") -> None:
    """Search in a project's folder, which is this process's, or its chief's."""
    project, role, goes_on = Path(options.project), parallel.process_role(), begun(Path(options.project), identity)
    config, split = _cases(config, project, goes_on, console)
    import_tensorflow()     # not before: the processes that make and prepare cases need none of it
    from synergynet_tf.data.identity import warn_of_known

    from .process import in_own_process
    from .trials import StagedTraining, check_shared, train_shared

    if shared:
        config = check_shared(shared, config)
        warn_of_known(shared.parent, split)
    claim(project, identity)
    if options.warm_start == OWN:
        shared = in_own_process(train_shared, config, split, project / "shared")      # a worker finds it trained
    if role == "chief":
        replace_file(project / parallel.READY, b"")
    train = functools.partial(in_own_process, StagedTraining(split, shared))
    tuner = run_search(settings, options.space, config, project, train, console)
    if role != "worker":
        _report(tuner, options.space, config, settings.objective, split, shared is not None, console)


def _cases(config: Config, project: Path, goes_on: bool, console: "Console") -> "tuple[Config, Split]":
    """The configuration with its data named for good, and the cases, prepared; phantoms where none are named."""
    from synergynet_tf.workflows import fitting

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


def _check(config: Config, space: Space, warm_start: str | None) -> None:
    if config.train.system != "synergynet":
        raise InputError(f"train.system is {config.train.system}, but a search is of synergynet, whose branches gamma weighs")
    epochs = f"train.epochs is {list(config.train.epochs)}"
    if config.train.epochs[3] < 1:
        raise InputError(f"{epochs}, but a search trains stage 4: its count must be 1 or more")
    if warm_start == OWN and config.train.epochs[2] < 1:
        raise InputError(f"{epochs}, but --warm-start begins where stage 3 ends: its count must be 1 or more")
    if warm_start and space.anchor_sets:
        raise InputError("space.anchor_sets is searched with --warm-start, but a network learns its anchors from stage 1 on; "
                         "leave one of the two out")


def run_search(settings: Settings, space: Space, config: Config, project: Path, train: "Train",
               console: "Console") -> "SynergyTuner":
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
    import grpc
    from keras_tuner.src import config as keras_tuner_config

    from .board import Board
    from .oracles import make_oracle
    from .space import hyperparameters
    from .tuner import SynergyTuner, failure

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


def _report(tuner: "SynergyTuner", space: Space, config: Config, objective: Objective, split: "Split", warm: bool,
            console: "Console") -> None:
    """Scan the best trial's network, and write best.yaml, summary.md and the figures."""
    from . import report

    project, trials = Path(tuner.project_dir), list(tuner.oracle.trials.values())
    best = report.best_trial(trials)
    scan = _scan(tuner.trial_folder(best.trial_id), split.validation, project / "branches", objective)
    report.write(project, trials, space, config, objective, scan, warm)
    console.print(f"best: trial {best.trial_id}, {objective.name} {best.score:.4f}; {project} holds best.yaml, summary.md and "
                  "its figures", highlight=False, soft_wrap=True)


def _scan(run: Path, cases: "tuple[Case, ...]", folder: Path, objective: Objective) -> "Scan":
    """Scan a run's best checkpoint on the given cases; what its branches say is kept in `folder`."""
    from synergynet_tf.inference.predictor import Predictor
    from synergynet_tf.training.checkpoint import load_run
    from synergynet_tf.workflows.networks import identity

    from . import gamma_scan

    model, config = load_run(run)
    with progress.bar("branches of the validation cases", len(cases)) as advance:
        weights = identity(run, "best")["sha256"]
        plain = dataclasses.replace(config, infer=dataclasses.replace(config.infer, mirror=False))      # its branches, once
        cached = gamma_scan.cache_branches(Predictor(model, plain), cases, folder, weights, advance)
    with progress.bar("gamma and threshold", 2 * len(cases)) as advance:
        return gamma_scan.scan(cached, objective, config.infer.threshold, config.lesions.connectivity, advance)


def _scan_run(run: Path, project: Path, objective: Objective) -> None:
    """`--gamma-scan`: best.yaml is the run's configuration with the gamma and the threshold found."""
    from synergynet_tf.data import identity

    import_tensorflow()
    from synergynet_tf.training import checkpoint

    from . import gamma_scan, report

    config = checkpoint.load(run / "best.npz").config
    cases = tuple(identity.cases_of(run, "validation", config.data.channels, require_lesions=True))
    if not cases:
        raise InputError(f"{run}/manifest.csv: no case has the split validation, by which a scan is judged; give a run that has")
    keep_apart("--project", project, [run / "best.npz"])
    make_project(project)
    with locks.held(project, "name another folder with --project"):
        scan = _scan(run, cases, project / "branches", objective)
        report.write_scan(project, gamma_scan.chosen(config, scan), objective, scan)
    print(f"gamma {scan.gamma.best:g}, threshold {scan.threshold.best:g}: {objective.name} "
          f"{max(scan.threshold.objective):.4f} on {len(cases)} validation cases; with the run's own gamma "
          f"{config.fusion.gamma:g} and threshold {config.infer.threshold:g}: {scan.gamma.at(config.fusion.gamma):.4f}\n"
          f"{project} holds best.yaml, scan.csv and gamma.png")


if __name__ == "__main__":
    sys.exit(main())
