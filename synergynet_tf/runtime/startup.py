"""Starting TensorFlow from a command, without its remarks about the machine."""
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import synergynet_tf
from synergynet_tf.errors import InputError

if TYPE_CHECKING:
    from synergynet_tf.runtime.replicas import Replicas, Strategy

# Keras imports them where they are, for parts of it that nothing here uses: a third of the start, a sixth of its memory.
_FOR_KERAS_ALONE = ("PIL", "h5py", "matplotlib", "pandas", "sklearn")


def import_tensorflow(look_for_devices: bool = True) -> None:
    """Import TensorFlow and let it look for devices, without its messages; errors are raised as usual.

    Args:
        look_for_devices: no, where a strategy of several processes is still to begin, which must come first.
    """
    with _silence(), _lean():
        import tensorflow as tf

        if look_for_devices:
            tf.config.list_logical_devices()


def begin_replicas(strategy: "Strategy") -> "Replicas":
    """Import TensorFlow and begin a strategy (replicas.begin), as silently."""
    with _silence(), _lean():
        from synergynet_tf.runtime.replicas import begin

        return begin(strategy)


def require_keras() -> None:
    """See that Keras has the settings that the networks are made for; who imported it first may have set others.

    Raises:
        InputError: it has not.
    """
    import keras

    settings = {"backend": keras.backend.backend(), "floatx": keras.backend.floatx(), "epsilon": keras.backend.epsilon(),
             "image_data_format": keras.backend.image_data_format()}
    for name, needed in (synergynet_tf.KERAS | {"backend": "tensorflow"}).items():
        if settings[name] != needed:
            raise InputError(f"Keras has {name} {settings[name]}, but {needed} is needed here: import synergynet_tf before "
                             "keras, or set it so (KERAS_BACKEND, ~/.keras/keras.json)")


def waits_for_chief(strategy: str) -> bool:
    """Whether this process is one of several of a run and not the one that prepares it; it needs no TensorFlow to say so.

    Of processes without the name of a chief the first worker is it.
    """
    if strategy != "multiworker":
        return False
    try:
        task = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {})
        return task.get("type", "worker") != "chief" and int(task.get("index", os.environ.get("SLURM_PROCID", 0))) > 0
    except (ValueError, AttributeError, TypeError):
        return False        # what is wrong with it is said where it is used


@contextlib.contextmanager
def _lean() -> Iterator[None]:
    """Hide from an import the modules that Keras would import too; they can be imported afterwards as usual."""
    hidden = [name for name in _FOR_KERAS_ALONE if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(hidden))       # None there makes an import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Send file descriptor 2 to nowhere.

    TensorFlow 2.21 writes some of its start-up lines from C++, past sys.stderr and its own log level, and a command's stderr is
    for its own errors. Its later lines are kept back by its log level: what fails is raised in Python too.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
