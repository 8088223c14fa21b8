"""Freeing the graphs that a process has traced, and the memory that tracing them took.

TensorFlow keeps the gradient function of every tf.custom_gradient in a traced graph under a unique name, for as long as the
process lives, and with it the graph: some 100 MB for each stage, which an experiment of many folds would pile up.
"""
import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tensorflow.python.framework import ops  # the registry has no public name

PREFIX = "CustomGradient-"


@contextmanager
def released() -> Iterator[None]:
    """Graphs that are traced within a `with` are freed after it, once nothing else holds them.

    A step takes its gradients when it is traced, and runs on; gradients that are not taken by then cannot be taken later.
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
