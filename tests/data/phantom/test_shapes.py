"""Real lesions' shapes: read or refused, and carried to their own place."""
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.data.phantom import make_patient
from synergynet_tf.data.phantom.places import Places
from synergynet_tf.data.phantom.shapes import RealShapes, Shapes, place_shape, read_shapes
from synergynet_tf.data.phantom.signal import Look, lesion_signal
from synergynet_tf.data.phantom.variety import WIDE
from synergynet_tf.errors import InputError


@pytest.fixture(scope="module")
def places():
    """MNI space itself, at 2 mm: a box of 91x109x91 voxels."""
    place = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in (91, 109, 91)), indexing="ij"))
    matrix = np.array([[-2, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72]], float)
    return Places(SimpleNamespace(place=place), SimpleNamespace(to_mni=matrix))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A file of two lesions: a rod of 40 voxels along Y, and a slab of 3,000."""
    rod = np.argwhere(np.ones((2, 20, 1))) + [60, 100, 90]
    slab = np.argwhere(np.ones((10, 20, 15))) + [110, 90, 80]
    path = tmp_path_factory.mktemp("shapes") / "shapes.npz"
    np.savez(path, coords=np.concatenate([rod, slab]).astype(np.uint8), offsets=np.array([0, len(rod), len(rod) + len(slab)]))
    return path


def test_places_know_where_they_are(places):
    window = places.window((9, -22, 8), (11, -18, 12))
    assert all(s.start <= i < s.stop for s, i in zip(window, ((90 - 10) / 2, (126 - 20) / 2, (72 + 10) / 2)))
    assert places.window((300, 0, 0), (310, 5, 5)) is None
    (part, near), = places.tubes(((0, -30, 0), (0, 30, 0)), 4, both=False)
    whole = np.zeros((91, 109, 91), np.float32)
    whole[part] = near
    assert whole[45, 63, 36] == pytest.approx(1) and whole[47, 63, 36] == pytest.approx(np.exp(-1), abs=1e-3)
    assert whole[45, 63 + 20, 36] < 0.1
    assert len(places.tubes(((20, 0, 0), (20, 20, 0)), 3)) == 2


def test_a_shape_lies_at_its_own_place_or_across(places, shapes):
    read = read_shapes(shapes)
    assert read.sizes().tolist() == [40, 3000]
    sides = set()
    for seed in range(12):
        lesion = place_shape(read.lesion(1), places, 3000, np.random.default_rng(seed))
        inside = np.zeros((91, 109, 91), bool)
        inside[lesion.window] = lesion.depth > 0
        x, y, z = places.mm[:, inside].mean(1)
        sides.add(x > 0)
        assert abs(abs(x) - 24.5) < 10 and abs(y + 26.5) < 10 and abs(z - 15) < 10      # 90 - 114.5, 99.5 - 126, 87 - 72
        assert 0.5 < 8 * inside.sum() / 3000 < 2
    assert sides == {True, False}


def test_the_volume_that_is_asked_for_comes_from_the_middle(places, shapes):
    lesion = place_shape(read_shapes(shapes).lesion(1), places, 3000, np.random.default_rng(0))
    _, order = lesion.order(SimpleNamespace(allowed=np.ones((91, 109, 91), bool)), 3000)
    first = order <= np.sort(order.ravel())[20]
    assert lesion.depth[first].min() > 1
    assert np.isinf(order[lesion.depth < -5]).all()


def test_shapes_of_about_the_volume_are_taken(places, shapes):
    real = RealShapes(read_shapes(shapes), places, 1.85e6, 1.0)
    assert real.like(40, np.random.default_rng(0)) is not None
    assert (real._volumes == [40, 3000]).all()


@pytest.mark.parametrize("arrays, words", [
    ({"coords": np.zeros((4, 3), np.uint8)}, "offsets is missing"),
    ({"coords": np.zeros((4, 2), np.uint8), "offsets": np.array([0, 4])}, "coords is uint8 .4, 2."),
    ({"coords": np.full((4, 3), 200, np.uint8), "offsets": np.array([0, 4])}, "no lesions on the 182x218x182 grid"),
    ({"coords": np.zeros((4, 3), np.uint8), "offsets": np.array([0, 2, 2, 4])}, "no lesions"),
    ({"coords": np.zeros((4, 3)), "offsets": np.array([0, 4])}, "coords is float64")])
def test_what_holds_no_shapes_is_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=words):
        read_shapes(tmp_path / "bad.npz")


def test_a_file_that_is_absent_or_no_archive_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("text")
    for name in ("none.npz", "text.npz"):
        with pytest.raises(InputError, match=f"{name}: (no such|not a readable) file of shapes.*phantoms.shapes"):
            read_shapes(tmp_path / name)


def test_the_public_shapes_make_a_patient(real_data):
    file = real_data / "lesion_shapes" / "ms_lesions_mni1mm_LAS.npz"
    if not file.is_file():
        pytest.skip(f"{file} is absent")
    assert len(read_shapes(file).sizes()) == 2362
    session = make_patient(5, 1, 1, None, "wide", file)[0]
    assert session.lesions.any() and (session.flair[session.lesions > 0] > 0).all()


@pytest.fixture
def blobs():
    """A ball of radius 9 and a voxel."""
    lesions = np.sum((np.indices((48, 48, 48)) - 20) ** 2, 0) < 81
    lesions[40, 40, 40] = True
    return lesions


def test_a_lesions_mean_contrast_is_as_drawn_and_its_edge_soft(blobs):
    look = Look(0.5, 0.0, 0.8, 0.5, 0.1, 0.0, 0.0, 0.0, 1.0)
    signal = lesion_signal(blobs, look, WIDE, np.random.default_rng(7))
    ball = ndimage.label(blobs)[0] == 1
    assert signal[ball].mean() == pytest.approx(0.5, abs=0.05)
    assert signal[20, 20, 20] > signal[20, 20, 28] > signal[20, 20, 31] >= 0
    assert 0.1 < signal[40, 40, 40] < 0.4


def test_a_halo_lies_about_the_lesion_and_a_core_in_it(blobs):
    plain = Look(0.5, 0.0, 0.5, 0.0, 0.1, 0.0, 0.0, 0.0, 1.0)
    without = lesion_signal(blobs, plain, WIDE, np.random.default_rng(0))
    halo = lesion_signal(blobs, plain._replace(halo=0.2), WIDE, np.random.default_rng(0)) - without
    assert halo[20, 20, 32] > 0.01 and halo.max() <= 0.1 + 1e-6
    lowest = min(lesion_signal(blobs, plain, WIDE, np.random.default_rng(seed))[20, 20, 20] for seed in range(12))
    assert lowest < 0.3 < without[20, 20, 20]
    assert not lesion_signal(np.zeros_like(blobs), plain, WIDE, np.random.default_rng(0)).any()


def test_shapes_are_a_pair_of_arrays():
    one = Shapes(np.array([[1, 2, 3], [4, 5, 6]], np.uint8), np.array([0, 1, 2]))
    np.testing.assert_array_equal(one.lesion(1), [[4, 5, 6]])
