"""Scores of a segmentation against a reference: NumPy in, numbers out, no TensorFlow."""
