"""The files of a run's folder."""
PICTURE = "losses.png"      # the last one that a training writes
FILES = ("config.yaml", "manifest.csv", "data.json", "best.npz", "last.npz", "log.jsonl", "tensorboard", PICTURE)
