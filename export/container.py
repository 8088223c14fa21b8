"""What a server needs beside the models: its settings, and a container that may do no more than serve.

The container runs as nobody, on a root file system that cannot be written, without capabilities, and with bounds on memory and on
processes. Its ports are open to this machine alone unless an export says otherwise: the server knows neither users nor TLS. The
files' texts are in `templates/`.
"""
import pathlib

import tensorflow as tf

from synergynet_tf.storage.files import replace_file

from .bundle import FILES
from .rendering import rendered
from .settings import Container

GRPC_PORT, REST_PORT = 8500, 8501
NOBODY = "65534:65534"
MEMORY, THREADS = "12g", 2048       # threads count as processes: the server has several for each core
IMAGE = "tensorflow/serving"
FLAGS = (f"--port={GRPC_PORT}", f"--rest_api_port={REST_PORT}", "--model_config_file=/bundle/models.config",
         "--model_config_file_poll_wait_seconds=60", "--monitoring_config_file=/bundle/monitoring.config",
         "--enable_batching=true", "--batching_parameters_file=/bundle/batching.config",
         "--rest_api_timeout_in_ms=600000")     # a scan takes longer than the 30 s that REST waits unless told otherwise


def write_server_files(out: pathlib.Path, name: str, container: Container) -> None:
    """Write FILES; they replace those of an earlier export."""
    image = f"{IMAGE}@{container.image_digest}" if container.image_digest else f"{IMAGE}:{tf.__version__}"
    ports = [f"{container.host}:{port}:{port}" for port in (GRPC_PORT, REST_PORT)]
    values = {"name": name, "tag": f"{name.lower()}-serving", "image": image, "tensorflow": tf.__version__, "flags": FLAGS,
              "ports": ports, "grpc": GRPC_PORT, "rest": REST_PORT, "user": NOBODY, "memory": MEMORY, "threads": THREADS}
    for file in FILES:
        replace_file(out / file, rendered(file.removeprefix("."), values))
