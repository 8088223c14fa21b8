"""What the list of lesions says of places, on an anatomy that is known."""
import numpy as np
import pytest

from synergynet_tf.data.anatomy.places import Frame, place_rows
from synergynet_tf.data.anatomy.regions import WALL_MM
from synergynet_tf.data.anatomy.scan import Anatomy, find_anatomy
from synergynet_tf.inference.lesions import Evidence, lesion_table
from synergynet_tf.metrics.lesion import lesion_voxels

SHAPE, AFFINE = (60, 40, 40), np.array([[-1.0, 0, 0, 30], [0, 1, 0, -20], [0, 0, 1, 10], [0, 0, 0, 1]])     # x falls: LAS
TO_OWN = np.diag([0.8, 0.8, 0.8, 1.0])


def wall(x):
    """A plane of points across the scan, mm."""
    y, z = np.meshgrid(np.arange(-20.0, 20), np.arange(10.0, 50), indexing="ij")
    return np.stack([np.full(y.size, x), y.ravel(), z.ravel()], -1)


def scan(*balls, radius=4):
    grid = np.stack(np.indices(SHAPE), -1)
    mask = np.any([((grid - centre) ** 2).sum(-1) <= radius ** 2 for centre in balls], axis=0)
    return mask, lesion_table(mask, Evidence(*[mask.astype(np.float32)] * 2, mask, mask), AFFINE, 18)


ANATOMY = Anatomy(np.eye(4), wall(-29.0), wall(29.0), wall(27.0), 21.5)     # ventricles to the left, the cortex to the right


def placed(*balls, split=False, anatomy=ANATOMY):
    mask, rows = scan(*balls)
    return rows, place_rows(rows, lesion_voxels(mask, 18)[:2], AFFINE, Frame(anatomy, TO_OWN), split)


def test_each_lesion_has_its_own_place():
    rows, about = placed((52, 20, 20), (28, 20, 20), (8, 20, 20))      # x: -22, 2 and 22 mm
    assert [(row["region"], row["side"]) for row in rows] == [("juxtacortical", "right"), ("deep", "right"),
                                                              ("periventricular", "left")]
    deep = rows[1]
    assert deep["ventricle_mm"] == pytest.approx(0.8 * (31 - 4) - WALL_MM, abs=0.02) and deep["parts"] is None
    assert (deep["own_mm"], deep["mni_mm"]) == ([1.6, 0.0, 24.0], [2.0, 0.0, 30.0])
    assert about["regions_met"]["names"] == ["periventricular", "juxtacortical"] and about["regions_met"]["count"] == 2
    assert "no diagnosis" in about["regions_met"]["definition"]
    assert (about["count_split"], about["ventricle_ml"], about["places_note"]) == (None, 21.5, None)


def test_a_confluent_lesion_is_divided_where_asked_and_both_counts_are_given():
    chain = [(x, 20, 20) for x in (54, 47, 40, 33, 26, 19, 12, 6)]     # from the ventricle to the cortex
    rows, about = placed(*chain, split=True)
    (lesion,) = rows
    assert lesion["region"] == "periventricular" and about["count_split"] == len(lesion["parts"]) == len(chain)
    regions = [part["region"] for part in lesion["parts"]]
    assert regions.count("deep") >= 4 and {"periventricular", "juxtacortical"} <= set(regions)
    assert sum(part["voxels"] for part in lesion["parts"]) == lesion["voxels"]
    assert sum(part["volume_mm3"] for part in lesion["parts"]) == pytest.approx(lesion["volume_mm3"])
    assert about["regions_met"]["names"] == ["periventricular", "juxtacortical"]
    assert placed(*chain)[0][0]["parts"] is None
    alone, about = placed((40, 20, 20), (33, 20, 20), split=True)      # as thin in its middle, but in one region
    assert alone[0]["parts"] is None and about["count_split"] == 1


def test_unknown_places_are_none_with_a_reason():
    small = np.ones((20, 20, 20), bool)
    why = find_anatomy(np.ones(small.shape, np.float32), small, small & False, np.eye(4))
    assert why == "places of lesions are unknown: the brain has 8 ml, but 600 to 2400 are needed"
    rows, about = placed((28, 20, 20), anatomy=why)
    assert rows[0]["region"] is rows[0]["side"] is rows[0]["ventricle_mm"] is rows[0]["mni_mm"] is None
    assert rows[0]["own_mm"] == [1.6, 0.0, 24.0]
    assert about == {"count_split": None, "ventricle_ml": None, "regions_met": None, "places_note": why}


def test_a_scan_without_lesions_meets_no_region():
    rows, about = place_rows_of_nothing()
    assert rows == [] and about["regions_met"]["count"] == 0 and about["count_split"] == 0


def place_rows_of_nothing():
    rows = []
    return rows, place_rows(rows, lesion_voxels(np.zeros(SHAPE, bool), 18)[:2], AFFINE, Frame(ANATOMY, TO_OWN), True)
