"""What the commands do, for whoever calls it from Python: train a run, segment, score, compare, prepare."""
