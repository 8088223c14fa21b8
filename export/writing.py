"""Writing a bundle: the SavedModel, its warm-up records, model card and sums, and what a server needs beside them."""
import contextlib
import errno
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError, disk_full, unwritable
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.storage.files import make_own, npz, temporary

from . import reference, sample
from .bundle import EXTRA, FILES, REFERENCE, claim_bundle, write_sums
from .container import write_server_files
from .model_card import write_model_card
from .settings import Container, Limits
from .signatures import Member, Segmenter
from .warmup import write_warmup


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
    claim_bundle(out, name, runs)
    base = out / name
    make_own(base)
    with temporary(base / "version", folder=True) as room:      # a server that watches the folder reads names of digits only
        unfinished = room / "version"
        with _writing(out):
            write_saved_model(unfinished, networks, name, limits)
        write_model_card(unfinished, networks, identities, limits, runs)
        write_sums(unfinished)
        version = _publish(unfinished, base)
    write_server_files(out, name, container or Container())
    write_sums(out, FILES)
    return version


def write_saved_model(folder: pathlib.Path, networks: list[tuple[Any, Config]], name: str, limits: Limits) -> None:
    """Write the SavedModel, its warm-up records, and the networks' own answers to a sample scan."""
    segmenter = Segmenter([Member(network, network.weights, settings) for network, settings in networks], limits)
    saving = tf.saved_model.SaveOptions(experimental_custom_gradients=False)       # what is served is not trained
    tf.saved_model.save(segmenter.module, str(folder), signatures=segmenter.signatures(), options=saving)
    extra = folder / EXTRA
    extra.mkdir()
    (model, config), *others = networks
    scan = sample.sample_scan(extra, config.data.channels)
    answers = reference.answers(Predictor(model, config, others=others), scan)
    for path in scan.values():
        path.unlink()
    (extra / REFERENCE).write_bytes(npz(answers, compressed=True))
    write_warmup(extra, name, [answers, sample.brain_sized(config.data.channels)])


@contextlib.contextmanager
def _writing(out: pathlib.Path) -> Iterator[None]:
    """Say in a line what a library could not write to a bundle."""
    try:
        yield
    except OSError as error:
        raise unwritable(error.filename or out, error) from None
    except tf.errors.OpError as error:
        cause = "the disk is full" if disk_full(error.message) else error.message.strip().splitlines()[0]
        raise InputError(f"{out}: cannot be written ({cause}); make room on its disk, or name another place with --out") from None


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
