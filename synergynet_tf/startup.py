"""Starting TensorFlow from a command, without its remarks about the machine."""
import contextlib
import os
from collections.abc import Iterator


def import_tensorflow() -> None:
    """Import TensorFlow and let it look for devices, in silence; errors are raised as ever.

    TensorFlow 2.21 writes some of its start-up lines past its own log level, and a command's stderr is for its own errors.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _stderr_closed():
        import tensorflow as tf

        tf.config.list_logical_devices()


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    """Send file descriptor 2 to nowhere: the lines come from C++, past sys.stderr."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
