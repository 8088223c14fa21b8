"""Scores of a segmentation against a reference: NumPy in, numbers out, no TensorFlow."""

PAPER_METRICS = ("dsc", "ap", "ltpr", "lfpr", "sn")     # the paper's five (paper, 3)
