"""Which files make a case: a module for each folder layout, and `discover`, which finds the layout and checks its cases."""
from synergynet_tf.data.layouts.case import COMBINATIONS, LESIONS, SPLITS, SUFFIXES, Case, first_file
from synergynet_tf.data.layouts.raters import RATERS, choose_raters
from synergynet_tf.data.layouts.registry import describe, discover, faults, find

__all__ = ["COMBINATIONS", "LESIONS", "RATERS", "SPLITS", "SUFFIXES", "Case", "choose_raters", "describe", "discover",
           "faults", "find", "first_file"]
