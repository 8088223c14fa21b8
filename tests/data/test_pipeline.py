"""What an epoch's patches hold, that it repeats exactly, and what it does with cases at the edges."""
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from tensorflow.python.framework import config as tf_config  # the public API cannot switch determinism off

from synergynet_tf.data import crops, pipeline
from synergynet_tf.data.cache import build_cache
from synergynet_tf.data.layouts import discover
from synergynet_tf.errors import InputError
from synergynet_tf.structures import Batch
from tests.data.small_cases import SIZE, SLOTS, batches, config, make_case, store, watched


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    return [make_case(folder, "a", (32, 40, 36), 8), make_case(folder, "b", (30, 44, 33), 5),
            make_case(folder, "none", (32, 40, 36), 0), make_case(folder, "tiny", (12, 20, 14), 1),
            make_case(folder, "large", (28, 36, 30), 4, small_box_voxels=1)]


def assert_same(left, right):
    assert len(left) == len(right) > 0
    for a, b in zip(left, right):
        for x, y in zip(a, b):
            np.testing.assert_array_equal(x, y)


def test_batches_have_the_agreed_static_shapes_and_types(cases):
    dataset = pipeline.training_dataset(cases, config(), 0)
    spec = dataset.element_spec
    assert isinstance(spec, Batch)
    expected = Batch(((2, *SIZE, 2), "float32"), ((2, *SIZE), "int32"), ((2, SLOTS, 6), "float32"), ((2, SLOTS), "bool"),
                     ((2, SLOTS), "bool"), ((2, 2), "int32"), ((2,), "int32"))
    assert [(tuple(s.shape), s.dtype.name) for s in spec] == list(expected)
    got = batches(dataset)
    assert len(got) == 3                        # ceil(5 / 2)
    for batch in got:
        assert [(x.shape, x.dtype.name) for x in batch] == list(expected)
    assert batches(pipeline.validation_patches(cases, config()))[0].image.shape == (1, *SIZE, 2)


def test_an_epoch_repeats_exactly_whatever_the_parallelism(cases):
    settings = config(patch={"lesion_fraction": 0.5}, train={"steps_per_epoch": 6})
    first = batches(pipeline.training_dataset(cases, settings, 3))
    assert_same(first, batches(pipeline.training_dataset(cases, settings, 3)))
    assert_same(first, batches(pipeline.training_dataset(cases, settings, 3, parallel=1)))
    assert_same(first, batches(pipeline.training_dataset(cases, settings, 3, parallel=5)))


def test_a_slow_case_does_not_change_the_order(cases):
    settings = config(train={"steps_per_epoch": 5})
    slow = [watched(case, 0.1 if n == 1 else 0.0, []) for n, case in enumerate(cases)]
    got = batches(pipeline.training_dataset(slow, settings, 0, parallel=4))
    assert_same(got, batches(pipeline.training_dataset(cases, settings, 0)))
    np.testing.assert_array_equal(np.concatenate([b.case for b in got]), crops.plan_training(cases, settings, 0).case)


def test_epochs_seeds_and_visits_differ(cases):
    plans = [crops.plan_training(cases, config(train={"steps_per_epoch": 20, "seed": seed}), epoch)
             for seed, epoch in ((7, 0), (7, 1), (8, 0), (2 ** 32 - 1, 0))]
    seeds = np.concatenate([plan.seed for plan in plans])
    assert len(np.unique(seeds, axis=0)) == len(seeds) == 160
    assert len(np.unique(np.concatenate([plan.angle for plan in plans]))) == 160
    assert len({tuple(plan.case) for plan in plans}) == 4
    assert len({plan.start.tobytes() for plan in plans}) == 4


def test_what_is_switched_on_does_not_change_the_other_draws(cases):
    plain, lesions = (crops.plan_training(cases, config(patch={"lesion_fraction": f}), 0) for f in (0.0, 1.0))
    np.testing.assert_array_equal(plain.angle, lesions.angle)
    np.testing.assert_array_equal(plain.case, lesions.case)
    assert (plain.start != lesions.start).any()


