"""Pictures are written, look at the right slices, and outline what they should; logs are read as documented."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from synergynet_tf.report import figures


@pytest.fixture
def head():
    flair = np.zeros((24, 30, 20), np.float32)
    flair[3:-3, 3:-3, 3:-3] = np.random.default_rng(0).normal(size=(18, 24, 14)).astype(np.float32) * 0.1 + 1
    return flair


def coloured(path, colour):
    picture = imread(path)[..., :3]
    return int((np.abs(picture - to_rgb(colour)).max(-1) < 0.08).sum())


def drawn(tmp_path, *args, **kwargs):
    path = tmp_path / "a.png"
    figures.segmentation_figure(path, *args, **kwargs)
    return path


def test_outlines_of_prediction_and_reference_appear_only_where_there_are_lesions(tmp_path, head):
    none, mask, reference = np.zeros(head.shape, bool), np.zeros(head.shape, bool), np.zeros(head.shape, bool)
    mask[8:14, 10:18, 6:12] = True
    reference[9:16, 12:20, 7:13] = True
    bare = drawn(tmp_path, head, none)
    plain = coloured(bare, figures.PREDICTED), coloured(bare, figures.REFERENCE)
    predicted = drawn(tmp_path, head, mask, title="case")
    assert coloured(predicted, figures.PREDICTED) > plain[0] + 300
    assert coloured(predicted, figures.REFERENCE) == plain[1] == 0
    assert coloured(drawn(tmp_path, head, mask, reference), figures.REFERENCE) > 300


def test_the_slices_pass_through_the_largest_lesion(head):
    mask = np.zeros(head.shape, bool)
    mask[5, 5, 5] = mask[20, 20, 15] = True
    mask[10:13, 8:10, 12] = True
    mask[11, 8:13, 12:14] = mask[12, 8, 13] = True
    assert figures.viewpoint(head, mask) == (11, 8, 12)
    assert figures.viewpoint(head, np.zeros_like(mask), mask) == (11, 8, 12)
    assert figures.viewpoint(head, np.zeros_like(mask)) == (11, 14, 9)
    assert figures.viewpoint(np.zeros_like(head), np.zeros_like(mask)) == (12, 15, 10)


def test_an_empty_scan_and_thick_slices_are_drawn(tmp_path, head):
    assert drawn(tmp_path, np.zeros_like(head), np.zeros(head.shape, bool)).stat().st_size > 1000
    assert drawn(tmp_path, head, head > 1.2, spacing=(1, 1, 3)).stat().st_size > 1000


def test_loss_curves_draw_every_stage(tmp_path):
    parts = {"rpn": 0.5, "dice": 0.1}
    entries = [{"stage": stage, "epoch": epoch, "step": step, "loss": 2.0 / (1 + stage + step), "parts": parts}
               for stage in (1, 4) for epoch in range(2) for step in range(5)]
    entries[-1]["validation"] = {"dice": 0.7}
    figures.loss_curves(entries, tmp_path / "curves.png")
    assert coloured(tmp_path / "curves.png", figures.STAGE_COLOURS[0]) > 50
    assert coloured(tmp_path / "curves.png", figures.STAGE_COLOURS[1]) > 50
    assert coloured(tmp_path / "curves.png", figures.STAGE_COLOURS[3]) == 0


def test_a_log_without_parts_or_with_a_loss_of_zero_is_drawn(tmp_path):
    figures.loss_curves([{"stage": 1, "epoch": 0, "step": 0, "loss": 0.0}], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
