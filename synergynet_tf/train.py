"""`python -m synergynet_tf.train`: train SynergyNet on a cohort, or on phantom patients where none is named."""
import argparse
import sys
from collections.abc import Sequence

from synergynet_tf.config import arguments, command_line
from synergynet_tf.data.layouts.sources import keep_data_apart
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.startup import begin_replicas, import_tensorflow, waits_for_chief
from synergynet_tf.workflows.networks import resolve_runs

DESCRIPTION = """Train SynergyNet in the paper's four stages.

`--preset unet` or `--preset mask_rcnn`, beside another preset, trains one of the paper's baselines instead.
With --data.path the scans there are used, in any layout that `prepare --help` names. Without it, phantom patients
are made and the quickstart preset is trained: minutes on two cores. The run folder holds config.yaml, manifest.csv
(the split), best.npz, last.npz, log.jsonl, losses.png and tensorboard/.
"""


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    words = sys.argv[1:] if argv is None else list(argv)
    named = {word.split("=")[0] for word in words}
    preset = None if named & {"--data.path", "--config", "--preset", "--resume", "--init"} else "quickstart"
    config, options = command_line.parse(words, DESCRIPTION, _add_arguments, preset)
    run, replicas = options.run, None
    if options.resume:
        _refuse_settings(words)
    if options.resume or waits_for_chief(options.strategy):
        replicas = begin_replicas(options.strategy)
    else:
        keep_data_apart("--run", run, config)
    if options.resume or options.init:
        import_tensorflow(look_for_devices=options.strategy != "multiworker")
        from synergynet_tf.workflows import network_fit

        if options.resume:
            config = network_fit.configuration_of(run)
        else:
            (options.init,) = resolve_runs([options.init])
            base = network_fit.settings_to_begin_with(options.init)     # which says what is wrong with it
            if not named & {"--config", "--preset"}:
                config, _ = command_line.parse(words, DESCRIPTION, _add_arguments, base=base)
    from synergynet_tf.workflows import fitting

    fitting.train(config, run, options.resume, options.strategy, replicas, init=options.init)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=arguments.path, default="runs/synergynet",
                        help="run folder, made by this command (default: %(default)s)")
    parser.add_argument("--resume", action="store_true",
                        help="go on from the run folder's last checkpoint, with the configuration it holds")
    parser.add_argument("--init", type=arguments.path, metavar="RUN",
                        help="begin with the best weights of that run, or of the network that ships (shipped), and with its "
                        "settings unless there is a --preset or --config; train.epochs [0,0,0,N] then trains the whole network "
                        "for N epochs")
    parser.add_argument("--strategy", choices=["one", "mirrored", "multiworker"], default="one",
                        help="one device, all GPUs of this machine, or those of several processes that TF_CONFIG or Slurm "
                        "name (default: %(default)s); each takes train.batch patches a step")


def _refuse_settings(words: "Sequence[str]") -> None:
    settings = [a for a in words if a.startswith("--") and a.split("=")[0] not in ("--run", "--resume", "--strategy")]
    if settings:
        raise InputError(f"{settings[0]} is given with --resume, but a run goes on with the configuration that it began with; "
                         "leave it out, or begin another run")


if __name__ == "__main__":
    sys.exit(main())
