"""Which files make a case: a module for each folder layout, and `discover`, which finds the layout and checks its cases."""
from synergynet_tf.data.layouts.case import (
    COMBINATIONS,
    LESIONS,
    RESULTS,
    SPLITS,
    Case,
    first_file,
    is_scan,
    key,
    only,
    scans,
    stem,
)
from synergynet_tf.data.layouts.raters import RATERS, choose_raters
from synergynet_tf.data.layouts.registry import chosen, describe, discover, faults, find, usable

__all__ = ["COMBINATIONS", "LESIONS", "RATERS", "RESULTS", "SPLITS", "Case", "choose_raters", "chosen", "describe",
           "discover", "faults", "find", "first_file", "is_scan", "key", "only", "scans", "stem", "usable"]
