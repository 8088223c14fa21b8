"""From a preprocessed scan to a mask: coverage, merging, prediction."""
