"""The lesion list against scipy's labels and measurements, on straight and oblique grids."""
import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.inference.lesions import Evidence, box_to_world, lesion_table, score_map

STRUCTURES = {6: 1, 18: 2, 26: 3}
OBLIQUE = np.array([[0.0, -1.4, 0.3, 5.0], [-0.9, 0.1, 0.0, -7.0], [0.2, 0.0, 2.0, 3.0], [0, 0, 0, 1]])


def evidence_of(mask, seed=0):
    random = np.random.default_rng(seed)
    return Evidence(random.uniform(0.5, 1, mask.shape).astype(np.float32), np.zeros(mask.shape, np.float32),
                    random.random(mask.shape) < 0.1, random.random(mask.shape) < 0.1)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_numbers_equal_scipys(connectivity):
    mask = np.random.default_rng(1).random((14, 12, 10)) < 0.12
    evidence = evidence_of(mask)
    rows = lesion_table(mask, evidence, OBLIQUE, connectivity)
    labels, count = ndimage.label(mask, ndimage.generate_binary_structure(3, STRUCTURES[connectivity]))
    assert len(rows) == count and [row["label"] for row in rows] == list(range(1, count + 1))
    for i, (row, box) in enumerate(zip(rows, ndimage.find_objects(labels)), 1):
        one = labels == i       # scipy too labels in the order of the first voxels
        assert row["box_voxels"] == [s.start for s in box] + [s.stop for s in box] and row["voxels"] == one.sum()
        centre = OBLIQUE @ [*ndimage.center_of_mass(one), 1]
        np.testing.assert_allclose(row["centroid_mm"], centre[:3], atol=1e-3)
        assert row["mean_probability"] == pytest.approx(ndimage.mean(evidence.probability, one), abs=1e-5)
        assert row["max_probability"] == pytest.approx(evidence.probability[one].max(), abs=1e-5)
        assert (row["local_alone"], row["global_alone"]) == (evidence.local[one].any(), evidence.unet[one].any())
        assert row["volume_mm3"] == pytest.approx(row["voxels"] * abs(np.linalg.det(OBLIQUE[:3, :3])), rel=1e-4)


def test_connectivity_decides_what_one_lesion_is():
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 0] = mask[2, 2, 1] = True
    assert [len(lesion_table(mask, evidence_of(mask), np.eye(4), c)) for c in (6, 18, 26)] == [3, 2, 1]


def test_no_lesion_gives_no_row():
    assert lesion_table(np.zeros((5, 6, 7), bool), evidence_of(np.zeros((5, 6, 7), bool)), np.eye(4), 18) == []


def test_a_detection_counts_for_the_lesions_that_its_box_reaches():
    mask = np.zeros((12, 8, 8), bool)
    mask[1:3, 2, 2] = mask[8, 5, 5] = True
    boxes = np.array([[2, 2, 2, 6, 6, 6], [0, 0, 0, 5, 5, 5]], np.float32)
    scores = score_map(boxes, np.array([0.9, 0.4], np.float32), mask.shape)
    near, far = lesion_table(mask, evidence_of(mask)._replace(detection_score=scores), np.eye(4), 18)
    assert (near["found_by_local"], near["detection_score"]) == (True, 0.9)
    assert (far["found_by_local"], far["detection_score"]) == (False, None)


def test_the_score_map_holds_the_voxels_whose_centre_is_in_a_box():
    boxes = np.array([[-3, 1.4, 0, 2.6, 3.5, 9], [0.5, 0.51, 0, 0.5, 4, 4], [-5, -5, -5, -1, -1, -1]], np.float32)
    scores = np.array([0.5, 0.9, 0.9], np.float32)
    centres = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in (5, 6, 4)), indexing="ij"), -1)
    expected = np.zeros((5, 6, 4), np.float32)
    for box, score in zip(boxes, scores):
        inside = ((centres >= box[:3]) & (centres < box[3:])).all(-1)
        expected[inside] = np.maximum(expected[inside], score)
    np.testing.assert_array_equal(score_map(boxes, scores, (5, 6, 4)), expected)
    assert expected.sum() > 0 and score_map(np.zeros((0, 6)), np.zeros(0), (2, 2, 2)).sum() == 0


def test_a_world_box_reaches_the_outer_faces_of_its_voxels():
    flipped = np.diag([-2.0, 1.0, 3.0, 1.0])
    np.testing.assert_allclose(box_to_world(np.array([0, 0, 0, 2, 1, 1]), flipped), [-3, -0.5, -1.5, 1, 0.5, 1.5])
