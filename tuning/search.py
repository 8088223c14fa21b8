"""`python -m tuning.search`: find gamma and the loss weights on the validation cases of a cohort, or of phantom patients."""
import sys
from typing import Any

from synergynet_tf.config import Config, arguments, command_line
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.workflows.networks import SHIPPED_NAME

from . import parallel
from .objective import OBJECTIVES, Objective, Weights
from .settings import OWN, Settings
from .space import Space

SMALL = ("--preset", "quickstart", "--phantoms.patients", "10", "--train.epochs", "[3,3,4,2]", "--train.steps_per_epoch", "40",
         "--train.validate_every", "2", "--max-trials", "4", "--warm-start")
DESCRIPTION = f"""Search gamma and the loss weights with Keras Tuner, on the validation cases of a cohort.

With --data.path the scans there are used. Without it, phantom patients are made; and without any preset, --config or
data a small search runs, minutes on two cores: {' '.join(SMALL)}.
The project folder holds best.yaml, which `python -m synergynet_tf.train --config` takes as it is, summary.md, its
figures, and a run folder for each trial. The same command again goes on where a search was stopped.

With --gamma-scan RUN nothing is trained: gamma 0, 0.01 ... 1, then the threshold, are tried on a trained run. With --data.path
they are chosen on your own scans.

In parallel: the same command in every process, each with {parallel.ADDRESS} and {parallel.PORT}, and with
{parallel.NAME} chief in one and worker0, worker1 ... in the others. They share the project folder.
"""


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
            if name not in ("--gamma-scan", "--project", "--objective") and not name.startswith(("--weights", "--data.")):
                raise InputError(f"{name} is given with --gamma-scan, but a scan takes the run's own configuration; leave it out")
    else:
        _check(config, options.space, options.warm_start)
    settings = Settings(options.oracle, options.max_trials, objective, options.silence)
    import_tensorflow()
    from . import searching

    if options.gamma_scan:
        searching.scan_run(options.gamma_scan, options.project, objective, config.data)
    else:
        searching.search(config, options, settings)


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
    parser.add_argument("--gamma-scan", nargs="?", const=SHIPPED_NAME, type=arguments.path, metavar="RUN",
                        help="train nothing; scan gamma and the threshold of a trained run on its own validation cases, or on "
                        "those that --data.path names (without RUN: of the network that comes with this package)")
    parser.add_argument("--silence", type=arguments.number(0, 1e9, inner=True), default=default.silence,
                        help="seconds after which the chief gives a trial to "
                        "another worker where its own is not heard (default: %(default)s)")


def _warm(text: str) -> str:
    """What --warm-start is given: a run, with the user's home in place of ~."""
    return text if text == OWN else str(arguments.path(text))


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


if __name__ == "__main__":
    sys.exit(main())
