"""A small server that speaks TF Serving's protocols, gRPC and REST, over a SavedModel: `python server.py MODEL NAME REST GRPC`.

It stands in for the C++ server, of which no binary can be had here: the same protos, the same addresses and the same errors, so
that the client is tested against what it will meet.
"""
import base64
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_service_pb2_grpc, predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc as prediction_grpc

VERSION = 1


class Model:
    """A SavedModel that answers one request at a time, as the bundle's batching.config asks."""

    def __init__(self, path: str, name: str):
        self.name, self._signatures, self._lock = name, tf.saved_model.load(path).signatures, threading.Lock()
        saved = saved_model_pb2.SavedModel()
        with open(f"{path}/saved_model.pb", "rb") as file:
            saved.ParseFromString(file.read())
        self.described = {name: signature for name, signature in saved.meta_graphs[0].signature_def.items()
                          if signature.method_name.endswith("predict")}

    def answer(self, signature: str, inputs: dict) -> dict:
        with self._lock:
            return {name: value.numpy() for name, value in self._signatures[signature or "serving_default"](**inputs).items()}


class Prediction(prediction_grpc.PredictionServiceServicer):
    def __init__(self, model: Model):
        self._model = model

    def Predict(self, request, context):
        _check(self._model, request, context)
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        try:
            outputs = self._model.answer(request.model_spec.signature_name, {k: tf.constant(v) for k, v in inputs.items()})
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        reply = predict_pb2.PredictResponse()
        for name, value in outputs.items():
            reply.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return reply

    def GetModelMetadata(self, request, context):
        _check(self._model, request, context)
        found, reply = get_model_metadata_pb2.SignatureDefMap(), get_model_metadata_pb2.GetModelMetadataResponse()
        for name, signature in self._model.described.items():
            found.signature_def[name].CopyFrom(signature)
        reply.metadata["signature_def"].Pack(found)
        return reply


class Status(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, model: Model):
        self._model = model

    def GetModelStatus(self, request, context):
        _check(self._model, request, context)
        reply = get_model_status_pb2.GetModelStatusResponse()
        reply.model_version_status.add(version=VERSION, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE)
        return reply


def _check(model: Model, request, context) -> None:
    if request.model_spec.name != model.name:
        context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({request.model_spec.name})")


def as_json(name: str, value):
    """An output of one scan as TF Serving writes it: text as it is, but bytes, which the name tells, in base64."""
    if name.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    return value.decode() if isinstance(value, bytes) else value.item()


def rest_handler(model: Model) -> type:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path = self._path()
            if path == "":
                self._reply(200, {"model_version_status": [{"version": str(VERSION), "state": "AVAILABLE", "status": {}}]})
            elif path == "/metadata":
                shown = {name: {"inputs": dict.fromkeys(s.inputs, {}), "outputs": dict.fromkeys(s.outputs, {})}
                         for name, s in model.described.items()}
                self._reply(200, {"metadata": {"signature_def": {"signature_def": shown}}})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self._path() != ":predict":
                return
            rows = body["instances"]
            inputs = {name: tf.constant([base64.b64decode(row[name]["b64"]) for row in rows]) for name in rows[0]}
            try:
                outputs = model.answer(body["signature_name"], inputs)
            except tf.errors.InvalidArgumentError as error:
                self._reply(400, {"error": error.message})
                return
            shown = [{name: as_json(name, value[i]) for name, value in outputs.items()} for i in range(len(rows))]
            self._reply(200, {"predictions": shown})

        def _path(self) -> str | None:
            base = f"/v1/models/{model.name}"
            if self.path.startswith(base) and self.path[len(base):] in ("", "/metadata", ":predict"):
                return self.path[len(base):]
            self._reply(404, {"error": f"Could not find any versions of model {self.path.split('/')[3]}"})
            return None

        def _reply(self, code: int, value) -> None:
            content = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    return Handler


def main(path: str, name: str, rest_port: int, grpc_port: int) -> None:
    """Serve until killed; says "ready" on stdout."""
    model = Model(path, name)
    limits = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(16), options=limits)
    prediction_grpc.add_PredictionServiceServicer_to_server(Prediction(model), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Status(model), server)
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    server.start()
    rest = ThreadingHTTPServer(("127.0.0.1", rest_port), rest_handler(model))
    print("ready", flush=True)
    rest.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