def test_every_case_comes_once_a_round(cases):
    order = crops.plan_training(cases, config(train={"steps_per_epoch": 10}), 0).case
    rounds = order.reshape(4, 5)
    assert (np.sort(rounds, axis=1) == np.arange(5)).all()
    assert len({tuple(r) for r in rounds}) > 1
    assert sorted(crops.plan_training(cases, config(train={"batch": 5}), 0).case) == [0, 1, 2, 3, 4]


def test_boxes_and_flags_equal_brute_force_on_the_final_labels(cases):
    settings = config(patch={"lesion_fraction": 0.7}, train={"steps_per_epoch": 8})
    kinds = set()
    for batch in batches(pipeline.training_dataset(cases, settings, 0)):
        for _, labels, boxes, valid, ignore, _, case in zip(*batch):
            is_small = cases[case].table.is_small
            for slot in range(SLOTS):
                where = np.argwhere(labels == slot + 1)
                expected = [*where.min(0), *(where.max(0) + 1)] if len(where) else [0] * 6
                np.testing.assert_array_equal(boxes[slot], expected)
                wanted = len(where) >= settings.lesions.min_voxels and bool(is_small[slot])
                assert valid[slot] == wanted and ignore[slot] == (len(where) > 0 and not wanted)
                kinds.add((bool(valid[slot]), bool(ignore[slot])))
            assert labels.max() <= len(is_small)
    assert kinds == {(False, False), (True, False), (False, True)}


def test_a_lesion_stays_bright_under_its_label_and_only_there(cases):
    settings = config(patch={"lesion_fraction": 1.0}, train={"steps_per_epoch": 8})
    seen = 0
    for batch in batches(pipeline.training_dataset(cases, settings, 1)):
        lesion = batch.instances > 0
        assert (batch.image[lesion] > 5).all()      # nearest: at least about a quarter of the sample is the lesion's
        assert (batch.image[~lesion] < 16).all()
        assert batch.image[~lesion].mean() < 2
        seen += lesion.sum()
    assert seen > 100


def test_the_corners_of_a_turned_patch_hold_tissue(cases):
    settings = config(patch={"jitter": (0, 0, 0)}, train={"steps_per_epoch": 20})
    for batch in batches(pipeline.training_dataset(cases[:3], settings, 0)):
        assert (batch.image > 0.09).all()           # every voxel inside the cases is at least 0.1, outside is 0


def test_without_rotation_a_patch_is_the_voxels_of_its_case(cases):
    settings = config(patch={"rotation": 0.0}, train={"steps_per_epoch": 5})
    plan = crops.plan_training(cases, settings, 2)
    rows = [row for batch in batches(pipeline.training_dataset(cases, settings, 2)) for row in zip(*batch)]
    for (image, labels, *_, seed, case), start, position, key in zip(rows, plan.start, plan.case, plan.seed):
        assert case == position and (seed == key).all()
        pad = np.full((3, 2), 30)
        where = tuple(slice(s + 30, s + 30 + n) for s, n in zip(start, SIZE))
        np.testing.assert_array_equal(labels, np.pad(cases[case].instances(), pad)[where])
        np.testing.assert_array_equal(image, np.pad(cases[case].image(), [*pad, (0, 0)])[where])


def test_a_turned_patch_equals_scipy_on_its_case(cases):
    settings = config(patch={"lesion_fraction": 0.5}, train={"steps_per_epoch": 5})
    plan = crops.plan_training(cases, settings, 4)
    assert np.abs(plan.angle).max() > 0.15 and np.abs(plan.angle).max() <= np.radians(15)
    rows = [row for batch in batches(pipeline.training_dataset(cases, settings, 4)) for row in zip(*batch)]
    for (image, labels, *_), start, position, angle in zip(rows, plan.start, plan.case, plan.angle):
        cos, sin = np.cos(angle), np.sin(angle)
        back, half = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]), (np.array(SIZE) - 1) / 2
        case, offset = cases[position], start + half - back @ half
        expected = ndimage.affine_transform(np.float64(case.image()[..., 1]), back, offset, SIZE, order=1, mode="grid-constant")
        np.testing.assert_allclose(image[..., 1], expected, atol=1e-3)
        expected = ndimage.affine_transform(case.instances(), back, offset, SIZE, order=0, mode="grid-constant")
        assert np.mean(labels != expected) < 2e-3


