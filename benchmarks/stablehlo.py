"""A function compiled by XLA, carried from a machine with TensorFlow to one that has an accelerator and JAX.

`export` writes the function as a program for XLA (StableHLO); `Program` runs it, and keeps its variables on the device from call
to call. So the very program that a TensorFlow with that accelerator would compile is measured where there is none.
"""
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def export(function: Any, inputs: Sequence[Any], variables: Sequence[Any], path: Path) -> None:
    """Write a tf.function(jit_compile=True) for inputs (tensors, nested or not) of these shapes.

    Args:
        variables: Keras' or TensorFlow's, all that the function reads or writes; their values are left to `save_variables`.

    Raises:
        ValueError: it reads another.
    """
    import tensorflow as tf

    from synergynet_tf.training.determinism import tensor_variable

    compiled = function.experimental_get_compiler_ir(*inputs)
    place = {id(tensor_variable(variable).handle): number for number, variable in enumerate(variables)}
    captured = function.get_concrete_function(*inputs).captured_inputs
    slots = [place.get(id(tensor), -1) for tensor in captured]      # -1: a constant
    constants = {f"constant_{k}": tensor for k, tensor in enumerate(captured) if slots[k] < 0}
    if any(tensor.dtype == tf.resource for tensor in constants.values()):
        raise ValueError(f"{path.name}: the function reads a variable that is not among those given")
    own = len(tf.nest.flatten(inputs))
    header = compiled(stage="hlo").split("entry_computation_layout", 1)[0]
    writes = [(int(output), slots[int(given) - own]) for output, given in re.findall(r"\{(\d+)\}: \((\d+)", header)]
    np.savez_compressed(path, program=np.frombuffer(compiled(stage="stablehlo_serialized"), np.uint8), slots=slots,
                        writes=np.reshape(writes, (-1, 2)), **{name: tensor.numpy() for name, tensor in constants.items()})


def save_variables(variables: Sequence[Any], path: Path) -> None:
    """Write the values by name: of several functions once, where they have these or the first of these in common."""
    np.savez_compressed(path, **{f"{number} {variable.path}": np.asarray(variable) for number, variable in enumerate(variables)})


class Program:
    """An exported function on JAX's first device, and its variables as `save_variables` wrote them."""

    def __init__(self, path: Path, variables: Path):
        import jax
        from jax.extend import backend

        jax.config.update("jax_enable_x64", True)       # TensorFlow counts steps in int64
        from jax._src.interpreters import mlir  # the public names take functions of JAX only
        from jax._src.lib import xla_client

        with np.load(path) as file:
            saved = {name: file[name] for name in file.files}
        with np.load(variables) as file:
            self._variables = [jax.device_put(value) for value in file.values()]
        with mlir.make_ir_context():
            module = xla_client._xla.mlir.deserialize_portable_artifact(saved["program"].tobytes())
            _without_copies(module.operation)
        devices = xla_client.DeviceList(tuple(jax.local_devices()[:1]))
        self._run = backend.get_backend().compile_and_load(module, devices, xla_client.CompileOptions())
        self._put, self._slots, self._writes = jax.device_put, saved["slots"].tolist(), dict(saved["writes"].tolist())
        self._constants = {k: jax.device_put(saved[f"constant_{k}"]) for k, slot in enumerate(self._slots) if slot < 0}

    def __call__(self, *inputs: np.ndarray) -> list[Any]:
        """The function's results, on the device."""
        state = [self._constants[k] if slot < 0 else self._variables[slot] for k, slot in enumerate(self._slots)]
        outputs = self._run.execute([*map(self._put, inputs), *state])
        for output, slot in self._writes.items():
            self._variables[slot] = outputs[output]
        return [value for number, value in enumerate(outputs) if number not in self._writes]


def _without_copies(operation: Any) -> None:
    """Copies are of a dialect that no accelerator's compiler in JAX takes; a value may as well stand for its own copy."""
    for block in (block for region in operation.regions for block in region.blocks):
        for inner in list(block.operations):
            _without_copies(inner.operation)
            if inner.operation.name == "mhlo.copy":
                inner.operation.results[0].replace_all_uses_with(inner.operation.operands[0])
                inner.operation.erase()
