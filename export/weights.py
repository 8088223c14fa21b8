"""Write a trained network as one small file: `python -m export.weights --run RUN --out FILE.npz`."""
import argparse
import sys

from synergynet_tf.config import arguments
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.storage.files import claim, replace_file
from synergynet_tf.training.run_files import weights_file
from synergynet_tf.workflows.networks import Changes, add_arguments, require_run

DESCRIPTION = """Write a trained network as one file, a tenth of its checkpoint: the weights that predictions are made with, in
half precision, and the settings, of which those below may be others than the run's. Every --run, and train --init, takes the
file in place of a run's folder. Of the scans that it was trained on it holds digests alone, and no path. The range of their
quality goes beside it, as FILE_quality.json. Of several runs, each begun with the one before (train --init), it is the mean
of their weights, with the settings and ranges of the last."""


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    options = _parser().parse_args(argv)
    if not options.run:
        raise InputError("--run is absent; name the folder that `synergynet_tf.train` has made")
    for run in options.run:
        require_run(run, options.weights)
    if options.out.suffix != ".npz":
        raise InputError(f"--out is {options.out}, but an archive of NumPy is written: name it FILE.npz")
    files = [weights_file(run, options.weights) for run in options.run]
    import_tensorflow()
    from synergynet_tf.data import quality_range
    from synergynet_tf.data.identity import scans_of
    from synergynet_tf.training.checkpoint import strip

    ranges = quality_range.place(options.run[-1])
    claim("--out", [options.out, quality_range.place(options.out)], [*files, ranges])
    content = strip(files, {scan for run in options.run for scan in scans_of(run)}, Changes.of(options).applied)
    replace_file(options.out, content)
    if ranges.is_file():
        replace_file(quality_range.place(options.out), ranges.read_bytes())
    print(f"{options.out}: {len(content) / 1e6:.1f} MB")


def _parser() -> argparse.ArgumentParser:
    parser = arguments.Parser(prog="python -m export.weights", description=DESCRIPTION)
    add_arguments(parser)
    parser.add_argument("--out", type=arguments.path, required=True, metavar="FILE.npz", help="the file to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
