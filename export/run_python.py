"""Run a SavedModel in a process of its own, as a script: `python -I run_python.py MODEL ANSWERS.npz OUT.npz REPEATS`.

It is no part of the package that it lies in: it imports TensorFlow and nothing of ours, so that what it shows holds where this
package is absent. Inputs are those in ANSWERS.npz (see reference.py), with the batch's dimension added; outputs go to OUT.npz,
and what was seen of imports, operations, times and memory to stdout, as JSON.
"""
import json
import pathlib
import sys
import time
from typing import Any

BARRED = ("keras", "tf_keras", "synergynet_tf", "export")
modules: dict[str, Any] = sys.modules
modules.update(dict.fromkeys(BARRED))      # importing one fails: TensorFlow itself takes Keras along where it finds it

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.core.protobuf import saved_model_pb2  # noqa: E402


def main(model: str, answers: str, out: str, repeats: int) -> None:
    """Run every signature once and `repeats` times more."""
    start = time.perf_counter()
    loaded = tf.saved_model.load(model)
    report: dict[str, Any] = {"load": time.perf_counter() - start, "first": {}, "warm": {}}
    inputs: dict[str, dict[str, tf.Tensor]] = {}
    outputs: dict[str, Any] = {}
    for key, value in np.load(answers).items():
        signature, kind, name = key.split("/")
        if kind == "inputs":
            batched = tf.constant([value.tobytes()]) if name.endswith("_bytes") else tf.constant(value[None])
            inputs.setdefault(signature, {})[name] = batched
    for signature, tensors in inputs.items():
        times = []
        for _ in range(1 + repeats):
            start = time.perf_counter()
            result = {name: value.numpy() for name, value in loaded.signatures[signature](**tensors).items()}
            times.append(time.perf_counter() - start)
        report["first"][signature] = times[0]
        report["warm"][signature] = sorted(times[1:])[(len(times) - 1) // 2] if times[1:] else None
        for name, value in result.items():
            plain = np.frombuffer(value[0], np.uint8) if value.dtype == object else value[0]
            outputs[f"{signature}/outputs/{name}"] = plain
    np.savez(out, **outputs)
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")      # getrusage counts whoever started this, too
    report["peak_gb"] = int(status.split("VmHWM:")[1].split()[0]) / 2 ** 20
    report["imported"] = sorted(name for name, module in sys.modules.items() if name.split(".")[0] in BARRED and module)
    report["tensorflow"] = tf.__version__
    report["graph"] = read_graph(model)
    print(json.dumps(report))


def read_graph(model: str) -> dict:
    """The operations of a SavedModel, and the tensors of its signatures."""
    saved = saved_model_pb2.SavedModel()
    with open(f"{model}/saved_model.pb", "rb") as file:
        saved.ParseFromString(file.read())
    graph = saved.meta_graphs[0]
    functions = {function.signature.name for function in graph.graph_def.library.function}
    nodes = [*graph.graph_def.node, *(node for function in graph.graph_def.library.function for node in function.node_def)]
    signatures = {}
    for name, signature in graph.signature_def.items():
        if signature.method_name == "tensorflow/serving/predict":
            sides = {"inputs": signature.inputs, "outputs": signature.outputs}
            signatures[name] = {kind: {key: {"tensor": info.name, "dtype": info.dtype} for key, info in side.items()}
                                for kind, side in sides.items()}
    return {"ops": sorted({node.op for node in nodes} - functions), "nodes": len(nodes), "signatures": signatures}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
