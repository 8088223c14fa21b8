"""Phantom patients: multiple sclerosis on real anatomy, made from a seed. No TensorFlow, no download."""
from synergynet_tf.data.phantom.atlas import AFFINE, GRID, anatomy_files
from synergynet_tf.data.phantom.cohort import generate_cohort
from synergynet_tf.data.phantom.patient import Session, lesion_map, make_patient

__all__ = ["AFFINE", "GRID", "Session", "anatomy_files", "generate_cohort", "lesion_map", "make_patient"]
