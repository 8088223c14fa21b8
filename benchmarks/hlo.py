"""A function compiled by XLA, carried from a machine with TensorFlow to one that has an accelerator and JAX.

`export` writes the function as XLA's own program (HLO) with the values of the variables that it reads and writes; `Program` runs
it, and keeps the variables on the device from call to call. So the very program that a TensorFlow with that accelerator would
compile is measured where there is none.
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

    compiled = function.experimental_get_compiler_ir(*inputs)
    place = {id(_plain(variable).handle): number for number, variable in enumerate(variables)}
    captured = function.get_concrete_function(*inputs).captured_inputs
    slots = [place.get(id(tensor), -1) for tensor in captured]      # -1: a constant
    constants = {f"constant_{k}": tensor for k, tensor in enumerate(captured) if slots[k] < 0}
    if any(tensor.dtype == tf.resource for tensor in constants.values()):
        raise ValueError(f"{path.name}: the function reads a variable that is not among those given")
    own = len(tf.nest.flatten(inputs))
    header = compiled(stage="hlo").split("entry_computation_layout", 1)[0]
    writes = [(int(output), slots[int(given) - own]) for output, given in re.findall(r"\{(\d+)\}: \((\d+)", header)]
    np.savez_compressed(path, hlo=np.frombuffer(compiled(stage="hlo_serialized"), np.uint8), slots=slots,
                        writes=np.reshape(writes, (-1, 2)), **{name: tensor.numpy() for name, tensor in constants.items()})


def save_variables(variables: Sequence[Any], path: Path) -> None:
    """Write the values by name: of several functions once, where they have these or the first of these in common."""
    named = {f"{number} {variable.path}": _plain(variable).numpy() for number, variable in enumerate(variables)}
    np.savez_compressed(path, **named)


class Program:
    """An exported function on JAX's first device, and its variables as `save_variables` wrote them."""

    def __init__(self, path: Path, variables: Path):
        import jax
        from jax.extend import backend

        jax.config.update("jax_enable_x64", True)       # TensorFlow counts steps in int64
        from jax._src.lib import xla_client             # the public names take functions of JAX only

        with np.load(path) as file:
            saved = {name: file[name] for name in file.files}
        with np.load(variables) as file:
            self._variables = [jax.device_put(value) for value in file.values()]
        computation = xla_client.XlaComputation(saved["hlo"].tobytes())
        module = xla_client._xla.mlir.xla_computation_to_mlir_module(computation)
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


def _plain(variable: Any) -> Any:
    """The tf.Variable behind a Keras 3 variable, or the variable itself."""
    return getattr(variable, "_value", variable)
