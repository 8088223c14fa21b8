"""Figures of several systems: what is drawn where, read from the figures themselves."""
import dataclasses

import matplotlib.colors
import matplotlib.figure
import numpy as np
import pytest

from synergynet_tf.metrics.scores import CaseScores, score_case
from synergynet_tf.report import comparison_figures as figures


@pytest.fixture
def drawn(monkeypatch):
    """Every figure that is saved."""
    kept, save = [], matplotlib.figure.Figure.savefig

    def keep(figure, path, **settings):
        kept.append(figure)
        save(figure, path, **settings)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    return kept


def case(side: int, kept: float) -> CaseScores:
    reference = np.zeros((20, 20, 20), bool)
    reference[:side, :side, :side] = True
    predicted = reference & (np.arange(20) < kept * side)[:, None, None]
    return score_case(reference, predicted, spacing=(1, 1, 1), case=str(side))


SYSTEMS = {"one": [case(side, .5) for side in (2, 4, 8)], "two": [case(side, 1) for side in (2, 4, 8)]}


def test_dots_and_trends_of_figure_2(drawn, tmp_path):
    figures.dice_by_load(tmp_path / "a.png", SYSTEMS | {"none": [score_case(*np.zeros((2, 3, 3, 3)), spacing=(1, 1, 1))]})
    panel, = drawn[0].axes
    assert panel.get_xscale() == "log"
    dots = [collection.get_offsets() for collection in panel.collections]
    np.testing.assert_allclose(dots[0], [(.008, 2 / 3), (.064, 2 / 3), (.512, 2 / 3)])
    assert len(dots[2]) == 0                # a case without lesions has no logarithm
    for line, dsc in zip(panel.lines, (2 / 3, 1)):
        np.testing.assert_allclose(line.get_ydata(), dsc)
    assert len(panel.lines) == 2 and (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_trend_is_linear_in_the_logarithm(drawn, tmp_path):
    scores = [case(side, kept) for side, kept in ((2, .5), (4, .75), (8, 1))]
    figures.dice_by_load(tmp_path / "a.png", {"one": scores})
    line, = drawn[0].axes[0].lines
    logs, dsc = np.log([s.volume_reference_ml for s in scores]), [s.dsc for s in scores]
    slope = np.polyfit(logs, dsc, 1)
    np.testing.assert_allclose(line.get_ydata(), np.polyval(slope, [logs[0], logs[-1]]))


def test_each_source_has_a_panel_of_the_same_axes(drawn, tmp_path):
    sources = ["$a", "b", "c", "d"]
    systems = {name: [dataclasses.replace(case(side, kept), source=source) for source in sources for side in (2, 4)]
               for name, kept in (("one", .5), ("two", 1))}
    curve = np.array([1, .5]), np.array([.2, 1])
    figures.dice_by_load(tmp_path / "a.png", systems)
    figures.rate_by_size(tmp_path / "b.png", systems)
    figures.precision_recall_curves(tmp_path / "c.png", {"a": {"one": curve}, "b": {}, "c": {}})
    for figure, names, kept in zip(drawn, (sources, sources, ["a", "b", "c"]), (4, 4, 4)):
        assert len(figure.axes) == kept
        assert [panel.get_title() for panel in figure.axes[:len(names)]] == names
        assert [panel.axison for panel in figure.axes] == [True] * len(names) + [False] * (kept - len(names))
    for panel in drawn[0].axes[:4]:
        np.testing.assert_allclose(panel.collections[0].get_offsets(), [(.008, 2 / 3), (.064, 2 / 3)])
        assert panel.get_xlim() == drawn[0].axes[0].get_xlim()


def test_a_system_has_its_colour_in_each_panel_and_its_place_in_each_row_also_beside_one_that_lacks_a_source(drawn, tmp_path):
    scores = {name: [dataclasses.replace(case(side, kept), source=source) for source in sources for side in (2, 4)]
              for name, kept, sources in (("one", .5, "ab"), ("far", .7, "b"), ("two", 1, "ab"))}
    curve, picture = (np.array([1, .5]), np.array([.2, 1])), np.zeros((4, 5), bool)
    figures.dice_by_load(tmp_path / "a.png", scores)
    figures.rate_by_size(tmp_path / "b.png", scores)
    figures.precision_recall_curves(tmp_path / "c.png", {"a": {"one": curve, "two": curve}, "b": dict.fromkeys(scores, curve)})
    for figure in drawn:
        shown = [dict(zip(*reversed(panel.get_legend_handles_labels()))) for panel in figure.axes]
        assert [set(labels) for labels in shown] == [{"one", "two"}, {"one", "far", "two"}]
        colours = [{name: matplotlib.colors.to_hex(colour_of(handle)) for name, handle in labels.items()} for labels in shown]
        assert colours[0].items() <= colours[1].items() and len(set(colours[1].values())) == 3
    rows = [figures.SliceRow("P", np.ones((4, 5)), picture, dict.fromkeys(names, picture)) for names in (["one", "two"], scores)]
    figures.slices(tmp_path / "d.png", rows)
    titles = [[panel.get_title() for panel in drawn[-1].axes[start:start + 5]] for start in (0, 5)]
    assert titles == [["P, FLAIR", "reference", "one", "two", ""], ["P, FLAIR", "reference", "one", "two", "far"]]


def colour_of(handle):
    """Of a line, of dots, or of bars."""
    if hasattr(handle, "patches"):
        return handle.patches[0].get_facecolor()
    return handle.get_color() if hasattr(handle, "get_color") else handle.get_facecolor()[0, :3]


def test_rows_of_figure_3_name_their_source(drawn, tmp_path):
    picture = np.ones((4, 5)), np.zeros((4, 5), bool), {"net": np.zeros((4, 5), bool)}
    figures.slices(tmp_path / "a.png", [figures.SliceRow("P1", *picture, "far"), figures.SliceRow("P2", *picture, "near")])
    assert [[text.get_text() for text in panel.texts] for panel in drawn[0].axes[::3]] == [["far"], ["near"]]


def test_colours_of_figure_3(drawn, tmp_path):
    reference, predicted = np.zeros((8, 10), bool), np.zeros((8, 10), bool)
    reference[2:4, 3] = True
    predicted[3:6, 3] = True
    row = figures.SliceRow("P1", np.full((8, 10), 5.0), reference, {"net": predicted})
    figures.slices(tmp_path / "a.png", [row, row])
    panels = drawn[0].axes
    assert len(panels) == 6
    picture = panels[2].images[0].get_array().transpose(1, 0, 2)
    for place, colour in (((2, 3), figures.MISSED), ((3, 3), figures.FOUND), ((4, 3), figures.FALSE), ((5, 3), figures.FALSE)):
        strongest = int(np.argmax(colour))
        assert np.argmax(picture[place]) == strongest and not np.allclose(picture[place], picture[0, 0])
    assert np.ptp(picture[0, 0]) == 0       # grey elsewhere


def test_bars_curves_and_logs(drawn, tmp_path):
    figures.rate_by_size(tmp_path / "a.png", SYSTEMS)
    assert [label.get_text() for label in drawn[0].axes[0].get_xticklabels()] == ["3-10 mm3", "10-50 mm3", "50-250 mm3",
                                                                                 "250 mm3 and more"]
    figures.precision_recall_curves(tmp_path / "b.png", {"": {"one": (np.array([1, .5]), np.array([.2, 1]))}})
    np.testing.assert_allclose(drawn[1].axes[0].lines[0].get_xydata(), [(.2, 1), (1, .5)])
    log = [{"stage": 1, "epoch": 0, "loss": 2.0}, {"stage": 1, "epoch": 0, "loss": 1.5, "validation": {"loss": 1}},
           {"stage": 4, "epoch": 0, "loss": .5, "validation": {"loss": .5, "dsc": .7}}]
    figures.learning_curves(tmp_path / "c.png", {"one": log})
    loss, dsc = drawn[2].axes
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [(1, 1.5), (2, .5)])
    np.testing.assert_allclose(dsc.lines[0].get_xydata(), [(2, .7)])


def test_nothing_to_draw_is_drawn_empty(tmp_path):
    figures.precision_recall_curves(tmp_path / "b.png", {"": {}})
    figures.learning_curves(tmp_path / "c.png", {})
    assert (tmp_path / "b.png").exists() and (tmp_path / "c.png").exists()
