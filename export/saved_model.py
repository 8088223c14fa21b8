"""Export trained networks as a TF Serving bundle: `python -m export.saved_model --run RUN --out DIR`."""
import argparse
import dataclasses
import importlib.util
import re
import sys

from synergynet_tf.config import arguments
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.workflows.networks import Changes, add_arguments, identity, load_networks, require_run, resolve_runs

from .bundle import claim_bundle
from .settings import Container, Limits

DESCRIPTION = """Export a trained network as a TF Serving bundle: one folder that is copied to the server's host."""
EPILOG = """Written are DIR/<name>/<version>/, the SavedModel with its warm-up records, model card and SHA-256 sums, under
the next free version, and beside it what a server needs: models.config, batching.config, monitoring.config,
Dockerfile, .dockerignore, compose.yaml. With several --run the exported network is their ensemble: the mean of their
probabilities.

python -m export.verify DIR checks a bundle; docs/serving.md says how it is served."""


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    options = _parser().parse_args(argv)
    options.run = resolve_runs(options.run)
    limits = Limits(options.max_side, options.max_voxels, options.max_window_voxels)
    container = Container(options.listen, options.image_digest)
    _check_arguments(options)
    claim_bundle(options.out, options.name, options.run)
    import_tensorflow()
    from .writing import export_networks

    networks = load_networks(options.run, options.weights, Changes.of(options))
    identities = [identity(run, options.weights) for run in options.run]
    print(export_networks(networks, identities, options.out, options.name, limits, options.run, container))


def _check_arguments(options: argparse.Namespace) -> None:
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", options.name):
        raise InputError(f"--name is {options.name!r}, but it becomes part of an address: use letters, digits, - and _")
    for i, run in enumerate(options.run):
        require_run(run, options.weights)
        if run.resolve() in (other.resolve() for other in options.run[:i]):
            raise InputError(f"--run names {run} twice: an ensemble needs different networks; name it once")
    if importlib.util.find_spec("tensorflow_serving") is None:
        raise InputError("tensorflow-serving-api is absent, which writes the warm-up records; install synergynet-tf[serving]")


def _parser() -> argparse.ArgumentParser:
    parser = arguments.Parser(prog="python -m export.saved_model", description=DESCRIPTION, epilog=EPILOG,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=arguments.path, required=True, metavar="DIR", help="folder of the bundle; made if absent")
    parser.add_argument("--name", default="synergynet", help="the model's name on the server (default: %(default)s)")
    add_arguments(parser)
    for field, what in zip(dataclasses.fields(Limits), (
            "longest side of a scan, voxels", "most voxels of a scan",
            "a brain box of more voxels is seen in windows of infer.window, not in one pass: less memory")):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=field.default, metavar="N",
                            help=f"{what} (default: %(default)s)")
    parser.add_argument("--listen", default=Container.listen, metavar="ADDRESS",
                        help="where the container's ports are open: 127.0.0.1 for the server's machine alone; 0.0.0.0 for every "
                             "machine that reaches it, none of which is asked who it is (default: %(default)s)")
    parser.add_argument("--image-digest", metavar="sha256:HEX",
                        help="the image of tensorflow/serving to run, exactly (default: by the tag of this TensorFlow)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
