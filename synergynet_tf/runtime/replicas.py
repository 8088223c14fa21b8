"""Where a run computes: on one device, on several of this machine, or on several machines (tf.distribute).

Every device holds a replica of the weights and takes batches of its own; what they find is summed before each update, so that the
replicas stay the same and a step is that of all the batches as one.
"""
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from synergynet_tf.structures import Batch

Strategy = Literal["one", "mirrored", "multiworker"]
T = TypeVar("T")


def all_sum(values: Any) -> Any:
    """The sum over all replicas of a structure of tensors, for each of them; for use in what `Strategy.run` runs."""
    replicas = tf.distribute.get_replica_context()
    if replicas.num_replicas_in_sync == 1:
        return values
    # A sum that `tf.gradients` makes of a weight's several gradients is on no device, which the reduction refuses.
    placed = [tf.identity(value) for value in tf.nest.flatten(values)]
    return tf.nest.pack_sequence_as(values, replicas.all_reduce(tf.distribute.ReduceOp.SUM, placed))


class Replicas:
    """The replicas of a run, and which of them this process has.

    Attributes:
        count: replicas in all.
        workers, worker: processes of the run, and this one's number among them.
        chief: whether this process writes the run's files and prints.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self._strategy = strategy or tf.distribute.get_strategy()
        resolver = self._strategy.cluster_resolver
        self.count = self._strategy.num_replicas_in_sync
        self.worker, self.workers = _place(resolver) if isinstance(
            self._strategy, tf.distribute.MultiWorkerMirroredStrategy) else (0, 1)
        self.chief = self.worker == 0
        self._here = self.count // self.workers
        self._first = self.worker * self._here      # of the replicas here

    def scope(self) -> Any:
        """A context in which variables are made for every replica, and steps that run on all of them."""
        return self._strategy.scope()

    def batches(self, dataset: Callable[[int], tf.data.Dataset]) -> Iterator[Batch]:
        """What a step takes, batch after batch, from the dataset of each replica that this process has.

        Args:
            dataset: of a replica's number, of `count`.
        """
        if self.count == 1:
            yield from dataset(0)
            return
        for batches in zip(*(dataset(self._first + i) for i in range(self._here))):
            yield Batch(*(self._spread(values) for values in zip(*batches)))

    def _spread(self, values: tuple[tf.Tensor, ...]) -> Any:
        """One value from a tensor for each replica here."""
        return self._strategy.experimental_distribute_values_from_function(
            lambda replica: values[replica.replica_id_in_sync_group - self._first])

    def first(self, value: Any) -> tf.Tensor:
        """The tensor that the first replica here gave."""
        return self._strategy.experimental_local_results(value)[0]

    def share(self, cases: Sequence[T]) -> Sequence[T]:
        """The cases that fall to this process, where each is looked at by one."""
        return cases[self.worker::self.workers]

    def gather(self, rows: np.ndarray, cases: int) -> np.ndarray:
        """The rows of all `cases`, in their order, from those that each process has of its `share`: [n, K] -> [cases, K].

        Every process must call it; none goes on before all have.
        """
        if self.workers == 1:
            return rows
        table = np.zeros((cases, *rows.shape[1:]), np.float64)
        table[self.worker::self.workers] = rows
        nothing = np.zeros_like(table)
        spread = self._spread((tf.constant(table), *(tf.constant(nothing) for _ in range(self._here - 1))))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, spread, axis=None).numpy()

    def wait(self) -> None:
        """Return when every process of the run has called it."""
        self.gather(np.zeros(1), self.workers)


def begin(kind: Strategy) -> Replicas:
    """The replicas of a run; for several machines call it before TensorFlow has done anything, and in every process.

    Args:
        kind: "one" device; "mirrored": every GPU of this machine, or where there is none every logical CPU; "multiworker": those
            of all processes that TF_CONFIG names, or else Slurm's environment.

    Raises:
        InputError: neither describes the processes.
    """
    if kind == "one":
        tf.config.list_logical_devices()        # it looks for them once, and prints that it does: here
        return Replicas()
    if kind == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return Replicas(tf.distribute.MirroredStrategy([device.name for device in devices]))
    try:
        if "TF_CONFIG" in os.environ:
            resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        elif "SLURM_PROCID" in os.environ:
            resolver = tf.distribute.cluster_resolver.SlurmClusterResolver()
        else:
            raise InputError("--strategy is multiworker, but neither TF_CONFIG nor Slurm's variables name the processes; see "
                             "docs/devices.md, or use --strategy mirrored for the devices of one machine")
        replicas = Replicas(tf.distribute.MultiWorkerMirroredStrategy(resolver))
        replicas.wait()
        return replicas
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, tf.errors.OpError) as error:
        raise InputError(f"--strategy is multiworker, but TF_CONFIG or Slurm's variables cannot be used ({error}); "
                         "see docs/devices.md") from None


def require_possible(config: Config, replicas: Replicas) -> None:
    """See that the configuration asks for nothing that several replicas cannot do.

    Raises:
        InputError: it does.
    """
    if replicas.count == 1:
        return
    for name, value, other in (("precision", "float16", "bfloat16 or float32"), ("jit_compile", True, "false")):
        if getattr(config.train, name) == value:
            raise InputError(f"train.{name} is {str(value).lower()}, but the run has {replicas.count} replicas, which cannot "
                             f"have it so: set it to {other}, or train on one device")


def _place(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> tuple[int, int]:
    """This process's number, and how many there are: the chief first, where one has that name."""
    spec = resolver.cluster_spec().as_dict()
    chiefs = len(spec.get("chief", ()))
    number = resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)
    return number, chiefs + len(spec.get("worker", ()))
