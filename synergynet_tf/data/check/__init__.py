"""A cohort looked at before it is used: every problem of every case, found in one pass over the files; nothing is written."""
from synergynet_tf.data.check.case import check_case
from synergynet_tf.data.check.cohort import Cohort, check_cases, find_cases, summarise
from synergynet_tf.data.check.problem import ERROR, WARNING, CaseCheck, Problem

__all__ = ["ERROR", "WARNING", "CaseCheck", "Cohort", "Problem", "check_case", "check_cases", "find_cases", "summarise"]
