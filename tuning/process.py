"""A call in a process of its own: what it holds is given back when it ends, and when it is killed only it is lost.

A training leaves memory behind in TensorFlow, about a gigabyte with the quickstart preset, and a search trains many times.
"""
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from synergynet_tf.errors import InputError
from synergynet_tf.startup import import_tensorflow

LOOK_S = 0.5        # between two looks whether the parent still lives


def in_own_process(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that can be pickled, and give what it returns; what it raises is raised here, with its trace as the cause.

    The process ends with this one, however that ends: nothing writes on into a folder that a later command takes up.
    Raises InputError where the process is ended from outside.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)) as pool:
        try:
            return pool.submit(call, *arguments).result()
        except BrokenProcessPool:
            raise InputError("the process was ended from outside, for want of memory as a rule; lower patch.size or train.batch, "
                             "or run fewer workers") from None


def _begin(parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import_tensorflow()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)
