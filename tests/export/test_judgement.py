"""The served graph judges a scan as `load_case` does: it refuses what that refuses, and mends and says what that mends."""
import nibabel as nib
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from export import judgement, skull
from synergynet_tf.data import judgement as rules
from synergynet_tf.inference.predictor import Predictor
from tests.export import agreement
from tests.export.toy import toy_config

SIDE = 3.0      # mm: a head of the size of a head in few voxels


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    """A brain of 1,200 ml in voxels of 3 mm, float32 [44, 52, 40], without any outlier."""
    rng = np.random.default_rng(5)
    x, y, z = np.meshgrid(*(np.linspace(-1.15, 1.15, n) for n in (44, 52, 40)), indexing="ij")
    values = np.where(x ** 2 + y ** 2 + z ** 2 < 1, 300 + 20 * rng.standard_normal(x.shape), 0)
    values[20:23, 20:24, 22:25] += 150
    return values.astype(np.float32)


def content(array: np.ndarray, affine: np.ndarray | None = None, dtype: type = np.float32, **fields) -> bytes:
    image = nib.Nifti1Image(array.astype(dtype), np.diag([SIDE, SIDE, SIDE, 1]) if affine is None else affine)
    for name, value in fields.items():
        image.header[name] = value
    return image.to_bytes()


