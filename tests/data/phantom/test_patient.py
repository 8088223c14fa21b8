import hashlib
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.data.phantom import AFFINE, GRID, lesion_map, make_patient

FULL = np.ones((3, 3, 3))


def _digest(session):
    return [hashlib.sha256(volume.tobytes()).hexdigest() for volume in (session.flair, session.t2, session.lesions)]


def _brain(session):
    return session.flair != 0


def test_volumes_are_on_the_mni_grid(patient):
    for session in patient:
        assert session.flair.shape == session.t2.shape == session.lesions.shape == GRID == (182, 218, 182)
        assert (session.flair.dtype, session.t2.dtype, session.lesions.dtype) == (np.float32, np.float32, np.uint8)
        np.testing.assert_array_equal(session.affine, [[-1, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1]])
        assert set(np.unique(session.lesions)) == {0, 1}
        np.testing.assert_array_equal(session.flair, np.rint(session.flair))
        assert max(session.flair.max(), session.t2.max()) < 2 ** 15


def test_background_is_exactly_zero_and_the_brain_is_one_piece(patient):
    brain = _brain(patient[0])
    np.testing.assert_array_equal(brain, patient[0].t2 != 0)
    assert min(patient[0].flair.min(), patient[0].t2.min()) == 0
    assert ndimage.label(brain)[1] == 1
    assert not brain[[0, -1]].any()
    assert not brain[:, [0, -1]].any()
    assert 0.86e6 <= brain.sum() <= 1.9e6


def test_lesions_lie_in_the_brain_and_outshine_what_is_around_them(patient):
    flair, lesions = patient[0].flair, patient[0].lesions > 0
    assert (flair[lesions] > 0).all()
    labels, count = ndimage.label(lesions, FULL)
    brighter = 0
    for label, place in enumerate(ndimage.find_objects(labels), start=1):
        window = tuple(slice(max(s.start - 4, 0), s.stop + 4) for s in place)
        own = labels[window] == label
        ring = ndimage.binary_dilation(own, iterations=3) & ~ndimage.binary_dilation(lesions[window]) & (flair[window] > 0)
        brighter += flair[window][own].mean() > flair[window][ring].mean()
    assert brighter >= 0.93 * count
    healthy = ndimage.binary_erosion(_brain(patient[0]), iterations=4) & ~ndimage.binary_dilation(lesions, iterations=2)
    levels = np.percentile(flair[healthy], [2, 50, 90])
    assert levels[0] < 0.6 * levels[1]                                  # CSF is dark on FLAIR
    assert flair[lesions].mean() > levels[2]
    assert patient[0].t2[lesions].mean() > np.median(patient[0].t2[healthy])


def test_csf_is_brightest_on_t2_and_darkest_on_flair(patient):
    session = patient[0]
    deep = ndimage.binary_erosion(_brain(session), iterations=12)
    bright = deep & (session.t2 > np.percentile(session.t2[deep], 99.3)) & (session.lesions == 0)
    assert session.flair[bright].mean() < 0.6 * np.median(session.flair[deep])


def test_time_points_share_brain_and_most_lesions_but_not_noise(patient):
    first, second = patient
    np.testing.assert_array_equal(_brain(first), _brain(second))
    assert not np.array_equal(first.lesions, second.lesions)
    overlap = 2 * (first.lesions & second.lesions).sum() / (first.lesions.sum() + second.lesions.sum())
    assert 0.6 < overlap < 1
    for one, other in ((first, second), (second, first)):      # some lesions are new, most are known
        labels, count = ndimage.label(one.lesions, FULL)
        known = np.unique(labels[(labels > 0) & (other.lesions > 0)]).size
        assert known >= 0.7 * count
    labels, count = ndimage.label(second.lesions, FULL)
    assert np.unique(labels[(labels > 0) & (first.lesions > 0)]).size < count
    same = _brain(first) & (first.lesions == 0) & (second.lesions == 0)
    a, b = first.flair[same] / first.flair[same].mean(), second.flair[same] / second.flair[same].mean()
    assert 0.02 < (a - b).std() < 0.2


def test_the_seed_gives_the_same_bytes_and_more_sessions_only_add(patient):
    assert _digest(make_patient(3, 3, 1)[0]) == _digest(patient[0])


def test_patients_differ_and_their_lesions_follow_the_real_ones(patient):
    maps = [lesion_map(3, index) for index in range(4)]
    assert len({m.tobytes() for m in maps}) == 4
    np.testing.assert_array_equal(maps[3], patient[0].lesions)      # the lesions alone are those of the patient
    totals = []
    for lesions in maps:
        labels, count = ndimage.label(lesions, FULL)
        sizes = np.bincount(labels.ravel())[1:]
        boxes = [np.prod([s.stop - s.start for s in place]) for place in ndimage.find_objects(labels)]
        assert 17 <= count <= 392
        assert 6 <= np.median(sizes) <= 37
        assert 300 <= sizes.sum() <= 52200
        assert np.mean(np.array(boxes) < 1500) >= 0.79
        totals.append(sizes.sum())
    assert max(totals) > 3 * min(totals)


def test_no_tensorflow_is_imported():
    code = ("import sys, synergynet_tf.phantoms, synergynet_tf.data.phantom.atlas as a; a.template_atlas();"
            "print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras', 'nilearn', 'sklearn')])")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_labelled_brains_are_brought_to_the_grid(real_data):
    folder = real_data / "anatomy"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    session = make_patient(0, 8, 1, folder)[0]
    brain = _brain(session)
    assert brain.shape == GRID
    assert 0.86e6 <= brain.sum() <= 1.9e6
    lowest = np.argwhere(brain[:, :, :50])
    assert brain[60:120, 80:140, 60:100].mean() > 0.9           # the middle of the grid is the middle of the brain
    assert lowest.size == 0 or lowest[:, 1].mean() < 118        # brainstem and cerebellum below, not the forehead
    assert (session.lesions > 0).sum() > 300
    assert brain[session.lesions > 0].all()
    np.testing.assert_array_equal(session.affine, AFFINE)
