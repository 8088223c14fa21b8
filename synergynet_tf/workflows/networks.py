"""Trained networks as commands take them: one run or several as one, with settings that the command line changes."""
import argparse
import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from synergynet_tf import __version__
from synergynet_tf.config import arguments
from synergynet_tf.errors import InputError
from synergynet_tf.training.run_files import weights_file

if TYPE_CHECKING:
    from synergynet_tf.config import Config
    from synergynet_tf.training.checkpoint import Checkpoint

    Stored = tuple[Checkpoint, Config]

SHIPPED_NAME = "shipped"
SHIPPED = pathlib.Path(__file__).parents[1] / "weights/flair.npz"       # the network that comes with the package


@dataclasses.dataclass(frozen=True)
class Changes:
    """What the command line sets otherwise than the run; None keeps the run's."""

    coverage: str | None = None
    gamma: float | None = None
    threshold: float | None = None
    mirror: bool | None = None
    min_lesion: float | None = None     # mm3
    min_peak: float | None = None
    split_confluent: bool | None = None

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Changes":
        """Those that arguments of `add_arguments` hold."""
        return cls(**{field.name: getattr(options, field.name) for field in dataclasses.fields(cls)})

    def applied(self, config: "Config") -> "Config":
        """A run's configuration with the changes.

        Raises:
            InputError: one is out of range.
        """
        infer = {name: value for name, value in dataclasses.asdict(self).items() if name != "gamma" and value is not None}
        fusion = {} if self.gamma is None else {"gamma": self.gamma}
        return dataclasses.replace(config, infer=dataclasses.replace(config.infer, **infer),
                                   fusion=dataclasses.replace(config.fusion, **fusion))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --run, --weights and what `Changes` holds to a command."""
    parser.add_argument("--run", type=arguments.path, action="append",
                        help="run folder that `synergynet_tf.train` has made; several times for an ensemble: the mean of their "
                             "probabilities (default: shipped, the network that comes with this package, see docs/network.md)")
    parser.add_argument("--weights", choices=("best", "last"), default="best",
                        help="the checkpoint with the best validation score, or the last one (default: best)")
    parser.add_argument("--coverage", choices=("whole", "windows", "centre"),
                        help="the whole brain at once, in overlapping windows (less memory), or the paper's centre crop alone "
                             "(default: the run's)")
    parser.add_argument("--gamma", type=arguments.share,
                        help="weight of the local branch in the fusion, 0 to 1 (default: the run's)")
    parser.add_argument("--threshold", type=arguments.probability,
                        help="a voxel is lesion above this probability (default: the run's)")
    parser.add_argument("--mirror", action=argparse.BooleanOptionalAction,
                        help="also look at the scan mirrored left-right, and average: takes twice as long (default: the run's)")
    parser.add_argument("--min-lesion", type=arguments.volume, metavar="MM3",
                        help="drop predicted lesions of less than this volume (default: the run's)")
    parser.add_argument("--min-peak", type=arguments.share, metavar="P",
                        help="drop predicted lesions whose highest probability is lower (default: the run's)")
    parser.add_argument("--split-confluent", action="store_true", default=None,
                        help="also count the lesions that a confluent one, reaching several regions, has grown from "
                             "(see docs/places.md); the mask stays as it is")


def resolve_runs(runs: Sequence[str | pathlib.Path] | None) -> list[pathlib.Path]:
    """The runs that are named, `shipped` being the network that comes with this package, which is meant where none is named.

    Raises:
        InputError: it is meant, and this package has none.
    """
    named = [SHIPPED if str(run) == SHIPPED_NAME else pathlib.Path(run) for run in runs or [SHIPPED_NAME]]
    if SHIPPED in named and not SHIPPED.is_file():
        raise InputError("no network comes with this copy of the package; name a run with --run")
    return named


def require_run(run: pathlib.Path, weights: str) -> None:
    """See that a run's folder holds these weights, or that the file of weights is there.

    Raises:
        InputError: it does not, or is not.
    """
    if not weights_file(run, weights).is_file():
        raise InputError(f"{run}: holds no {weights}.npz; name the folder of a run that `python -m synergynet_tf.train` has "
                         "made, or choose other --weights")


def read_networks(runs: Sequence[pathlib.Path], weights: str, changes: Changes) -> "list[Stored]":
    """Each run's checkpoint, of which no network is made yet, and its changed configuration. It takes no TensorFlow.

    Raises:
        InputError: as `checkpoint.load` and `Changes.applied`.
    """
    from synergynet_tf.training import checkpoint

    read = (checkpoint.load(weights_file(run, weights)) for run in runs)
    return [(stored, changes.applied(stored.config)) for stored in read]


def load_networks(runs: Sequence[pathlib.Path], weights: str, changes: Changes) -> "list[tuple[Any, Config]]":
    """Each run's network and its changed configuration.

    Raises:
        InputError: as `read_networks`.
    """
    return [(stored.network(), config) for stored, config in read_networks(runs, weights, changes)]


def identity(run: pathlib.Path, weights: str) -> dict[str, str]:
    """What identifies a network: its run, which weights, and the SHA-256 of the checkpoint file."""
    content = weights_file(run, weights).read_bytes()
    name = f"{run.stem}, shipped with synergynet-tf {__version__}" if run == SHIPPED else run.resolve().name
    return {"run": name, "weights": weights, "sha256": hashlib.sha256(content).hexdigest()}


def joint_identity(runs: Sequence[pathlib.Path], weights: str) -> dict[str, str]:
    """The same of several networks that answer as one: their names and sums in a row."""
    each = [identity(run, weights) for run in runs]
    run, digest = (", ".join(member[name] for member in each) for name in ("run", "sha256"))
    return {"run": run, "weights": weights, "sha256": digest}
