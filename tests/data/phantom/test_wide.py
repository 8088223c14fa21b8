"""Wide phantoms as a whole: what must hold of every scan, and that what is bright and no lesion is never marked as one."""
import dataclasses
import hashlib

import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.config import PhantomConfig
from synergynet_tf.data.judgement import judge_brain
from synergynet_tf.data.phantom import GRID, lesion_map, make_patient, mimics, patient
from synergynet_tf.data.phantom.variety import WIDE, draw, draw_log
from synergynet_tf.data.phantom.wide import WideScanner
from synergynet_tf.errors import InputError, Unprepared
from synergynet_tf.metrics.extent import bounding_box

SEED, INDEX = 3, 2


@pytest.fixture(scope="module")
def made():
    """Two time points of a wide patient on the template, and the brain they are of."""
    return make_patient(SEED, INDEX, 2, None, "wide"), patient._patient(SEED, INDEX, None, "wide", None)[0]


def digest(session):
    return hashlib.md5(b"".join(part.tobytes() for part in session[:3])).hexdigest()


def test_scans_are_whole_numbers_inside_a_mask_that_holds_the_lesions(made):
    for session in made[0]:
        inside = session.flair != 0
        assert session.flair.shape == GRID and session.lesions.dtype == np.uint8
        assert (session.flair == np.rint(session.flair)).all() and session.flair[inside].min() >= 1
        np.testing.assert_array_equal(inside, session.t2 != 0)
        assert inside[session.lesions > 0].all()
        assert session.flair.max() < 2 ** 15
        assert 0.75e6 < inside.sum() < 2.3e6


def test_a_seed_gives_the_same_bytes_and_more_sessions_only_add(made):
    again = make_patient(SEED, INDEX, 1, None, "wide")
    assert digest(again[0]) == digest(made[0][0]) != digest(made[0][1])


def test_lesions_are_brighter_than_what_is_about_them(made):
    session = made[0][0]
    labels, count = ndimage.label(session.lesions, np.ones((3, 3, 3)))
    brighter = 0
    for place, label in zip(ndimage.find_objects(labels), range(1, count + 1)):
        window = tuple(slice(max(s.start - 5, 0), s.stop + 5) for s in place)
        own, flair = labels[window] == label, session.flair[window]
        ring = ndimage.binary_dilation(own, iterations=4) & ~ndimage.binary_dilation(labels[window] > 0) & (flair > 0)
        brighter += flair[own].mean() > np.median(flair[ring])
    assert count and brighter >= 0.75 * count


def test_what_is_bright_in_the_ventricles_is_no_lesion(made):
    sessions, brain = made
    image = np.full(brain.labels.shape, 0.2, np.float32)
    mimics.paint_mimics(image, brain, WIDE, np.random.default_rng(0))
    bright = brain.ventricle & (image > 0.6)
    assert bright.sum() > 300                                               # choroid plexus, septum
    assert not lesion_map(SEED, INDEX, None, "wide")[brain.anatomy.box][brain.ventricle].any()


def test_mimics_change_nothing_but_the_image(made):
    brain = made[1]
    before = [part.copy() for part in (*brain.anatomy[1:5], brain.labels, brain.from_ventricle)]
    first, second = (np.ones(brain.labels.shape, np.float32) for _ in range(2))
    for image in (first, second):
        mimics.paint_mimics(image, brain, WIDE, np.random.default_rng(1))
    np.testing.assert_array_equal(first, second)
    for was, now in zip(before, (*brain.anatomy[1:5], brain.labels, brain.from_ventricle)):
        np.testing.assert_array_equal(was, now)
    assert np.isfinite(first).all() and first.max() < 3.5


def test_each_painter_paints_where_it_says(made):
    brain = made[1]
    x, y, z = brain.places.mm
    for painter, place in ((mimics._choroid, brain.ventricle & (y < -20)), (mimics._lining, brain.from_ventricle < 30),
                           (mimics._optic, (y > -25) & (z < 0) & (np.abs(x) < 30)), (mimics._stem_and_tract, y < 10),
                           (mimics._septum_and_fornix, (np.abs(x) < 40) & (y < 40))):
        image = np.full(brain.labels.shape, 0.5, np.float32)
        painter(image, brain, WIDE, np.random.default_rng(4))
        changed = np.abs(image - 0.5) > 0.05
        assert changed.sum() > 50, painter
        assert (changed & place).sum() > 0.5 * changed.sum(), painter


def test_patients_differ_and_some_are_healthy():
    counts = [lesion_map(0, index, None, "wide").sum() for index in range(3)]
    assert len(set(counts)) == 3


def test_ranges_are_ranges_and_numbers_lie_in_them():
    rng = np.random.default_rng(0)
    for name, span in vars(WIDE).items():
        if isinstance(span, tuple):
            assert span[0] < span[1], name
            assert span[0] <= draw(rng, span) <= span[1]
    assert all(60 <= draw_log(rng, (60, 3000)) <= 3000 for _ in range(50))


def test_real_shapes_are_for_wide_phantoms():
    with pytest.raises(InputError, match="phantoms.shapes is 'a.npz', but phantoms.variety is narrow"):
        PhantomConfig(shapes="a.npz")
    assert PhantomConfig(shapes="a.npz", variety="wide").shapes == "a.npz"


def test_what_is_left_of_a_skull_never_makes_a_scan_that_training_refuses(monkeypatch):
    bright = dataclasses.replace(WIDE, dura=(1.7, 2.2), margin=(2.5, 3.0), uneven=(0.2, 0.4), fluid=(0.04, 0.1), thick=0.0)
    monkeypatch.setattr(patient, "WIDE", bright)
    seed, index = 5, 3
    brain, history = patient._patient(seed, index, None, "wide", None)
    scanner = WideScanner(brain, bright, patient._generator(seed, index, 0, 1))
    with pytest.raises(Unprepared, match="a dark layer lies between bright ones"):
        judge(scanner.scan(history.mask(), patient._generator(seed, index, 1))[0])
    judge(make_patient(seed, index, 1, None, "wide")[0].flair)


def judge(flair):
    flair = flair[bounding_box(flair != 0)]
    judge_brain(flair, flair != 0, (1, 1, 1))