def head(scan: np.ndarray) -> np.ndarray:
    """The scan within bone and scalp."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in scan.shape), indexing="ij")
    radius = np.sqrt(x ** 2 + y ** 2 + z ** 2)
    inner = np.where(radius < 0.72, 300.0, np.where(radius < 0.85, 10.0, 350.0))
    return np.where(radius < 0.97, inner + 5 * np.random.default_rng(1).standard_normal(scan.shape), 0).astype(np.float32)


def changed(scan: np.ndarray, places: int, value: float) -> np.ndarray:
    out = scan.copy()
    flat = out.reshape(-1)
    inside = np.flatnonzero(flat)
    flat[inside[len(inside) // 2 + 700:][:places]] = value      # from the middle on
    return out


def grid(sides=(SIDE, SIDE, SIDE), shear: float = 0.0) -> np.ndarray:
    affine = np.diag([*map(float, sides), 1.0])
    affine[0, 1] = shear * sides[1]
    return affine


PLANTED = {     # what is done to a sound scan, and whether it is then refused
    "sound": (lambda s: content(s), False),
    "one voxel of 1e6": (lambda s: content(changed(s, 1, 1e6)), False),
    "one voxel of -1e6 and two high": (lambda s: content(changed(changed(s, 3, 1e5), 1, -1e6)), False),
    "many outliers": (lambda s: content(changed(s, 2000, 1e6)), True),
    "background -1": (lambda s: content(np.where(s, s, -1)), False),
    "background -1024": (lambda s: content(np.where(s, s, -1024), dtype=np.int16), False),
    "background 1e-5": (lambda s: content(np.where(s, s, 1e-5)), False),
    "background -2.9e-5": (lambda s: content(np.where(s, s / 300 - 1, -2.9e-5)), False),
    "background nan": (lambda s: content(np.where(s, s, np.nan)), False),
    "nan within": (lambda s: content(changed(s, 1, np.nan)), True),
    "nan without and within": (lambda s: content(np.where(changed(s, 1, 0), changed(s, 1, 0), np.nan)), True),
    "inf": (lambda s: content(changed(s, 1, np.inf)), True),
    "background inf": (lambda s: content(np.where(s, s, np.inf)), True),
    "noise around": (lambda s: content(np.where(s, s, np.random.default_rng(2).uniform(1, 9, s.shape))), True),
    "two backgrounds": (lambda s: content(np.where(np.arange(s.shape[0])[:, None, None] < 30, np.where(s, s, -3), s)), True),
    "metres": (lambda s: content(s, grid(np.array([SIDE] * 3) / 1000)), False),
    "microns": (lambda s: content(s, grid(np.array([SIDE] * 3) * 1000)), False),
    "light years": (lambda s: content(s, grid([3e16] * 3)), True),
    "sheared by 0.5 degrees": (lambda s: content(s, grid(shear=0.0087)), False),
    "sheared by 2 degrees": (lambda s: content(s, grid(shear=0.035)), True),
    "2 mm": (lambda s: content(s, grid([2, 2, 2])), False),
    "4 mm": (lambda s: content(s, grid([1, 1, 4])), True),
    "small": (lambda s: content(s, grid([1, 1, 1])), False),
    "too large": (lambda s: content(np.kron(s[:30, :30, :30], np.ones((2, 2, 2)))), True),
    "a head": (lambda s: content(head(s)), True),
    "few values": (lambda s: content(np.where(s, 100 + np.arange(s.size).reshape(s.shape) % 8, 0)), True),
    "nine values": (lambda s: content(np.where(s, 100 + np.arange(s.size).reshape(s.shape) % 9, 0)), False),
    "a mask": (lambda s: content(s > 0), True),
    "a faint edge": (lambda s: content(np.where(s == 0, np.roll(s, 1, 0) / 1e4, s)), False),
    "nearly 0": (lambda s: content(np.where(np.arange(s.size).reshape(s.shape) % 9, s, s / 1e3)), True),
    "mostly one value": (lambda s: content(np.where((s > 0) & (s < 320), 100, s)), True),
    "empty": (lambda s: content(0 * s), True),
    "no orientation": (lambda s: content(s, sform_code=0, qform_code=0), False),
    "z-scored": (lambda s: content(np.where(s, (s - 280) / 20, 0)), False),
    "negative pixdim": (lambda s: content(s, pixdim=[1, -3, 0, 3, 0, 0, 0, 0]), False),
    "codes that do not exist": (lambda s: content(s, sform_code=9, qform_code=1), False),
}


@pytest.fixture(scope="module")
def predictor(toy_signatures) -> Predictor:
    return Predictor(*toy_signatures[1:])


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault(toy_signatures, predictor, scan, tmp_path, name):
    plant, refused = PLANTED[name]
    file = plant(scan)
    assert bool(agreement.by_graph(toy_signatures[0], flair=file).refused) == refused
    assert agreement.compare(toy_signatures[0], predictor, tmp_path, flair=file) is None


def test_notes_are_said(toy_signatures, scan):
    said = agreement.by_graph(toy_signatures[0], flair=content(np.where(changed(scan, 1, 1e6), changed(scan, 1, 1e6), -1)))
    assert "flair: the background is -1; taken as 0" in said.notes.splitlines()
    assert "(the highest is 1e+06)" in said.notes


def test_intensities_are_judged_too(toy_signatures, scan):
    def ask(volume: np.ndarray) -> dict:
        return toy_signatures[0]["segment_raw"](raw_volume=tf.constant(volume[None, ..., None], tf.float32))

    sound = ask(scan)
    assert b"raw" not in sound["notes"][0].numpy() and b"flair: the brain takes" in sound["notes"][0].numpy()
    mended = ask(np.where(scan, scan, -1))
    assert b"flair: the background is -1; taken as 0" in mended["notes"][0].numpy()
    np.testing.assert_array_equal(mended["mask"], sound["mask"])
    for bad, message in ((changed(scan, 1, np.nan), "NaN"), (scan > 0, "nothing to see"), (changed(scan, 3000, 1e6), "far from")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            ask(bad)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2 ** 32), digits=st.sampled_from([0, 1, 3]))
def test_order_statistics_are_those_of_sorting(seed, digits):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(rng.normal(), 10 ** rng.uniform(-3, 6), rng.integers(1, 300)), digits).astype(np.float32)
    ranks = [len(values) // 4, len(values) - 1 - len(values) // 4]
    found = judgement._order_statistics(tf.constant(values), [tf.constant(rank) for rank in ranks])
    np.testing.assert_array_equal(found, np.sort(values)[ranks])
    assert judgement._distinct(tf.constant(values)) == min(len(np.unique(values)), rules.FEW_VALUES + 1)


def test_bone_is_seen_as_by_numpy(scan):
    spacing = (3.0, 2.5, 3.0)
    for array in (scan, head(scan), head(scan)[4:, ::-1]):
        want = rules.skull_sign(array, array != 0, spacing)
        assert skull.skull_sign(tf.constant(array), tf.constant(spacing, tf.float64)).numpy() == pytest.approx(want, abs=1e-12)
    assert rules.skull_sign(head(scan), head(scan) != 0, spacing) > rules.SKULL[0]


@pytest.mark.slow
def test_the_second_channel_is_judged(scan, tmp_path):
    from export.settings import Limits
    from export.signatures import Member, Segmenter
    from tests.export.toy import Toy

    toy, config = Toy(), toy_config(("flair", "t2"))
    signatures, predictor = Segmenter([Member(toy, toy.weights, config)], Limits()).signatures(), Predictor(toy, config)
    for t2 in (scan[::-1], np.where(scan, 2 * scan, -7), changed(scan, 2, 1e7), scan > 0, changed(scan, 1, np.nan)):
        assert agreement.compare(signatures, predictor, tmp_path, flair=content(scan), t2=content(t2)) is None
