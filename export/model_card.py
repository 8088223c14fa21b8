"""The model card that lies beside a SavedModel."""
import csv
import json
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import yaml

from synergynet_tf import __version__
from synergynet_tf.config import Config
from synergynet_tf.storage.files import replace_file
from synergynet_tf.training.history import LOG, read_log

from .rendering import rendered
from .settings import Limits

CARD = "model_card.md"


def write_model_card(folder: pathlib.Path, networks: Sequence[tuple[Any, Config]], identities: Sequence[dict[str, str]],
                     limits: Limits, runs: Sequence[pathlib.Path]) -> None:
    """Write what a user must know of the networks: what for, of what data, how well, how trained."""
    described = [who | {"gamma": config.fusion.gamma, "data": _data_statement(run, config),
                        "scores": _scores(run, who["weights"]), "settings": yaml.safe_dump(_shown(config), sort_keys=False)}
                 for run, who, (_, config) in zip(runs, identities, networks)]
    values = {"version": __version__, "tensorflow": tf.__version__, "config": networks[0][1], "networks": described,
              "limits": limits}
    replace_file(folder / CARD, rendered(CARD, values))


def _shown(config: Config) -> dict[str, Any]:
    """A configuration as YAML takes it, without the folders of the machine that it was trained on."""
    values = json.loads(json.dumps(config.asdict()))
    values["data"] |= {name: pathlib.Path(values["data"][name]).name for name in ("path", "cache") if values["data"][name]}
    return values


def _data_statement(run: pathlib.Path, config: Config) -> str:
    if run.suffix == ".npz":
        return ("The network came as a file of weights, which keeps no list of its data by name. Of the one that is shipped with "
                "synergynet_tf, docs/network.md there says all.")
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


def _scores(run: pathlib.Path, weights: str) -> dict[str, float]:
    """Means over the validation scans by name; empty where the run keeps none."""
    records = [r["validation"] for r in read_log(run / LOG) if "dsc" in r.get("validation", {})]
    if not records:
        return {}
    chosen = max(records, key=lambda record: record["dsc"]) if weights == "best" else records[-1]
    return {name: value for name, value in chosen.items() if name != "loss"}
