"""A call in a process of its own: what it holds is given back when it ends, and when it is killed only it is lost.

A training leaves memory behind in TensorFlow, about a gigabyte with the quickstart preset, and a search trains many times.
"""
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from synergynet_tf.errors import InputError
from synergynet_tf.runtime.processes import pool
from synergynet_tf.runtime.startup import import_tensorflow


def in_own_process(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that can be pickled, and give what it returns; what it raises is raised here, with its trace as the cause.

    The process ends with this one, however that ends: nothing writes on into a folder that a later command takes up.

    Raises:
        InputError: the process is ended from outside.
    """
    with pool(1, "training", import_tensorflow) as executor:
        try:
            return executor.submit(call, *arguments).result()
        except BrokenProcessPool:
            raise InputError("the process was ended from outside, for want of memory as a rule; lower patch.size or train.batch, "
                             "or run fewer workers") from None
