"""Warm-up records: requests that TF Serving answers itself before it takes any from outside.

The first call of a signature has its graph optimised, which takes seconds; a small scan is enough for that. One scan as large as
a brain has the memory ready that a whole scan needs.
"""
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

FILE = "tf_serving_warmup_requests"     # in assets.extra, where the server looks for it


def write_warmup(folder: pathlib.Path, model: str, groups: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Write a PredictionLog record for each signature in each of `groups`, with the inputs there (see reference.py)."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2  # the command says before where it is absent

    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for group, signature in [(g, name) for g in groups for name in sorted({key.split("/")[0] for key in g})]:
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = model, signature
            for key, value in group.items():
                name, kind, argument = key.split("/")
                if (name, kind) == (signature, "inputs"):
                    content = [value.tobytes()] if argument.endswith("_bytes") else value[None]
                    request.inputs[argument].CopyFrom(tf.make_tensor_proto(content))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
