"""What the commands do, as functions: train a run, segment, score, compare, prepare."""
