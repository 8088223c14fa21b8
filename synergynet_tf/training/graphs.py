"""Letting go of the graphs that a process has traced, and of what tracing them took.

TensorFlow keeps the gradient function of every tf.custom_gradient in a traced graph under a name of its own, for as long as the
process lives, and with it the graph: some 100 MB for each stage, which an experiment of many folds would pile up.
"""
import ctypes
import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tensorflow.python.framework import ops  # the registry has no public name

from synergynet_tf.processes import repeated

PREFIX = "CustomGradient-"
EVERY = 0.5         # seconds between two times that memory is given back


@contextmanager
def released() -> Iterator[None]:
    """Graphs that are traced within a `with` are freed after it, once nothing else holds them.

    A step takes its gradients when it is traced, and runs on; gradients that are not taken by then can not be taken any more.
    """
    before = kept()
    try:
        yield
    finally:
        release(kept() - before)


def kept() -> set[str]:
    """The names that TensorFlow keeps graphs by."""
    return {name for name in ops.gradient_registry.list() if name.startswith(PREFIX)}


def release(names: Iterable[str]) -> None:
    """Free the graphs that are kept by these names alone."""
    for name in names:
        del ops.gradient_registry._registry[name]
    gc.collect()


@contextmanager
def giving_back() -> Iterator[None]:
    """Have the C library return freed memory to the system during a `with` and at its end: a first step's.

    Of what tracing and rewriting a graph took it would keep some 100 MB, beside the maps of the step that follows at once.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None     # glibc's; others have none
    if not trim:
        yield
        return
    with repeated(lambda: trim(0), EVERY):
        yield
    trim(0)
