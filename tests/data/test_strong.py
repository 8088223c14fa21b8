"""Patches with every transform on, from cached cases to batches: what must hold of them whatever was drawn."""
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from synergynet_tf.config import Config, DataConfig, LesionConfig, PatchConfig, TrainConfig
from synergynet_tf.config.augment import TRANSFORMS, AugmentConfig
from synergynet_tf.data import crops, donors, draws, pipeline, transforms, warp
from synergynet_tf.data.cache import CachedCase
from synergynet_tf.data.instances import lesion_table
from synergynet_tf.data.layouts import Case

SIZE, SLOTS = (16, 24, 16), 6
SPATIAL = AugmentConfig(flip=0.5, scale=0.7, elastic=0.7, elastic_range=(1.0, 3.0), elastic_spacing=8.0)
EVERYTHING = replace(SPATIAL, **dict.fromkeys(TRANSFORMS, 0.7))


def make_case(folder, name, lesions):
    """Tissue of 1 with cubes of 20 in it, labelled, and a rim of background."""
    image, instances = np.zeros((32, 40, 34, 2), np.float16), np.zeros((32, 40, 34), np.int16)
    image[2:-2, 2:-2, 2:-2] = 1
    places = [(6, 8, 7), (20, 9, 20), (9, 26, 21), (21, 25, 8), (14, 17, 15)][:lesions]
    for label, (x, y, z) in enumerate(places, 1):
        image[x:x + 5, y:y + 5, z:z + 5], instances[x:x + 5, y:y + 5, z:z + 5] = 20, label
    (folder / name).mkdir()
    np.save(folder / name / "image.npy", image)
    np.save(folder / name / "instances.npy", instances)
    table = lesion_table([[*p, *(n + 5 for n in p)] for p in places], [125] * lesions, LesionConfig())
    channels = ("flair", "t2")
    return CachedCase(name, name, folder / name, instances.shape, channels, (1.0, 1.0, 1.0), instances.size, True, table,
                      Case(name, name, "", dict.fromkeys(channels, folder), folder, None))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    return [make_case(folder, "a", 5), make_case(folder, "b", 3), make_case(folder, "none", 0)]


def config(augment, steps=8, **patch):
    return Config(DataConfig(channels=("flair", "t2")), lesions=LesionConfig(max_lesions=SLOTS), augment=augment,
                  patch=PatchConfig(size=SIZE, **patch), train=TrainConfig(batch=2, seed=7, steps_per_epoch=steps))


def batches(cases, settings, epoch=0, parallel=2):
    return list(pipeline.training_dataset(cases, settings, epoch, parallel).as_numpy_iterator())


def assert_same(left, right):
    for a, b in zip(left, right, strict=True):
        for x, y in zip(a, b):
            np.testing.assert_array_equal(x, y)


@pytest.mark.slow
def test_an_epoch_repeats_whatever_the_parallelism_and_epochs_differ(cases):
    first = batches(cases, config(EVERYTHING))
    assert_same(first, batches(cases, config(EVERYTHING), parallel=1))
    assert_same(first, batches(cases, config(EVERYTHING), parallel=4))
    for a, b in zip(first, batches(cases, config(EVERYTHING), epoch=1)):
        assert (a.image != b.image).any()


def test_shapes_are_static_numbers_finite_and_boxes_those_of_the_final_labels(cases):
    dataset = pipeline.training_dataset(cases, config(EVERYTHING), 0)
    assert all(spec.shape.is_fully_defined() for spec in dataset.element_spec)
    seen = 0
    for batch in batches(cases, config(EVERYTHING)):
        assert batch.image.shape == (2, *SIZE, 2) and np.isfinite(batch.image).all()
        for _, labels, boxes, valid, ignore, _, case in zip(*batch):
            found = ndimage.find_objects(labels, SLOTS)
            expected = [[s.start for s in box] + [s.stop for s in box] if box else [0] * 6 for box in found]
            np.testing.assert_array_equal(boxes, expected)
            np.testing.assert_array_equal(valid | ignore, [box is not None for box in found])
            assert labels.max() <= len(cases[case].table.boxes) + EVERYTHING.paste_range[1]
            seen += valid.sum()
    assert seen > 10


def test_labels_follow_the_image(cases):
    seen = 0
    for batch in batches(cases, config(SPATIAL, lesion_fraction=1.0)):
        for image, labels in zip(batch.image[..., 0], batch.instances):
            inner = ndimage.binary_erosion(labels > 0, np.ones((3, 3, 3)))
            outer = ~ndimage.binary_dilation(labels > 0, np.ones((5, 5, 5)))
            outer &= np.pad(np.ones([n - 4 for n in SIZE], bool), 2)    # a lesion beyond the patch shines into its rim
            assert (image[inner] > 15).all() and (image[outer] < 1.01).all()
            # The nearest voxel is the lesion's: at least an eighth of the sample is.
            assert (image[labels > 0] > 2).all()
            seen += inner.sum()
    assert seen > 100


