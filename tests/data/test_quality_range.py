"""Ranges of image quality: what is learnt, what is flagged, what is stored."""
import numpy as np
import pytest

from synergynet_tf.data import quality_range
from synergynet_tf.data.image_quality import MEASURES
from synergynet_tf.errors import InputError

USUAL = {"noise": 4.0, "fine_detail": 4.0, "contrast": 12.0, "sharpness": 3.0, "slice_thickness": 3.0,
         "field_of_view": 5.0, "motion": 4.0}
RANGES = {name: (0.5 * value, 2 * value) for name, value in USUAL.items()}


def flags(quality, ranges=RANGES):
    return [row.measure for row in quality_range.judge(quality, ranges) if row.flagged]


def test_a_range_is_of_all_scans_but_the_odd_one_and_a_margin_wider():
    scans = [USUAL | {"noise": float(n)} for n in range(1, 100)] + [USUAL | {"noise": 1e6}]
    low, high = quality_range.learn(scans)["noise"]
    assert low == pytest.approx(0.9 * np.percentile(range(1, 101), 1), rel=0.05) and 99 < high < 10_100 * 1.2
    assert quality_range.learn([USUAL])["motion"] == pytest.approx((3.6, 4.4))
    assert quality_range.learn([USUAL | {"contrast": -10.0}])["contrast"] == pytest.approx((-11, -9))


def test_a_measure_that_no_scan_has_is_not_known():
    ranges = quality_range.learn([USUAL | {"contrast": None}] * 3)
    assert set(ranges) == set(MEASURES) - {"contrast"}
    row = quality_range.judge(USUAL, ranges)[2]
    assert (row.measure, row.range, row.flagged, row.usual) == ("contrast", None, False, "not known")


@pytest.mark.parametrize("name", MEASURES)
def test_what_is_worse_is_flagged_by_its_name_and_what_is_better_is_not(name):
    worse, better = (10, 0.1) if MEASURES[name].worse == "high" else (0.1, 10)
    assert flags(USUAL | {name: worse * USUAL[name]}) == [name]
    assert flags(USUAL | {name: better * USUAL[name]}) == [] == flags(USUAL | {name: None})


def test_what_reads_the_same_as_an_end_of_the_range_is_not_beyond_it():
    ranges = RANGES | {"slice_thickness": (1.0, 7.997)}
    assert flags(USUAL | {"slice_thickness": 8.0}, ranges) == []
    assert flags(USUAL | {"slice_thickness": 8.1}, ranges) == ["slice_thickness"]


def test_without_ranges_nothing_is_flagged():
    judged = quality_range.judge(USUAL | {"noise": 1e9}, None)
    assert not any(row.flagged for row in judged) and {row.usual for row in judged} == {"not known"}


def test_what_is_stored_of_a_case_comes_back_and_is_shown():
    judged = quality_range.judge(USUAL | {"noise": 20.0, "motion": None}, RANGES)
    about = {"quality": quality_range.as_stored(judged)}
    assert quality_range.from_stored(about) == judged
    rows = quality_range.table(about)
    assert rows[0] == ("noise", "20 %", "at most 8 %", "outside") and rows[2] == ("contrast", "12 %", "at least 6 %", "")
    assert rows[6][1] == "not measured"
    assert quality_range.table({}) == [] == quality_range.from_stored({})      # of an earlier version


def test_a_flagged_scan_is_refused_in_a_line_with_value_range_and_remedy(tmp_path):
    quality_range.require_usual(tmp_path, quality_range.judge(USUAL, RANGES))
    with pytest.raises(InputError, match=r"a\.nii: noise: 20 % .*, but at most 8 % in the training scans: .*leave out --strict"):
        quality_range.require_usual("a.nii", quality_range.judge(USUAL | {"noise": 20.0}, RANGES))


def test_several_runs_share_what_lies_in_the_ranges_of_all(tmp_path):
    for name, noise in (("a", 4.0), ("b", 3.0)):
        (tmp_path / name).mkdir()
        quality_range.write(quality_range.place(tmp_path / name), [USUAL | {"noise": noise}])
    ranges = quality_range.read([tmp_path / "a", tmp_path / "b"])
    assert ranges["noise"] == pytest.approx((3.6, 3.3)) and ranges["motion"] == pytest.approx((3.6, 4.4))
    assert quality_range.read([tmp_path / "a", tmp_path / "c"]) is None
    assert quality_range.place(tmp_path / "net.npz") == tmp_path / "net_quality.json"


def test_a_damaged_file_is_refused(tmp_path):
    path = quality_range.place(tmp_path)
    quality_range.write(path, [USUAL])
    path.write_text(path.read_text().replace("4.4", "9.4"))
    with pytest.raises(InputError, match="quality.json.*remove it, or train again"):
        quality_range.read([tmp_path])
