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

from .settings import Limits

CARD = "model_card.md"


def write_model_card(folder: pathlib.Path, networks: Sequence[tuple[Any, Config]], identities: Sequence[dict[str, str]],
                     limits: Limits, runs: Sequence[pathlib.Path]) -> None:
    """Write what a user must know of the networks: what for, of what data, how well, how trained."""
    config = networks[0][1]
    parts = [CARD_TEXT.format(
        version=__version__, tensorflow=tf.__version__, channels=" and ".join(config.data.channels),
        members="one network" if len(networks) == 1 else f"{len(networks)} networks, whose probabilities are averaged",
        threshold=config.infer.threshold, gamma=", ".join(str(member.fusion.gamma) for _, member in networks),
        mirror="Each scan is seen from both sides, and the answers averaged. " if config.infer.mirror else "",
        least=f"Predicted lesions below {config.infer.min_lesion:g} mm3 are dropped.\n" if config.infer.min_lesion else "",
        connectivity=config.lesions.connectivity, side=limits.max_side, voxels=limits.max_voxels,
        window=limits.max_window_voxels)]
    for run, who, (_, config) in zip(runs, identities, networks):
        parts += [f"## Network {who['run']}", f"Checkpoint `{who['weights']}.npz`, SHA-256 `{who['sha256']}`.",
                  "### Data", _data_statement(run, config), "### Scores", _scores(run, who["weights"]),
                  "### Training configuration", "```yaml\n" + yaml.safe_dump(_shown(config), sort_keys=False) + "```"]
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
{mirror}{least}Scans of at most {side} voxels a side and {voxels} in all are taken; a brain box above {window} voxels
is seen in windows."""


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


def _scores(run: pathlib.Path, weights: str) -> str:
    records = [r["validation"] for r in read_log(run / LOG) if "dsc" in r.get("validation", {})]
    if not records:
        return "The run keeps no validation scores. Score it on scans of your own with `python -m synergynet_tf.evaluate`."
    chosen = max(records, key=lambda record: record["dsc"]) if weights == "best" else records[-1]
    table = "\n".join(f"| {name.upper()} | {value:.3f} |" for name, value in chosen.items() if name != "loss")
    return ("Means over the validation scans, on which the checkpoint was chosen; they flatter it.\n\n"
            "| score | mean |\n|---|---|\n" + table)
