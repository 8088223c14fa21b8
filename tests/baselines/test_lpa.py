"""The lesion prediction algorithm: its maps by hand, its fit on phantoms of known rule, and what it refuses."""
import numpy as np
import pytest

from synergynet_tf.baselines import lpa
from synergynet_tf.config import Config
from synergynet_tf.data import layouts
from synergynet_tf.data.cache import build_cache
from synergynet_tf.errors import InputError
from synergynet_tf.metrics.voxel import dice
from tests.damage import damaged


@pytest.fixture(scope="module")
def cases(tiny_cohort, tmp_path_factory):
    config = Config.from_dict({"data": {"cache": str(tmp_path_factory.mktemp("cache"))}})
    return build_cache(layouts.discover(tiny_cohort, require_lesions=True), config)


@pytest.fixture(scope="module")
def model(cases):
    return lpa.fit(cases[:4])


def test_bright_lesions_of_other_patients_are_found(model, cases):
    for case in cases[4:]:
        probability = model.probability(np.asarray(case.image()[..., 0], np.float32))
        assert dice(np.asarray(case.instances()) > 0, probability > model.threshold) > 0.9
        assert (probability[np.asarray(case.image()[..., 0]) == 0] == 0).all()


def test_the_fit_is_repeatable_and_saved_as_it_is(model, cases, tmp_path):
    model.save(tmp_path / "lpa.npz")
    read, again = lpa.load(tmp_path / "lpa.npz"), lpa.fit(cases[:4])
    flair = np.asarray(cases[5].image()[..., 0], np.float32)
    np.testing.assert_array_equal(read.probability(flair), model.probability(flair))
    np.testing.assert_array_equal(again.probability(flair), model.probability(flair))
    assert read.threshold == again.threshold == model.threshold


def test_the_belief_is_in_robust_deviations():
    rng = np.random.default_rng(0)
    flair = rng.normal(2, .5, (30, 30, 30)).astype(np.float32)
    flair[:2] = 0
    flair[10:12, 10:12, 10:12] = 4      # four deviations
    flair[20, 20, 20] = 1000
    belief = lpa.belief_map(flair, flair != 0)
    assert (belief[:2] == 0).all() and belief[20, 20, 20] == lpa.BELIEF_MAX
    np.testing.assert_allclose(belief[10:12, 10:12, 10:12], 4, rtol=.05)
    assert .45 < np.mean(belief[2:] == 0) < .55


def test_boxes_are_stretched_face_to_face():
    ramp = np.broadcast_to(np.arange(8)[:, None, None] + 0.5, (8, 4, 4)) / 8        # a cell's centre, 0 to 1 over the box
    stretched = lpa.resample_box(ramp, (16, 6, 3))
    np.testing.assert_allclose(stretched[1:-1, 0, 0], ((np.arange(16) + .5) / 16)[1:-1], atol=1e-6)
    np.testing.assert_allclose(lpa.resample_box(ramp, ramp.shape), ramp, atol=1e-6)


def test_no_lesion_to_learn_from_is_refused(cases):
    with pytest.raises(InputError, match="none of the 0 training cases has a lesion"):
        lpa.fit([])


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "lpa.npz").write_bytes(b"no model")
    with pytest.raises(InputError, match="lpa.npz: not a readable model"):
        lpa.load(tmp_path / "lpa.npz")


@pytest.mark.parametrize("count", [pytest.param(60, marks=pytest.mark.few), pytest.param(1000, marks=pytest.mark.slow)])
def test_a_damaged_model_is_named(model, tmp_path, count):
    path, refused = tmp_path / "lpa.npz", 0
    model.save(path)
    for content in damaged(path.read_bytes(), count):
        path.write_bytes(content)
        try:
            lpa.load(path)
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}: not a readable model") and "\n" not in str(error)
    assert refused > count / 2


@pytest.mark.parametrize("changes", [
    {"prior": np.zeros((2, 2, 2), np.float32)}, {"scale": np.zeros((2, 6))}, {"weights": np.full(7, np.nan)},
    {"threshold": np.array(2.0)}, {"threshold": np.array("0.5")}, {"weights": np.array([{}] * 7)}])
def test_a_model_of_something_else_is_refused(model, tmp_path, changes):
    np.savez(tmp_path / "lpa.npz", **vars(model) | changes)
    with pytest.raises(InputError, match="lpa.npz: not a readable model"):
        lpa.load(tmp_path / "lpa.npz")
