"""What lies beside the SavedModel: the server's settings, the container, the model card, SHA-256 sums."""
import csv
import hashlib
import json
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from synergynet_tf import __version__
from synergynet_tf.files import replace_file

from .settings import Limits

if TYPE_CHECKING:
    from synergynet_tf.config import Config

SUMS = "SHA256SUMS"
CARD = "model_card.md"
GRPC_PORT, REST_PORT = 8500, 8501

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
DOCKERFILE = """# docker build -t {name}-serving . && docker run --rm -p {grpc}:{grpc} -p {rest}:{rest} {name}-serving
# The image should be of TensorFlow {tensorflow} or later; without a network, load it with `docker load` first.
ARG TAG={tensorflow}
FROM tensorflow/serving:${{TAG}}
# Convolutions by oneDNN on processors without AVX-512 VNNI too.
ENV TF_ENABLE_ONEDNN_OPTS=1
COPY . /bundle
EXPOSE {grpc} {rest}
ENTRYPOINT ["tensorflow_model_server"]
CMD [{flags}]
"""
COMPOSE = """services:
  {name}:
    image: tensorflow/serving:${{TAG:-{tensorflow}}}
    entrypoint: ["tensorflow_model_server"]
    command:
{flags}
    ports: ["{grpc}:{grpc}", "{rest}:{rest}"]
    volumes: ["./:/bundle:ro"]
    environment: {{TF_ENABLE_ONEDNN_OPTS: "1"}}
    mem_limit: 12g
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


def write_server_files(out: pathlib.Path, name: str) -> None:
    """Write what a server needs beside the models, and the sums of these files; they replace those of an earlier export."""
    import tensorflow as tf

    values = {"name": name, "grpc": GRPC_PORT, "rest": REST_PORT, "tensorflow": tf.__version__}
    flags = [flag.format(**values) for flag in FLAGS]
    dockerfile = DOCKERFILE.format(flags=", ".join(f'"{flag}"' for flag in flags), **values)
    compose = COMPOSE.format(flags="\n".join(f"      - {flag}" for flag in flags), **values)
    files = {"models.config": MODELS.format(**values), "batching.config": BATCHING, "monitoring.config": MONITORING,
             "Dockerfile": dockerfile, "compose.yaml": compose}
    for file, text in files.items():
        replace_file(out / file, text.encode())
    replace_file(out / SUMS, _sums(out, [out / file for file in files]))


def write_sums(folder: pathlib.Path) -> None:
    """Write the SHA-256 sums of all files in a folder, as `sha256sum -c` reads them."""
    replace_file(folder / SUMS, _sums(folder, [path for path in folder.rglob("*") if path.is_file()]))


def damaged(folder: pathlib.Path) -> list[str]:
    """The files of a folder's sums that are absent or not as they were."""
    found = []
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ", 1)
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            found.append(name)
    return found


def write_model_card(folder: pathlib.Path, networks: "Sequence[tuple[Any, Config]]", identities: Sequence[dict[str, str]],
                     limits: Limits, runs: Sequence[pathlib.Path]) -> None:
    """Write what a user must know of the networks: what for, of what data, how well, how trained."""
    import tensorflow as tf
    import yaml

    config = networks[0][1]
    parts = [CARD_TEXT.format(
        version=__version__, tensorflow=tf.__version__, channels=" and ".join(config.data.channels),
        members="one network" if len(networks) == 1 else f"{len(networks)} networks, whose probabilities are averaged",
        threshold=config.infer.threshold, gamma=", ".join(str(own.fusion.gamma) for _, own in networks),
        connectivity=config.lesions.connectivity, side=limits.max_side, voxels=limits.max_voxels,
        window=limits.max_window_voxels)]
    for run, who, (_, own) in zip(runs, identities, networks):
        parts += [f"## Network {who['run']}", f"Checkpoint `{who['weights']}.npz`, SHA-256 `{who['sha256']}`.",
                  "### Data", _data_statement(run, own), "### Scores", _scores(run, who["weights"]), "### Training configuration",
                  "```yaml\n" + yaml.safe_dump(_shown(own), sort_keys=False) + "```"]
    replace_file(folder / CARD, ("\n\n".join(parts) + "\n").encode())


CARD_TEXT = """# Model card
SynergyNet for the segmentation of multiple-sclerosis lesions, exported by synergynet_tf {version} with TensorFlow {tensorflow}:
{members}.

## Intended use
Research on lesion load in brain MRI of adults with multiple sclerosis. Input: {channels}, skull-stripped, bias-corrected, about
1 mm, on one grid. Output: a mask of lesion voxels, the number of lesions and their volume. It is no medical device: it has no
regulatory clearance, and a diagnosis or a treatment must not rest on it. Results have to be looked at by someone who can judge.

Expect worse results on scans unlike the training data below (other scanners, field strengths, thick slices, other diseases).
On scans with the skull on the answer has no meaning. Lesions outside the brain mask (FLAIR not 0), as in the spinal cord, are
never found.

## Settings
A voxel is lesion above a probability of {threshold}; weight of the local branch: {gamma}; lesions are {connectivity}-connected.
Scans of at most {side} voxels a side and {voxels} in all are taken; a brain box above {window} voxels is seen in windows."""


def _shown(config: "Config") -> dict[str, Any]:
    """A configuration as YAML takes it, without the folders of the machine that it was trained on."""
    values = json.loads(json.dumps(config.asdict()))
    values["data"] |= {name: pathlib.Path(values["data"][name]).name for name in ("path", "cache") if values["data"][name]}
    return values


def _data_statement(run: pathlib.Path, config: "Config") -> str:
    path = pathlib.Path(config.data.path or "phantoms")
    made = config.data.path is None or path.parent.name.startswith("phantoms-")      # the folder that `train` makes them in
    origin = "phantom patients, which software made: no patient's scan was used" if made \
        else f"`{path.name}` (layout {config.data.layout})"
    try:
        with open(run / "manifest.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        return f"Trained on {origin}; the run keeps no list of them."
    scans = Counter(row["split"] for row in rows)
    patients = Counter(split for _, split in {(row["patient"], row["split"]) for row in rows})
    shares = "; ".join(f"{split}: {scans[split]} scans of {patients[split]} patients" for split in ("train", "validation", "test")
                       if scans[split])
    return f"Trained on {origin}. {shares}. Their reference masks are the standard that the scores below refer to."


def _scores(run: pathlib.Path, weights: str) -> str:
    from synergynet_tf.training.history import LOG, read_log

    records = [r["validation"] for r in read_log(run / LOG) if "dsc" in r.get("validation", {})]
    if not records:
        return "The run keeps no validation scores. Score it on scans of your own with `python -m synergynet_tf.evaluate`."
    chosen = max(records, key=lambda record: record["dsc"]) if weights == "best" else records[-1]
    table = "\n".join(f"| {name.upper()} | {value:.3f} |" for name, value in chosen.items() if name != "loss")
    return ("Means over the validation scans, on which the checkpoint was chosen; they flatter it.\n\n"
            "| score | mean |\n|---|---|\n" + table)


def _sums(folder: pathlib.Path, files: Sequence[pathlib.Path]) -> bytes:
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in sorted(files)]
    return ("\n".join(lines) + "\n").encode()