def test_what_is_read_suffices_for_the_strongest_transform(cases, tmp_path):
    image = np.ones((90, 90, 90, 2), np.float16)
    case = make_case(tmp_path, "solid", 0)
    np.save(case.folder / "image.npy", image)
    np.save(case.folder / "instances.npy", np.zeros((90, 90, 90), np.int16))
    case = replace(case, shape=(90, 90, 90))
    for batch in batches([case], config(SPATIAL, jitter=(0, 0, 0))):
        np.testing.assert_allclose(batch.image, 1, atol=1e-4)


def test_a_flip_alone_reverses_x_exactly(cases):
    plain, flipped = (batches(cases, config(augment, rotation=0.0)) for augment in (AugmentConfig(), AugmentConfig(flip=1.0)))
    for a, b in zip(plain, flipped):
        np.testing.assert_array_equal(b.image, a.image[:, ::-1])
        np.testing.assert_array_equal(b.instances, a.instances[:, ::-1])
        np.testing.assert_array_equal(b.gt_valid, a.gt_valid)


def test_what_is_switched_on_changes_neither_places_angles_nor_seeds(cases):
    plain, strong = (crops.plan_training(cases, config(augment), 4) for augment in (AugmentConfig(), EVERYTHING))
    for name in ("case", "start", "angle", "seed"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(strong, name))


def test_the_draws_of_a_run_are_those_of_earlier_versions(cases):
    solid = replace(cases[0], shape=(40, 50, 60))
    settings = replace(config(EVERYTHING, 3, lesion_fraction=0.5), train=TrainConfig(seed=7, steps_per_epoch=3))
    plan = crops.plan_training([solid, solid], settings, 4)
    assert plan.case.tolist() == [0, 1, 1]
    assert [float(a).hex() for a in plan.angle] == ["0x1.6cceee0000000p-3", "0x1.77c7500000000p-3", "-0x1.c583f40000000p-3"]
    assert plan.seed.tolist() == [[-306286510, 1317883301], [1419796956, 2071088569], [-582176074, 1363752304]]
    assert plan.start[2].tolist() == [6, 1, 34]


def test_the_plain_graph_agrees_with_the_compiled_one(cases):
    settings = config(EVERYTHING)
    row = draws.draw(config(replace(EVERYTHING, **dict.fromkeys(TRANSFORMS, 1.0))), 0, 1)
    given = {name: tf.constant(values[0]) for name, values in row.items()}
    read = list(map(tf.constant, pipeline.Reader(cases, settings)(0, np.array([8, 8, 9]), row["paste"][0])))
    arguments = (warp.Block(*read[:3]), tf.constant(0.2), given, donors.Donors(*read[4:]))
    plain = tf.function(lambda *a: transforms.augment_patch(*a, EVERYTHING, SIZE))(*arguments)
    compiled = transforms.compiled(EVERYTHING, SIZE)(*arguments)
    assert compiled[0].shape == (*SIZE, 2) and compiled[1].shape == SIZE
    # Cubes have edges: a place that differs in the last bit of a float32 may choose the neighbouring label.
    np.testing.assert_allclose(plain[0], compiled[0], atol=0.02)
    assert np.mean(plain[1] != compiled[1]) < 2e-3 and np.any(plain[1])


def test_one_function_serves_all_epochs(cases):
    assert transforms.compiled(EVERYTHING, SIZE) is transforms.compiled(replace(EVERYTHING), tuple(SIZE))
    first = transforms.compiled(EVERYTHING, SIZE)
    traces = first.experimental_get_tracing_count()
    for epoch in (3, 4):
        batches(cases, config(EVERYTHING, 1), epoch)
    assert first.experimental_get_tracing_count() == traces > 0


def test_cases_without_lesions_have_none_where_none_are_given(cases):
    for batch in batches(cases[2:], config(EVERYTHING)):
        assert not batch.instances.any() and not batch.gt_boxes.any() and not batch.gt_valid.any() and not batch.gt_ignore.any()


def test_validation_is_never_augmented(cases):
    for batch, case in zip(pipeline.validation_patches(cases, config(EVERYTHING)).as_numpy_iterator(), cases):
        start = crops.centre_start(case.shape, SIZE)
        np.testing.assert_array_equal(batch.image[0], crops.read_crop(case.image(), start, SIZE))
