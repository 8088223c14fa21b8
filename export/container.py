"""What a server needs beside the models: its settings, and a container that may do no more than serve.

The container runs as nobody, on a root file system that cannot be written, without capabilities, and with bounds on memory and on
processes. Its ports are open to this machine alone unless an export says otherwise: the server knows neither users nor TLS.
"""
import pathlib

from synergynet_tf.storage.files import replace_file

from .settings import Container

GRPC_PORT, REST_PORT = 8500, 8501
NOBODY = "65534:65534"
MEMORY, THREADS = "12g", 2048       # threads count as processes: the server has several for each core
IMAGE = "tensorflow/serving"

MODELS = """model_config_list {{
  config {{
    name: "{name}"
    base_path: "/bundle/{name}"
    model_platform: "tensorflow"
    # the newest version is served; list several here to serve them side by side
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""
BATCHING = """# A whole scan fills the processor and gigabytes of memory: one at a time, the others wait in the queue.
# Scans differ in size, so they could not be joined into one batch either; a request holds one scan.
max_batch_size { value: 1 }
batch_timeout_micros { value: 0 }
num_batch_threads { value: 1 }
max_enqueued_batches { value: 128 }
"""
MONITORING = """prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""
DOCKERFILE = """# docker build -t {tag} . && docker run --rm -d {ports} \\
#   --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \\
#   --memory {memory} --memory-swap {memory} --pids-limit {threads} {tag}
# The image should be of TensorFlow {tensorflow} or later; without a network, load it with `docker load` first.
ARG SERVING_IMAGE={image}
FROM ${{SERVING_IMAGE}}
# Convolutions by oneDNN on processors without AVX-512 VNNI too.
ENV TF_ENABLE_ONEDNN_OPTS=1
COPY . /bundle
# Nobody: the server reads the bundle and writes nothing.
USER {user}
EXPOSE {grpc} {rest}
ENTRYPOINT ["tensorflow_model_server"]
CMD [{flags}]
"""
DOCKERIGNORE = """.*
**/.*
"""
COMPOSE = """# docker compose up -d
services:
  {name}:
    # of TensorFlow {tensorflow} or later
    image: ${{SERVING_IMAGE:-{image}}}
    entrypoint: ["tensorflow_model_server"]
    command:
{flags}
    ports: [{ports}]
    volumes: ["./:/bundle:ro"]
    environment: {{TF_ENABLE_ONEDNN_OPTS: "1"}}
    user: "{user}"
    read_only: true
    tmpfs: ["/tmp:size=64m,noexec,nosuid,nodev"]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    mem_limit: {memory}
    memswap_limit: {memory}
    pids_limit: {threads}
    logging: {{driver: local, options: {{max-size: 10m, max-file: "3"}}}}
    restart: unless-stopped
    healthcheck:        # the image has no curl: bash opens the port itself
      test:
        - CMD
        - bash
        - -c
        - exec 3<>/dev/tcp/127.0.0.1/{rest} && printf 'GET /v1/models/{name} HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q AVAILABLE <&3
      interval: 30s
      start_period: 120s
"""
FLAGS = ("--port={grpc}", "--rest_api_port={rest}", "--model_config_file=/bundle/models.config",
         "--model_config_file_poll_wait_seconds=60", "--monitoring_config_file=/bundle/monitoring.config",
         "--enable_batching=true", "--batching_parameters_file=/bundle/batching.config",
         "--rest_api_timeout_in_ms=600000")     # a scan takes longer than the 30 s that REST waits unless told otherwise
FILES = ("models.config", "batching.config", "monitoring.config", "Dockerfile", ".dockerignore", "compose.yaml")


def write_server_files(out: pathlib.Path, name: str, container: Container) -> None:
    """Write FILES; they replace those of an earlier export."""
    for file, text in zip(FILES, _texts(name, container)):
        replace_file(out / file, text.encode())


def _texts(name: str, container: Container) -> tuple[str, ...]:
    import tensorflow as tf

    image = f"{IMAGE}@{container.image_digest}" if container.image_digest else f"{IMAGE}:{tf.__version__}"
    ports = [f"{container.host}:{port}:{port}" for port in (GRPC_PORT, REST_PORT)]
    values = {"name": name, "tag": f"{name.lower()}-serving", "grpc": GRPC_PORT, "rest": REST_PORT, "tensorflow": tf.__version__,
              "image": image, "user": NOBODY, "memory": MEMORY, "threads": THREADS}
    flags = [flag.format(**values) for flag in FLAGS]
    dockerfile = DOCKERFILE.format(flags=_quoted(flags), ports=" ".join(f"-p {port}" for port in ports), **values)
    compose = COMPOSE.format(flags="\n".join(f"      - {flag}" for flag in flags), ports=_quoted(ports), **values)
    return MODELS.format(**values), BATCHING, MONITORING, dockerfile, DOCKERIGNORE, compose


def _quoted(values: list[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)
