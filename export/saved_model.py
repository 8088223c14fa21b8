"""Export trained networks as a TF Serving bundle: `python -m export.saved_model --run RUN --out DIR`."""
import argparse
import contextlib
import dataclasses
import errno
import importlib.util
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from synergynet_tf.config import Config, arguments
from synergynet_tf.errors import InputError, disk_full, unwritable
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.storage.files import claim, keep_apart, make_own, npz, temporary
from synergynet_tf.workflows.networks import Changes, add_arguments, identity, load_networks, require_run

from .settings import Container, Limits

DESCRIPTION = """Export a trained network as a TF Serving bundle: one folder that is copied to the server's host."""
EPILOG = """Written are DIR/<name>/<version>/, the SavedModel with its warm-up records, model card and SHA-256 sums, under
the next free version, and beside it what a server needs: models.config, batching.config, monitoring.config,
Dockerfile, .dockerignore, compose.yaml. With several --run the exported network is their ensemble: the mean of their
probabilities.

python -m export.verify DIR checks a bundle; docs/serving.md says how it is served."""
EXTRA = "assets.extra"          # of a SavedModel: what no graph reads
REFERENCE = "reference.npz"     # there: a sample scan, and what the trained network answers to it


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    options = _parser().parse_args(argv)
    limits = Limits(options.max_side, options.max_voxels, options.max_window_voxels)
    container = Container(options.listen, options.image_digest)
    _check_arguments(options)
    claim_bundle(options.out, options.name, options.run)
    import_tensorflow()
    networks = load_networks(options.run, options.weights, Changes.of(options))
    identities = [identity(run, options.weights) for run in options.run]
    print(export_networks(networks, identities, options.out, options.name, limits, options.run, container))


def export_networks(networks: list[tuple[Any, Config]], identities: list[dict[str, str]], out: pathlib.Path, name: str,
                    limits: Limits, runs: list[pathlib.Path], container: Container | None = None) -> pathlib.Path:
    """Write the next version of a bundle.

    Args:
        networks: each model with its configuration; more than one are averaged.
        identities: what names each network (`networks.identity`), for the model card.
        out: the bundle's folder; the SavedModel becomes `out/name/VERSION`.
        name: of the model, by which the server is asked.
        limits: what a request may hold.
        runs: the networks' run folders, for the model card.
        container: how it is run; none: the defaults.

    Returns:
        The version's folder.

    Raises:
        InputError: the networks do not agree, or the folder cannot be written; nothing is left of it then.
    """
    from . import bundle
    from .container import FILES, write_server_files

    claim_bundle(out, name, runs)
    base = out / name
    make_own(base)
    with temporary(base / "version", folder=True) as room:      # a server that watches the folder reads names of digits only
        unfinished = room / "version"
        with _writing(out):
            write_saved_model(unfinished, networks, name, limits)
        bundle.write_model_card(unfinished, networks, identities, limits, runs)
        bundle.write_sums(unfinished)
        version = _publish(unfinished, base)
    write_server_files(out, name, container or Container())
    bundle.write_sums(out, FILES)
    return version


def claim_bundle(out: pathlib.Path, name: str, runs: Sequence[pathlib.Path]) -> None:
    """Refuse a bundle's folder that holds a run or lies in one, or files there that we did not write. Raises InputError."""
    from .bundle import SUMS
    from .container import FILES

    keep_apart("--out", out, [run / "config.yaml" for run in runs])
    claim("--out", [out / name, *(out / file for file in (*FILES, SUMS))])


def write_saved_model(folder: pathlib.Path, networks: list[tuple[Any, Config]], name: str, limits: Limits) -> None:
    """Write the SavedModel, its warm-up records, and the networks' own answers to a sample scan."""
    import tensorflow as tf

    from synergynet_tf.inference.predictor import Predictor

    from . import reference, sample
    from .signatures import Member, Segmenter
    from .warmup import write_warmup

    segmenter = Segmenter([Member(model, model.weights, config) for model, config in networks], limits)
    saving = tf.saved_model.SaveOptions(experimental_custom_gradients=False)       # what is served is not trained
    tf.saved_model.save(segmenter.module, str(folder), signatures=segmenter.signatures(), options=saving)
    extra = folder / EXTRA
    extra.mkdir()
    scan = sample.sample_scan(extra, networks[0][1].data.channels)
    answers = reference.answers([Predictor(model, config) for model, config in networks], scan)
    for path in scan.values():
        path.unlink()
    (extra / REFERENCE).write_bytes(npz(answers, compressed=True))
    write_warmup(extra, name, [answers, sample.brain_sized(networks[0][1].data.channels)])


@contextlib.contextmanager
def _writing(out: pathlib.Path) -> Iterator[None]:
    """Say in a line what a library could not write to a bundle."""
    import tensorflow as tf

    try:
        yield
    except OSError as error:
        raise unwritable(error.filename or out, error) from None
    except tf.errors.OpError as error:
        cause = "the disk is full" if disk_full(error.message) else error.message.strip().splitlines()[0]
        raise InputError(f"{out}: cannot be written ({cause}); make room on its disk, or name another place with --out") from None


def _check_arguments(options: argparse.Namespace) -> None:
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", options.name):
        raise InputError(f"--name is {options.name!r}, but it becomes part of an address: use letters, digits, - and _")
    for i, run in enumerate(options.run):
        require_run(run, options.weights)
        if run.resolve() in (other.resolve() for other in options.run[:i]):
            raise InputError(f"--run names {run} twice: an ensemble needs different networks; name it once")
    if importlib.util.find_spec("tensorflow_serving") is None:
        raise InputError("tensorflow-serving-api is absent, which writes the warm-up records; install synergynet-tf[serving]")


def _publish(unfinished: pathlib.Path, base: pathlib.Path) -> pathlib.Path:
    """Move the finished folder to the next free version, in one step; another export may take a number meanwhile."""
    while True:
        taken = [int(path.name) for path in base.iterdir() if path.name.isdigit()]
        version = base / str(max(taken, default=0) + 1)
        try:
            unfinished.rename(version)
        except OSError as error:        # a folder that holds something is never replaced
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return version


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
