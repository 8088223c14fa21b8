"""Requests to TF Serving by gRPC: protocol buffers over HTTP/2. Imported where tensorflow-serving-api is installed."""
import inspect
import struct
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from synergynet_tf.errors import InputError

from .address import is_known, is_loopback
from .answers import Answer, answer_of, malformed, one_line
from .http_exchange import Unavailable
from .transport import DESCRIPTION, ROOM, SIGNATURE, Transport

PASSING = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED")      # worth another try
TOO_LONG, NOT_GRPC = "message larger than max", ("HTTP/2", "http1")      # what gRPC says under these states, and no trying mends
INT32, FLOAT, STRING = 3, 1, 7                                           # TensorFlow's codes of types
OUTPUTS = {"mask_bytes": STRING, "lesion_count": INT32, "lesion_volume_ml": FLOAT, "notes": STRING}
PLACES = {INT32: ("int_val", "<i"), FLOAT: ("float_val", "<f")}          # where a tensor has its numbers: or packed, as this
# What prints fields at their default too, as TF Serving itself does in JSON; protobuf renamed it.
EVERY = {name: True for name in ("always_print_fields_with_no_presence", "including_default_value_fields")
         if name in inspect.signature(MessageToDict).parameters}


class Grpc(Transport):
    """Protocol buffers over HTTP/2."""

    def segment(self, files: Mapping[str, bytes], limit: int) -> Answer:
        """As `Transport.segment`."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self._model, SIGNATURE
        for channel, content in files.items():
            tensor = request.inputs[f"{channel}_bytes"]
            tensor.dtype = STRING
            tensor.tensor_shape.dim.add(size=1)
            tensor.string_val.append(content)
        outputs = self._call(PredictionServiceStub, "Predict", request, limit + ROOM).outputs
        parts = {name: _value(outputs[name], kind) for name, kind in OUTPUTS.items() if name in outputs}
        return answer_of(parts | {"notes": parts.get("notes", b"").decode("utf-8", "replace")})

    def _status(self) -> Any:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model
        return _as_json(self._call(ModelServiceStub, "GetModelStatus", request))

    def _metadata(self) -> Any:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self._model
        return _as_json(self._call(PredictionServiceStub, "GetModelMetadata", request))

    def _call(self, service: Any, method: str, request: Any, limit: int = DESCRIPTION) -> Any:
        """Ask over a channel of its own, since the length of an answer is bounded by channel."""
        options = {"grpc.max_send_message_length": -1, "grpc.max_receive_message_length": limit,     # -1: a scan has megabytes
                   "grpc.enable_http_proxy": int(not is_loopback(self._address.host)), "grpc.enable_retries": 0,
                   "grpc.service_config_disable_resolution": 1}
        try:
            with grpc.insecure_channel(self._address.place, options=list(options.items())) as channel:
                answer = getattr(service(channel), method)(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._refused(error.code().name, error.details() or "") from None
        except ValueError:          # a message above 2 GB
            raise InputError("the scan is larger than a request can be") from None
        self._known = True
        return answer

    def _refused(self, code: str, details: str) -> Exception:
        message = f"{code}: {one_line(details, 400)}"
        if TOO_LONG in details:
            return malformed(f"{message}; or the server takes only shorter requests")
        if "deserializing" in details:
            return malformed(message)
        if code not in PASSING:
            return self._refusal(message, code == "NOT_FOUND")
        if any(word in details for word in NOT_GRPC):
            return InputError(f"{self._address}: the answer is not gRPC ({message}); is --url the gRPC port?")
        if code == "UNAVAILABLE" and not self._known and not is_known(self._address.host):
            return InputError(f"{self._address}: no such host; is --url right?")
        return Unavailable(f"{self._address}: {message}")


def _as_json(message: Any) -> Any:
    """A message as JSON has it, by the names of the protocol's own fields. Raises InputError."""
    try:
        return MessageToDict(message, preserving_proto_field_name=True, **EVERY)
    except (DecodeError, TypeError):        # of what a message packs
        raise malformed("it packs what cannot be read") from None


def _value(tensor: Any, kind: int) -> Any:
    """The one value of a tensor of shape [1]; none other is made, whatever size it says it has. Raises InputError."""
    wide = [dim.size for dim in tensor.tensor_shape.dim]
    values = list(tensor.string_val if kind == STRING else getattr(tensor, PLACES[kind][0]))
    if kind != STRING and len(tensor.tensor_content) == 4:
        values = list(struct.unpack(PLACES[kind][1], tensor.tensor_content))
    if tensor.dtype != kind or wide not in ([1], []) or len(values) != 1:
        raise malformed(f"an output is of type {tensor.dtype} and shape {wide} with {len(values)} values, but one value of type "
                        f"{kind} is needed")
    return values[0]
