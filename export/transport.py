"""How a request reaches TF Serving: REST or gRPC, one class each, with the same three methods and the same errors.

What may pass by itself (no connection, a server that is starting or whose queue is full) is Unavailable and worth another try;
what will not (a model that is not there, a file that the graph refuses) is an InputError at once.
"""
import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from synergynet_tf.errors import InputError

SIGNATURE = "segment_nifti"
PASSING = (429, 500, 502, 503, 504)     # HTTP states worth another try
LOADING = ("START", "LOADING")


class Unavailable(Exception):
    """The server cannot answer now."""


class Answer(NamedTuple):
    """What the server says of a scan."""

    mask: bytes             # of an uncompressed NIfTI file
    lesions: int
    volume_ml: float


class Transport(Protocol):
    """A way to the server."""

    def segment(self, files: Mapping[str, bytes]) -> Answer:
        """Send a scan's files by channel. Raises Unavailable or InputError."""

    def states(self) -> dict[str, str]:
        """The model's versions and their states, as AVAILABLE. Raises Unavailable or InputError."""

    def channels(self) -> tuple[str, ...]:
        """The channels that the model takes. Raises Unavailable or InputError."""


class Rest:
    """JSON over HTTP, with files in base64. `url`: http://HOST:8501."""

    def __init__(self, url: str, model: str, timeout: float):
        self.url, self._model, self._timeout = url.rstrip("/"), model, timeout

    def segment(self, files: Mapping[str, bytes]) -> Answer:
        instance = {f"{channel}_bytes": {"b64": base64.b64encode(content).decode()} for channel, content in files.items()}
        answer = self._ask(":predict", {"signature_name": SIGNATURE, "instances": [instance]})["predictions"][0]
        mask = base64.b64decode(answer["mask_bytes"]["b64"])
        return Answer(mask, int(answer["lesion_count"]), float(answer["lesion_volume_ml"]))

    def states(self) -> dict[str, str]:
        return {entry["version"]: entry["state"] for entry in self._ask()["model_version_status"]}

    def channels(self) -> tuple[str, ...]:
        signatures = self._ask("/metadata")["metadata"]["signature_def"]["signature_def"]
        return _channels(signatures, lambda signature: signature["inputs"])

    def _ask(self, path: str = "", body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/v1/models/{self._model}{path}", data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            said = _message(error)
            if error.code in PASSING and "assertion failed" not in said:
                raise Unavailable(f"{self.url}: HTTP {error.code}: {said}") from None
            raise _refused(self.url, self._model, said, error.code == 404) from None
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(f"{self.url}: {reason}") from None


class Grpc:
    """Protocol buffers over HTTP/2. `url`: HOST:8500. Needs tensorflow-serving-api."""

    def __init__(self, url: str, model: str, timeout: float):
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        except ImportError:
            raise InputError("--grpc needs tensorflow-serving-api; install synergynet-tf[serving], or use REST") from None
        self.url, self._model, self._timeout = url.removeprefix("grpc://"), model, timeout
        limits = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]    # -1: a scan has megabytes
        backoff = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 2000)]
        self._error = grpc.RpcError
        channel = grpc.insecure_channel(self.url, options=limits + backoff)
        self._predict = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(channel)

    def segment(self, files: Mapping[str, bytes]) -> Answer:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self._model, SIGNATURE
        for channel, content in files.items():
            request.inputs[f"{channel}_bytes"].CopyFrom(tf.make_tensor_proto([content], tf.string))
        outputs = self._call(self._predict.Predict, request).outputs
        return Answer(outputs["mask_bytes"].string_val[0], *(tf.make_ndarray(outputs[name]).item()
                                                            for name in ("lesion_count", "lesion_volume_ml")))

    def states(self) -> dict[str, str]:
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model
        kinds = get_model_status_pb2.ModelVersionStatus.State
        return {str(entry.version): kinds.Name(entry.state)
                for entry in self._call(self._models.GetModelStatus, request).model_version_status}

    def channels(self) -> tuple[str, ...]:
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self._model
        found = get_model_metadata_pb2.SignatureDefMap()
        self._call(self._predict.GetModelMetadata, request).metadata["signature_def"].Unpack(found)
        return _channels(found.signature_def, lambda signature: signature.inputs)

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout)
        except self._error as error:
            code, said = error.code().name, error.details()
            if code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED"):
                raise Unavailable(f"{self.url}: {code}: {said}") from None
            raise _refused(self.url, self._model, f"{code}: {said}", code == "NOT_FOUND") from None


def connect(url: str, use_grpc: bool, model: str, timeout: float) -> Transport:
    """The way to a server. Raises InputError for an address that cannot be one."""
    if use_grpc:
        if url.startswith(("http://", "https://")) or ":" not in url:
            raise InputError(f"--url is {url}, but with --grpc it is HOST:PORT, as localhost:8500")
        return Grpc(url, model, timeout)
    if not url.startswith(("http://", "https://")):
        raise InputError(f"--url is {url}, but it must begin with http:// or https://, as http://localhost:8501; or add --grpc")
    return Rest(url, model, timeout)


def _channels(signatures: Any, inputs: Any) -> tuple[str, ...]:
    if SIGNATURE not in signatures:
        raise InputError(f"the model has no signature {SIGNATURE}, only {', '.join(sorted(signatures))}: is it another model?")
    return tuple(sorted(name.removesuffix("_bytes") for name in inputs(signatures[SIGNATURE])))


def _refused(url: str, model: str, said: str, absent: bool) -> Exception:
    if absent and any(state in said.upper() for state in LOADING):
        return Unavailable(f"{url}: {said}")
    if absent:
        return InputError(f"{url}: the server has no model {model} loaded ({said}); check --model and the server's models.config")
    return InputError(f"{url}: refused: {said}")


def _message(error: urllib.error.HTTPError) -> str:
    try:
        content = error.read()
        return str(json.loads(content).get("error", content))
    except (TimeoutError, ValueError, OSError, AttributeError):
        return error.reason