def test_cases_without_and_with_only_large_lesions(cases):
    settings = config(patch={"lesion_fraction": 1.0}, train={"batch": 1, "steps_per_epoch": 4})
    for batch in batches(pipeline.training_dataset([cases[2]], settings, 0)):
        assert not batch.instances.any() and not batch.gt_boxes.any() and not batch.gt_valid.any() and not batch.gt_ignore.any()
    for batch in batches(pipeline.training_dataset([cases[4]], settings, 0)):
        assert batch.gt_ignore.any() and not batch.gt_valid.any()


def test_a_case_smaller_than_the_patch_is_held_whole(cases):
    tiny = cases[3]
    settings = config(patch={"rotation": 0.0}, train={"batch": 1, "steps_per_epoch": 30})
    starts = crops.plan_training([tiny], settings, 0).start
    assert len(np.unique(starts, axis=0)) > 5
    for batch in batches(pipeline.training_dataset([tiny], settings, 0)):
        assert (batch.image[..., 0] > 0).sum() == np.prod(tiny.shape)
        assert (batch.instances == 1).sum() == tiny.table.voxels[0]


def test_jitter_reaches_its_bounds_and_no_further(cases):
    def offsets(**patch):
        plan = crops.plan_training(cases[:1], config(patch=patch, train={"batch": 1, "steps_per_epoch": 400}), 0)
        return plan.start - crops.centre_start(cases[0].shape, SIZE)

    assert not offsets(jitter=(0, 0, 0)).any()
    small = offsets(jitter=(3, 0, 2))
    assert small.min(0).tolist() == [-3, 0, -2] and small.max(0).tolist() == [3, 0, 2]
    free = offsets() + crops.centre_start(cases[0].shape, SIZE)
    assert free.min(0).tolist() == [0, 0, 0] and free.max(0).tolist() == [16, 16, 20]
    counts = np.bincount(free[:, 0])
    assert len(counts) == 17 and counts.min() > 8 and counts.max() < 45     # 400 / 17 = 23.5 each


def test_a_patch_about_a_lesion_holds_its_centre_and_stays_in_the_volume(cases):
    settings = config(patch={"lesion_fraction": 1.0, "rotation": 0.0}, train={"batch": 1, "steps_per_epoch": 60})
    plan = crops.plan_training(cases[:1], settings, 0)
    assert (plan.start >= 0).all() and (plan.start + SIZE <= cases[0].shape).all()
    boxes = cases[0].table.boxes
    centres = (boxes[:, :3] + boxes[:, 3:]) / 2
    inside = (centres >= plan.start[:, None]) & (centres <= plan.start[:, None] + SIZE)
    assert inside.all(-1).any(1).all()
    assert len(np.unique(plan.start, axis=0)) > 40


def test_the_share_of_patches_about_a_lesion(tmp_path):
    # The one lesion sits in a corner that only patches about it show.
    image, instances = np.ones((64, 64, 64, 2)), np.zeros((64, 64, 64), np.int16)
    instances[1:3, 1:3, 1:3] = 1
    case = store(tmp_path, "corner", image, instances, 100)
    settings = config(patch={"lesion_fraction": 0.3, "jitter": (2, 2, 2)}, train={"batch": 1, "steps_per_epoch": 400})
    near = (crops.plan_training([case], settings, 0).start < 8).all(1).mean()
    assert 0.2 < near < 0.4


