"""Graphs as TensorFlow runs them, after its own rewriting."""
from collections.abc import Callable
from typing import Any

from tensorflow.python.eager import context  # the only way to see them


def run_and_see(function: Callable, *arguments: Any) -> list:
    """The GraphDefs of what one call runs."""
    context.context().enable_graph_collection()
    try:
        function(*arguments)
        metadata = context.context().export_run_metadata()
    finally:
        context.context().disable_graph_collection()
    return [part.post_optimization_graph for part in metadata.function_graphs]
