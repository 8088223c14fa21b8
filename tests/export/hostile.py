"""Servers that answer as a test bids them, well or badly, by REST and by gRPC; light, in threads of the test's own process."""
import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cc3d
import nibabel as nib
import numpy as np

SHAPE = (6, 5, 4)
AFFINE = np.array([[0, -1.1, 0, 3], [1, 0, 0, -7.5], [0, 0, 1.2, 20], [0, 0, 0, 1.0]])
AVAILABLE = {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {}}]}


def scan(brightness: int = 100) -> bytes:
    """The file of a small scan; its brightness tells one from another."""
    return nib.Nifti1Image(np.full(SHAPE, brightness, np.int16), AFFINE).to_bytes()


def mask(shape: tuple[int, ...] = SHAPE, affine: np.ndarray = AFFINE, value: int = 1, dtype: str = "<u1",
         kind: type = nib.Nifti1Image, **header: Any) -> bytes:
    """The file of its mask, with two lesions of 3 and 1 voxels, or of what passes for one."""
    values = np.zeros(shape, dtype)
    values.flat[[0, 1, 2, -1]] = value
    image = kind(values, affine)
    image.header.set_slope_inter(1, 0)
    content = bytearray(image.to_bytes())
    raw = np.frombuffer(content[:348], image.header.template_dtype if kind is nib.Nifti1Image else np.uint8).copy()
    for name, number in header.items():
        raw[name] = number
    return raw.tobytes() + bytes(content[348:])


def outputs() -> dict[str, Any]:
    """What a sound server answers to the scan."""
    volume = 4 * 1.1 * 1.2 / 1000
    count = cc3d.connected_components(nib.Nifti1Image.from_bytes(mask()).get_fdata() > 0, connectivity=18, return_N=True)[1]
    assert count == 2
    return {"mask_bytes": mask(), "lesion_count": count, "lesion_volume_ml": float(np.float32(volume))}


def as_json(answer: dict[str, Any]) -> Any:
    """Outputs as REST has them."""
    shown = {name: {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
             for name, value in answer.items()}
    return {"predictions": [shown]}


def http(body: Any, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole answer: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{headers}\r\n".encode() + content


def dripping(content: bytes, seconds: float = 0.05) -> Iterator[bytes]:
    """Its bytes, one after the other."""
    for i in range(len(content)):
        yield content[i:i + 1]
        time.sleep(seconds)


class Rest:
    """An HTTP server.

    `answer` is given each POST's file and gives what is sent: bytes, or a row of them; `state`, or what it gives, answers GET;
    `hasty` is sent to a POST before its body is read, and ends it.
    """

    def __init__(self, answer: Callable[[bytes], bytes | Iterable[bytes]], wrap: Callable[[socket.socket], Any] = lambda s: s,
                 hasty: bytes = b""):
        self.answer, self.state, self._wrap, self._hasty = answer, http(AVAILABLE), wrap, hasty
        self.requests: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._talk, args=(self._listening.accept()[0],), daemon=True).start()

    def _talk(self, wire: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), self._wrap(wire) as wire, wire.makefile("rb") as lines:
            first = lines.readline()
            fields = dict(line.decode().lower().split(": ", 1) for line in iter(lines.readline, b"\r\n"))
            if self._hasty and "content-length" in fields:
                wire.sendall(self._hasty)
                return
            body = lines.read(int(fields.get("content-length", 0)))
            self.requests.append(first.decode() + "".join(f"{name}: {value}" for name, value in fields.items()))
            reply = self.answer(base64.b64decode(json.loads(body)["instances"][0]["flair_bytes"]["b64"])) if body else \
                self.state() if callable(self.state) else self.state
            for part in [reply] if isinstance(reply, bytes) else reply:
                wire.sendall(part)


class Grpc:
    """A gRPC server. `answer` is given each scan's file and gives the message's bytes, or is called with the context to abort."""

    def __init__(self, answer: Callable[[bytes, Any], bytes]):
        import grpc
        from tensorflow_serving.apis import get_model_status_pb2, predict_pb2

        status = get_model_status_pb2.GetModelStatusResponse()
        status.model_version_status.add(version=1, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE)
        self.answer, self.state, self.requests = answer, status.SerializeToString(), []

        class Handler(grpc.GenericRpcHandler):
            def service(_, details: Any) -> Any:        # noqa: N805, `self` is the server's
                def talk(request: bytes, context: Any) -> bytes:
                    if details.method.endswith("GetModelStatus"):
                        return self.state
                    self.requests.append(details.method)
                    inputs = predict_pb2.PredictRequest.FromString(request).inputs
                    return self.answer(inputs["flair_bytes"].string_val[0], context)

                return grpc.unary_unary_rpc_method_handler(talk)

        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1)])
        self._server.add_generic_rpc_handlers((Handler(),))
        self.url = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(0)


def as_message(answer: dict[str, Any]) -> Any:
    """Outputs as gRPC has them."""
    from tensorflow_serving.apis import predict_pb2

    message = predict_pb2.PredictResponse()
    places = {"mask_bytes": (7, "string_val"), "lesion_count": (3, "int_val"), "lesion_volume_ml": (1, "float_val"),
              "notes": (7, "string_val")}
    for name, value in answer.items():
        code, place = places[name]
        tensor = message.outputs[name]
        tensor.dtype = code
        tensor.tensor_shape.dim.add(size=1)
        getattr(tensor, place).append(value.encode() if isinstance(value, str) else value)
    return message