def test_validation_shows_the_centre_of_every_case_in_order(cases):
    got = batches(pipeline.validation_patches(cases, config()))
    assert [int(batch.case[0]) for batch in got] == [0, 1, 2, 3, 4]
    for case, batch in zip(cases, got):
        if case.name != "tiny":
            low = [(n - m) // 2 for n, m in zip(case.shape, SIZE)]
            middle = tuple(slice(a, a + m) for a, m in zip(low, SIZE))
            np.testing.assert_array_equal(batch.image[0], case.image()[middle])
            np.testing.assert_array_equal(batch.instances[0], case.instances()[middle])
    np.testing.assert_array_equal(got[3].image[0, 2:14, 2:22, 1:15], cases[3].image())
    assert_same(got, batches(pipeline.validation_patches(cases, config())))
    assert len({tuple(batch.seed[0]) for batch in got}) == 5


@pytest.mark.parametrize("start", [(0, 0, 0), (-3, 2, 1), (4, -2, 5), (-10, 0, 0), (9, 9, 9), (-2, -2, -2)])
def test_read_crop_equals_a_padded_slice(start):
    volume = np.random.default_rng(0).normal(size=(6, 7, 8, 2))
    size = (5, 12, 6)
    padded = np.pad(volume, [(20, 20)] * 3 + [(0, 0)])
    where = tuple(slice(s + 20, s + 20 + n) for s, n in zip(start, size))
    np.testing.assert_array_equal(crops.read_crop(volume, start, size), padded[where])


@pytest.fixture
def determinism():
    """TensorFlow's own op determinism, as training with train.deterministic sets it."""
    before = tf_config.is_op_determinism_enabled()
    tf.config.experimental.enable_op_determinism()
    yield
    if not before:
        tf_config.disable_op_determinism()


@pytest.mark.parametrize(("cores", "at_a_time"), [(1, 1), (2, 1), (4, 2), (64, 2)])
def test_op_determinism_changes_nothing_and_reads_stay_parallel(cases, cores, at_a_time, monkeypatch, request):
    monkeypatch.setattr(pipeline, "cores", lambda: cores)
    settings = config(train={"steps_per_epoch": 4})
    expected = batches(pipeline.training_dataset(cases, settings, 0))
    request.getfixturevalue("determinism")
    log = []
    assert_same(expected, batches(pipeline.training_dataset([watched(case, 0.03, log) for case in cases], settings, 0)))
    assert np.cumsum(log).max() == at_a_time


def test_unfit_cases_are_named(cases):
    with pytest.raises(InputError, match="training split has 0 cases"):
        pipeline.training_dataset([], config(), 0)
    with pytest.raises(InputError, match="validation split has 0 cases"):
        pipeline.validation_patches([], config())
    with pytest.raises(InputError, match="case a: 8 lesions.*max_lesions is 6"):
        pipeline.training_dataset(cases, config(lesions={"max_lesions": 6}), 0)
    with pytest.raises(InputError, match="case a: cached with the channels flair, t2, but data.channels is flair;"):
        pipeline.validation_patches(cases, config(data={"channels": ("flair",)}))
    for make in (lambda c: pipeline.training_dataset(c, config(), 0), lambda c: pipeline.validation_patches(c, config())):
        with pytest.raises(InputError, match="case b: has no lesion mask"):
            make([cases[0], replace(cases[1], has_lesions=False)])


def test_an_epoch_of_the_real_cache(tiny_config):
    cases = build_cache(discover(tiny_config.data.path), tiny_config)
    got = batches(pipeline.training_dataset(cases, tiny_config, 0))
    assert len(got) == 2 and any(batch.gt_valid.any() for batch in got)
    for batch in got:
        assert batch.image.shape == (1, 32, 32, 32, 1)
        lesion = batch.instances > 0
        assert batch.image[lesion].mean() > batch.image[~lesion].mean() + 1
    assert len(batches(pipeline.validation_patches(cases, tiny_config))) == 6
