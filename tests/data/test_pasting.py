"""Lesions pasted from other cases: which may be, how they are read, where they lie, what they do to image and labels."""
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from synergynet_tf.config import Config, DataConfig, LesionConfig, PatchConfig, TrainConfig
from synergynet_tf.config.augment import AugmentConfig
from synergynet_tf.data import donors, draws, pasting, pipeline
from synergynet_tf.data.cache import CachedCase
from synergynet_tf.data.instances import label_lesions
from synergynet_tf.data.layouts import Case

SIZE, SLOTS, SHAPE = (40, 48, 40), 12, (60, 64, 56)
PASTE = AugmentConfig(paste=1.0, paste_range=(3, 3), paste_border=(2.0, 2.0))


def make_case(folder, name, tissue, spots, contrast=4.0):
    """An ellipsoid of `tissue` in FLAIR (its negative in T2) with balls of radius r that are brighter by `contrast`."""
    grid = np.indices(SHAPE)
    middle = (np.array(SHAPE) - 1) / 2
    brain = sum(((g - m) / (0.95 * m)) ** 2 for g, m in zip(grid, middle)) < 1
    mask = np.zeros(SHAPE, bool)
    for *centre, radius in spots:
        mask |= sum((g - c) ** 2 for g, c in zip(grid, centre)) <= radius ** 2
    flair = np.where(brain, tissue + contrast * mask, 0)
    instances, table = label_lesions(mask, LesionConfig(), name)
    (folder / name).mkdir()
    np.save(folder / name / "image.npy", np.stack([flair, -flair], -1).astype(np.float16))
    np.save(folder / name / "instances.npy", instances)
    channels = ("flair", "t2")
    return CachedCase(name, name, folder / name, SHAPE, channels, (1.0, 1.0, 1.0), int(brain.sum()), True, table,
                      Case(name, name, "", dict.fromkeys(channels, folder), folder, None))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    return [make_case(folder, "a", 1.0, [(20, 30, 28, 3), (40, 30, 28, 2)]),
            make_case(folder, "b", 3.0, [(30, 20, 28, 3), (30, 44, 28, 10), (44, 32, 20, 0.5)]),
            make_case(folder, "none", 2.0, [])]


def config(augment, **groups):
    return Config(DataConfig(channels=("flair", "t2")), lesions=LesionConfig(max_lesions=groups.pop("slots", SLOTS)),
                  augment=augment, patch=PatchConfig(size=SIZE, rotation=0.0, jitter=(4, 4, 4)),
                  train=TrainConfig(seed=groups.pop("seed", 7), steps_per_epoch=6))


def batches(cases, settings, epoch=0, parallel=2):
    return list(pipeline.training_dataset(cases, settings, epoch, parallel).as_numpy_iterator())


def pairs(cases, settings):
    """Each patch without pasting, the same with, and its case."""
    plain = batches(cases, replace(settings, augment=AugmentConfig()))
    for before, after in zip(plain, batches(cases, settings)):
        yield (before.image[0], before.instances[0]), (after.image[0], after.instances[0]), cases[int(after.case[0])]


def test_only_small_lesions_of_enough_voxels_are_given(cases):
    rows = donors.eligible(cases, 3)
    assert [len(case.table.voxels) for case in cases] == [2, 3, 0]
    assert [sorted(case.table.voxels[r].tolist()) for case, r in zip(cases, rows)] == [[33, 123], [123], []]
    assert len(donors.eligible(cases, 1)[1]) == 2


def test_a_donor_is_what_the_lesion_adds_to_its_tissue(cases):
    read = donors.read_donors(cases, donors.eligible(cases, 3), 0, np.array([[0.3, 0.5], [-1, -1]], np.float32), 3, SLOTS)
    assert read.label.tolist() == [3, 0] and not read.contrast[1].any()
    np.testing.assert_allclose(read.level[0], (3, -3))         # of case b: case a is the receiver
    inside = read.depth[0] > 0
    assert inside.sum() == 123
    np.testing.assert_allclose(read.contrast[0][inside], np.broadcast_to((4, -4), (123, 2)))
    np.testing.assert_allclose(read.contrast[0][~inside], 0)
    edge = ndimage.binary_dilation(inside) & ~inside
    np.testing.assert_allclose(read.depth[0][edge], -0.5)


