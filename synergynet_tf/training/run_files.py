"""The files of a run's folder, and where a network's weights lie."""
import pathlib

PICTURE = "losses.png"      # the last one that a training writes
FILES = ("config.yaml", "manifest.csv", "data.json", "quality.json", "best.npz", "last.npz", "log.jsonl", "tensorboard", PICTURE)


def weights_file(run: pathlib.Path, weights: str) -> pathlib.Path:
    """The checkpoint of a run, best or last; a file of weights, as the package ships one, stands for itself."""
    return run if run.suffix == ".npz" else run / f"{weights}.npz"
