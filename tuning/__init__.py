"""Keras Tuner searches over the fusion weight and the loss weights."""
