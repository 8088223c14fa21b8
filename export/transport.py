"""How a request reaches TF Serving: by REST here or by gRPC (grpc_transport), with the same questions and the same errors.

What may pass by itself (no connection, a server whose queue is full) is Unavailable and worth another try; what will not (an
unknown host, a model that is not there, a file that the graph refuses, a malformed answer) is an InputError at once.
"""
import abc
import importlib.util
import json
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from synergynet_tf.errors import InputError
from synergynet_tf.runtime.startup import import_tensorflow

from .address import Address, is_loopback, parse
from .answers import Answer, answer_of, malformed, one_line, require
from .http_exchange import Reply, Unavailable, UnknownHost, exchange

SIGNATURE = "segment_nifti"
PASSING = (408, 429, 500, 502, 503, 504)    # HTTP states worth another try
ROOM = 2 ** 16                              # bytes of an answer beside the mask
DESCRIPTION = 2 ** 22                       # bytes of a model's state or signatures, at most


class Transport(abc.ABC):
    """A way to the server. Every question raises Unavailable where another try may help, InputError where none will."""

    def __init__(self, address: Address, model: str, timeout: float):
        self._address, self._model, self._timeout = address, model, timeout
        self._known = False     # whether the server has ever answered

    @abc.abstractmethod
    def segment(self, files: Mapping[str, bytes], limit: int) -> Answer:
        """Send a scan's files by channel; the mask's file has `limit` bytes at most."""

    @abc.abstractmethod
    def _status(self) -> Any:
        """The server's GetModelStatusResponse, as JSON has it."""

    @abc.abstractmethod
    def _metadata(self) -> Any:
        """The server's GetModelMetadataResponse, as JSON has it."""

    def states(self) -> dict[str, str]:
        """The model's versions and their states, as AVAILABLE."""
        answer = self._status()
        require(answer, {"model_version_status": list[dict]})
        for entry in answer["model_version_status"]:
            require(entry, {"version": str, "state": str})
        return {entry["version"]: entry["state"] for entry in answer["model_version_status"]}

    def channels(self) -> tuple[str, ...]:
        """The channels that the model takes, from the inputs of its signature for files."""
        answer = self._metadata()
        require(answer, {"metadata": {"signature_def": {"signature_def": dict}}})
        signatures = answer["metadata"]["signature_def"]["signature_def"]
        if SIGNATURE not in signatures:
            raise InputError(f"the model has no signature {SIGNATURE}, only {one_line(', '.join(sorted(signatures)), 200)}: "
                             "is it another model?")
        require(signatures[SIGNATURE], {"inputs": dict})
        return tuple(sorted(one_line(name.removesuffix("_bytes"), 40) for name in signatures[SIGNATURE]["inputs"]))

    def _refusal(self, message: str, absent: bool) -> InputError:
        """The error for a request that the server does not take."""
        if absent:
            return InputError(f"{self._address}: the server has no model {self._model} loaded ({message}); check --model and the "
                              "server's models.config")
        return InputError(f"{self._address}: refused: {message}")


class Rest(Transport):
    """JSON over HTTP, with files in base64."""

    def __init__(self, address: Address, model: str, timeout: float, authorization: str = ""):
        super().__init__(address, model, timeout)
        self._authorization = authorization

    def segment(self, files: Mapping[str, bytes], limit: int) -> Answer:
        """As `Transport.segment`."""
        instance = {f"{channel}_bytes": {"b64": b64encode(content).decode()} for channel, content in files.items()}
        answer = self._ask(":predict", {"signature_name": SIGNATURE, "instances": [instance]}, 4 * limit // 3 + ROOM)
        require(answer, {"predictions": list[dict]})
        if len(answer["predictions"]) != 1:
            raise malformed(f"it answers {len(answer['predictions'])} scans, but one was sent")
        row, = answer["predictions"]
        require(row, {"mask_bytes": {"b64": str}})
        try:
            mask = b64decode(row["mask_bytes"]["b64"], validate=True)
        except ValueError:
            raise malformed("'mask_bytes' is no base64") from None
        return answer_of(row | {"mask_bytes": mask})

    def _status(self) -> Any:
        return self._ask()

    def _metadata(self) -> Any:
        return self._ask("/metadata")

    def _ask(self, path: str = "", question: Any = None, limit: int = DESCRIPTION) -> Any:
        body = None if question is None else json.dumps(question).encode()
        try:
            reply = exchange(self._address, f"/v1/models/{self._model}{path}", body, self._timeout, limit, self._authorization)
        except UnknownHost as error:
            if self._known:         # a name may be gone for as long as its server starts again
                raise Unavailable(str(error)) from None
            raise
        self._known = True
        if reply.status != 200:
            raise self._refused(reply)
        if len(reply.body) > limit:
            raise malformed(f"it is longer than the {limit} bytes that it can have")
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError):
            raise malformed("it is no JSON") from None

    def _refused(self, reply: Reply) -> Exception:
        message = f"HTTP {reply.status}: {_reason(reply.body)}"
        if reply.status in PASSING and "assertion failed" not in message:
            return Unavailable(f"{self._address}: {message}")
        if 300 <= reply.status < 400:
            place = one_line(re.sub(r"[?#].*", "", re.sub(r"//[^/]*@", "//", reply.location)), 200)
            return InputError(f"{self._address}: it sends requests on to {place or 'nowhere'}, which is not followed: scans go "
                              "only where --url says; name the server itself there")
        return self._refusal(message, reply.status == 404)


def connect(url: str, use_grpc: bool, model: str, timeout: float, authorization: str = "") -> Transport:
    """The way to a server.

    Raises:
        InputError: for what can be no address or name, or a secret that would go in the clear.
    """
    address = parse(url, use_grpc)
    if not re.fullmatch(r"[\w.+-]+", model, re.ASCII):
        raise InputError(f"--model is {ascii(model)}, but it becomes part of an address: it has letters, digits, ., +, - and _")
    if authorization and address.scheme != "https" and not (address.scheme == "http" and is_loopback(address.host)):
        raise InputError(f"--authorization would go to {address} in the clear; give an address with https://")
    if use_grpc:
        if importlib.util.find_spec("tensorflow_serving") is None:
            raise InputError("--grpc needs tensorflow-serving-api; install synergynet-tf[serving], or use REST")
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")      # what fails is raised, and said once
        import_tensorflow()                                 # the protocol buffers do, with remarks
        from .grpc_transport import Grpc

        return Grpc(address, model, timeout)
    return Rest(address, model, timeout, authorization)


def _reason(body: bytes) -> str:
    """What an answer says is wrong, as one line."""
    text = body.decode("utf-8", "replace")
    try:
        text = str(json.loads(text)["error"])
    except (ValueError, RecursionError, KeyError, TypeError):
        text = re.sub(r"<[^>]*>", " ", text)        # a page, of a proxy as a rule
    return one_line(text, 400) or "no reason is given"
