"""A report of a comparison, and one of `predict`."""
import pathlib
import shutil

import pytest

from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.report.comparison import Table
from synergynet_tf.report.elements import Front
from synergynet_tf.report.follow_up import follow_ups
from synergynet_tf.report.html import write_report
from synergynet_tf.report.pages import comparison_pages
from synergynet_tf.workflows.reporting import write_predictions_report
from synergynet_tf.workflows.scoring import score_pairs
from tests.report.scans import comparison, timeline


@pytest.fixture(scope="session")
def cohort(tmp_path_factory) -> pathlib.Path:
    """The report of a comparison."""
    folder = tmp_path_factory.mktemp("cohort")
    pairs, images = comparison(folder)
    scores = {name: score_pairs(found, workers=1) for name, found in pairs.items()}
    figure = folder / "a figure.png"
    shutil.copy(next(pathlib.Path(__file__).parents[2].joinpath("docs").glob("*.png")), figure)
    tables = [Table("t", "Means <all>", ("System", "DSC"), [("a&b", 1 / 3), ("c", 0.25), ("d", float("nan"))], "A note.", 3),
              Table("u", "More", ("System", "DSC"), [("a", 1)], "")]
    front = Front("A & B", "Two cases.", {"Cases": ("Case", "Lesions", "ml", "unet", "synergynet")}, tables[:1], tables[1:],
                  [("A <figure>", figure)], [("unet", "SHA-256 1234")])
    write_report(folder / "report", front, comparison_pages(pairs, images, LesionRule(), scores))
    return folder / "report"


@pytest.fixture(scope="session")
def patient(tmp_path_factory) -> pathlib.Path:
    """The report of `predict`, one patient with three scans and one with one."""
    folder = tmp_path_factory.mktemp("patient")
    cases = timeline(folder)
    write_predictions_report(cases, follow_ups(cases, folder), folder)
    return folder / "report"
