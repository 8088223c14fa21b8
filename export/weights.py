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
half precision, and the settings, of which those below may be others than the run's. Every --run takes the file in place of a
run's folder, and so does train --init. Of the scans that it was trained on it holds digests alone, and no path of this
machine. The range of their image quality goes beside it, as FILE_quality.json."""


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    options = _parser().parse_args(argv)
    if not options.run or len(options.run) > 1:
        raise InputError("--run must name one run, the folder that `synergynet_tf.train` has made")
    (options.run,) = options.run
    require_run(options.run, options.weights)
    if options.out.suffix != ".npz":
        raise InputError(f"--out is {options.out}, but an archive of NumPy is written: name it FILE.npz")
    source = weights_file(options.run, options.weights)
    import_tensorflow()
    from synergynet_tf.data import quality_range
    from synergynet_tf.data.identity import scans_of
    from synergynet_tf.training.checkpoint import strip

    ranges = quality_range.place(options.run)
    claim("--out", [options.out, quality_range.place(options.out)], [source, ranges])
    content = strip(source, scans_of(options.run), Changes.of(options).applied)
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
