"""Run a SavedModel through TensorFlow's C API, as a script: `python -I run_c_api.py MODEL ANSWERS.npz OUT.npz GRAPH.json`.

The libraries inside TensorFlow's wheel are loaded by ctypes and TensorFlow's Python is never imported: this is the way of a
program in C++, of the model server among them. Reads the inputs in ANSWERS.npz and the signatures in GRAPH.json
(`run_python.read_graph`), writes outputs to OUT.npz, and to stdout as JSON: which operations of the graph these libraries have no
kernel for, times, memory.
"""
import ctypes
import importlib.util
import json
import pathlib
import sys
import time
from typing import Any

import numpy as np

STRING = 7
DTYPES = {1: np.float32, 3: np.int32, 4: np.uint8, 10: np.bool_}        # TF_DataType
STRING_SIZE = 24                                                        # bytes of a TF_TString
POINTERS = ("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions", "TF_LoadSessionFromSavedModel", "TF_GraphOperationByName",
            "TF_AllocateTensor", "TF_TensorData", "TF_StringGetDataPointer", "TF_GetRegisteredKernelsForOp", "TF_Message",
            "TF_Version")


class Output(ctypes.Structure):
    """TF_Output: one output of an operation."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class Buffer(ctypes.Structure):
    """TF_Buffer: bytes that the library holds."""

    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("free", ctypes.c_void_p)]


class Library:
    """The few functions of TensorFlow's C API that are needed."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("tensorflow")
        if found is None or found.origin is None:
            raise RuntimeError("TensorFlow is not installed")
        folder = pathlib.Path(found.origin).parent
        ctypes.CDLL(str(next(folder.glob("libtensorflow_framework.so.*"))), ctypes.RTLD_GLOBAL)
        self.c = ctypes.CDLL(str(next(folder.glob("libtensorflow_cc.so.*"))), ctypes.RTLD_GLOBAL)
        for name in POINTERS:
            getattr(self.c, name).restype = ctypes.c_void_p
        for name in ("TF_TensorByteSize", "TF_StringGetSize"):
            getattr(self.c, name).restype = ctypes.c_size_t
        self.c.TF_Dim.restype = ctypes.c_int64
        self.status = ctypes.c_void_p(self.c.TF_NewStatus())

    def check(self) -> None:
        """See that the last call has not failed.

        Raises:
            RuntimeError: it has; the library's message is said.
        """
        if self.c.TF_GetCode(self.status):
            raise RuntimeError(ctypes.string_at(self.c.TF_Message(self.status)).decode())

    def load(self, model: str) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
        """The session and the graph of a SavedModel."""
        graph, options = ctypes.c_void_p(self.c.TF_NewGraph()), ctypes.c_void_p(self.c.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        session = self.c.TF_LoadSessionFromSavedModel(options, None, model.encode(), tags, 1, graph, None, self.status)
        self.check()
        return ctypes.c_void_p(session), graph

    def output(self, graph: ctypes.c_void_p, tensor: str) -> Output:
        """The output of a graph by its tensor's name, as OPERATION:INDEX."""
        name, index = tensor.split(":")
        operation = self.c.TF_GraphOperationByName(graph, name.encode())
        if not operation:       # else the run would end in a segmentation fault
            raise RuntimeError(f"the graph has no operation {name}")
        return Output(operation, int(index))

    def tensor(self, value: np.ndarray | bytes) -> ctypes.c_void_p:
        """An array, or a string, as a tensor with the batch's dimension added."""
        if isinstance(value, bytes):
            made = ctypes.c_void_p(self.c.TF_AllocateTensor(STRING, (ctypes.c_int64 * 1)(1), 1, ctypes.c_size_t(STRING_SIZE)))
            place = ctypes.c_void_p(self.c.TF_TensorData(made))
            self.c.TF_StringInit(place)
            self.c.TF_StringCopy(place, value, ctypes.c_size_t(len(value)))
            return made
        code = next(code for code, dtype in DTYPES.items() if dtype == value.dtype)
        content = np.ascontiguousarray(value)       # kept by its name while its memory is copied
        shape = (ctypes.c_int64 * (value.ndim + 1))(1, *value.shape)
        made = ctypes.c_void_p(self.c.TF_AllocateTensor(code, shape, len(shape), ctypes.c_size_t(value.nbytes)))
        ctypes.memmove(self.c.TF_TensorData(made), content.ctypes.data, content.nbytes)
        return made

    def array(self, tensor: ctypes.c_void_p) -> np.ndarray:
        """A tensor's first of the batch; a string as uint8."""
        code, data = self.c.TF_TensorType(tensor), ctypes.c_void_p(self.c.TF_TensorData(tensor))
        if code == STRING:
            pointer, size = self.c.TF_StringGetDataPointer(data), self.c.TF_StringGetSize(data)
            return np.frombuffer(ctypes.string_at(pointer, size), np.uint8)
        shape = [self.c.TF_Dim(tensor, i) for i in range(self.c.TF_NumDims(tensor))]
        content = ctypes.string_at(data, self.c.TF_TensorByteSize(tensor))
        return np.frombuffer(content, DTYPES[code]).reshape(shape)[0]

    def run(self, session: ctypes.c_void_p, inputs: list[tuple[Output, ctypes.c_void_p]],
            outputs: list[Output]) -> list[np.ndarray]:
        """The outputs' values. The inputs' tensors are used up."""
        results = (ctypes.c_void_p * len(outputs))()
        self.c.TF_SessionRun(
            session, None, (Output * len(inputs))(*(place for place, _ in inputs)),
            (ctypes.c_void_p * len(inputs))(*(tensor.value for _, tensor in inputs)), len(inputs),
            (Output * len(outputs))(*outputs), results, len(outputs), None, 0, None, self.status)
        for _, tensor in inputs:
            self.c.TF_DeleteTensor(tensor)
        self.check()
        values = [self.array(ctypes.c_void_p(result)) for result in results]
        for result in results:
            self.c.TF_DeleteTensor(ctypes.c_void_p(result))
        return values

    def has_kernel(self, operation: str) -> bool:
        """Whether the library can compute an operation."""
        buffer = self.c.TF_GetRegisteredKernelsForOp(operation.encode(), self.status)
        self.check()
        return ctypes.cast(buffer, ctypes.POINTER(Buffer)).contents.length > 0


def main(model: str, answers: str, out: str, graph_file: str) -> None:
    """Run every signature once."""
    library, described = Library(), json.loads(pathlib.Path(graph_file).read_text(encoding="utf-8"))
    report: dict[str, Any] = {"without_kernel": [op for op in described["ops"] if not library.has_kernel(op)], "first": {},
                              "version": ctypes.string_at(library.c.TF_Version()).decode()}
    start = time.perf_counter()
    session, graph = library.load(model)
    report["load"] = time.perf_counter() - start
    arrays: dict[str, np.ndarray] = dict(np.load(answers))
    outputs: dict[str, Any] = {}
    for name, signature in described["signatures"].items():
        if not any(key.startswith(f"{name}/inputs/") for key in arrays):
            continue
        inputs = []
        for key, info in signature["inputs"].items():
            value = arrays[f"{name}/inputs/{key}"]
            inputs.append((library.output(graph, info["tensor"]),
                           library.tensor(value.tobytes() if info["dtype"] == STRING else value)))
        start = time.perf_counter()
        results = library.run(session, inputs, [library.output(graph, info["tensor"]) for info in signature["outputs"].values()])
        report["first"][name] = time.perf_counter() - start
        outputs |= {f"{name}/outputs/{key}": value for key, value in zip(signature["outputs"], results)}
    np.savez(out, **outputs)
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")      # getrusage counts whoever started this, too
    report["peak_gb"] = int(status.split("VmHWM:")[1].split()[0]) / 2 ** 20
    report["imported"] = sorted({name.split(".")[0] for name in sys.modules} & {"tensorflow", "keras", "synergynet_tf", "export"})
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:5])