def test_beside_a_lesion_neither_ventricle_nor_background_is_taken(tmp_path):
    case = make_case(tmp_path, "c", 1.0, [(30, 30, 28, 3)])
    image = np.array(case.image())
    image[34:] = (-9, 9)                # fluid beside it
    image[:, 34:] = 0                   # and the end of the brain
    np.save(case.folder / "image.npy", image)
    read = donors.read_donors([case], donors.eligible([case], 3), 0, np.zeros((1, 2), np.float32), 2, SLOTS)
    outside = read.depth[0] <= 0
    assert (read.contrast[0][outside][:, 0] >= 0).all() and (read.contrast[0][outside][:, 1] <= 0).all()


def test_pasted_lesions_are_bright_under_new_labels_and_nothing_else_changes(cases):
    seen = 0
    for (image, labels), (pasted, new), case in pairs(cases, config(PASTE)):
        own = len(case.table.voxels)
        np.testing.assert_array_equal(new[labels > 0], labels[labels > 0])      # no overlap with what was there
        for label in range(own + 1, new.max() + 1):
            here = new == label
            if not here.any():
                continue
            seen += 1
            assert here.sum() in (33, 123)
            added = pasted[here] - image[here]
            # The edge blends over 2 voxels: half a voxel inside three quarters of the contrast, from one voxel on all of it.
            assert (added[:, 0] >= 0.74 * 4).all() and (added[:, 1] <= -0.74 * 4).all()
            inner = ndimage.binary_erosion(here, np.ones((3, 3, 3)))
            np.testing.assert_allclose(pasted[inner, 0] - image[inner, 0], 4, atol=0.01)
            assert (image[ndimage.binary_dilation(here, np.ones((3, 3, 3)))] != 0).all()       # inside the brain
        changed = (pasted != image).any(-1)
        assert not (changed & ~ndimage.binary_dilation(new > own, np.ones((3, 3, 3)))).any()
        count = ndimage.label(new > 0, np.ones((3, 3, 3)))[1]
        assert count == len(np.unique(new[new > 0]))                            # each is a component of its own
        assert new.max() <= own + 3
    assert seen > 8


def test_a_lesion_goes_where_the_tissue_is_like_its_own(tmp_path):
    folder = tmp_path
    giver, receiver = make_case(folder, "giver", 2.0, [(30, 30, 28, 2)]), make_case(folder, "receiver", 2.0, [])
    image = np.array(receiver.image())
    fluid = np.zeros(SHAPE, bool)
    fluid[:30] = True
    image[fluid & (image[..., 0] != 0)] = (-6, 6)
    np.save(receiver.folder / "image.npy", image)
    found = 0
    for batch in batches([receiver, giver], config(replace(PASTE, paste_range=(1, 1)))):
        if batch.case[0] == 0:
            where = batch.instances[0] == 1
            found += where.any()
            assert (batch.image[0][where][:, 0] > 2).all()
    assert found


def test_without_probability_it_is_exactly_off_and_without_draws_too(cases):
    plain = batches(cases, config(AugmentConfig()))
    for a, b in zip(plain, batches(cases, config(replace(PASTE, paste=0.0)))):
        for x, y in zip(a, b):
            np.testing.assert_array_equal(x, y)
    reader = pipeline.Reader(cases, config(PASTE))
    image, labels, centre, _, *given = map(tf.constant, reader(0, np.array([3, 3, 3]), draws.neutral(1, 2)["paste"][0]))
    row = {name: tf.constant(values[0]) for name, values in draws.neutral(1, 2).items()}
    for made, was in zip(pasting.paste(image, labels, donors.Donors(*given), row, centre, SIZE), (image, labels)):
        np.testing.assert_array_equal(made, was)


def test_an_epoch_repeats_and_boxes_are_those_of_scipy(cases):
    first = batches(cases, config(PASTE))
    for a, b in zip(first, batches(cases, config(PASTE), parallel=1)):
        for x, y in zip(a, b):
            np.testing.assert_array_equal(x, y)
    for batch in first:
        found = ndimage.find_objects(batch.instances[0], SLOTS)
        expected = [[s.start for s in box] + [s.stop for s in box] if box else [0] * 6 for box in found]
        np.testing.assert_array_equal(batch.gt_boxes[0], expected)
        new = [n >= len(cases[int(batch.case[0])].table.voxels) and box is not None for n, box in enumerate(found)]
        assert batch.gt_valid[0][new].all()


def test_no_label_goes_beyond_the_slots_and_one_case_gives_to_itself(cases):
    for batch in batches(cases, config(PASTE, slots=3)):
        assert batch.instances.max() <= 3
    assert max(batch.instances.max() for batch in batches(cases[:1], config(PASTE))) > 2
    for batch in batches(cases[2:], config(PASTE)):
        assert not batch.instances.any()            # nobody has a lesion to give
