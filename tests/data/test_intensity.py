"""Each change of intensity against its formula, scipy or its statistics; the background and strength zero of all of them."""
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage, stats

from synergynet_tf.config.augment import AugmentConfig, strengths
from synergynet_tf.data import draws, intensity

SPATIAL = ("scale", "elastic", "fade")       # these are no part of `alter`
NAMES = [name for name in strengths() if name not in SPATIAL]
EVERYTHING = AugmentConfig(**dict.fromkeys((*NAMES, "modality_dropout"), 1.0))
STRONG = {"gamma": 1.5, "contrast": 0.7, "brightness": 0.4, "bias_field": 0.4, "noise": 0.2, "blur": 1.0, "thick_slices": 3.5}


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(20, 24, 22, 2)).astype(np.float32)
    volume[:4] = volume[:, 20:] = 0
    volume[6:9, 6:9, 6:9, 1] = 0        # what the second channel did not measure
    return volume


def one(**changes):
    """The draws of one patch: nothing but `changes`."""
    rng = np.random.default_rng(3)
    neutral = draws.neutral(1, 2) | {"bias_terms": rng.uniform(-1, 1, (1, 4, 4, 4)).astype(np.float32)}
    values = neutral | {k: np.array([v], neutral[k].dtype) for k, v in changes.items()}
    return {name: tf.constant(v[0]) for name, v in values.items()}


def altered(image, **changes):
    return intensity.alter(tf.constant(image), one(**changes), EVERYTHING).numpy()


def test_no_strength_is_the_identity_exactly(image):
    np.testing.assert_array_equal(altered(image), image)
    x, inside = tf.constant(image), tf.constant(image != 0)
    for changed in (intensity.gamma(x, inside, 1.0), intensity.contrast(x, inside, 1.0), intensity.blur(x, 0.0, 1.0),
                    intensity.bias(x, inside, 0.0, tf.ones([4, 4, 4])), intensity.noise(x, inside, 0.0, tf.constant([1, 2])),
                    *(intensity.thick_slices(x, tf.constant(1.0), tf.constant(axis)) for axis in range(3))):
        np.testing.assert_allclose(changed, image, atol=5e-5)     # float32 sums


@pytest.mark.parametrize("name", NAMES)
def test_the_background_stays_exactly_zero(image, name):
    changed = altered(image, **{name: STRONG[name]})
    np.testing.assert_array_equal(changed[image == 0], 0)
    assert np.abs(changed - image).max() > 0.1 and np.isfinite(changed).all()


def test_gamma_and_contrast_and_brightness_equal_their_formulas(image):
    for c in range(2):
        measured = image[..., c] != 0
        x = image[..., c][measured].astype(np.float64)
        bent = ((x - x.min()) / (x.max() - x.min())) ** 1.5
        bent = x.mean() + x.std() * (bent - bent.mean()) / bent.std()
        expected = {"gamma": bent, "contrast": x.mean() + 0.7 * (x - x.mean()),
                    "brightness": x + 0.4}
        for name, values in expected.items():
            np.testing.assert_allclose(altered(image, **{name: STRONG[name]})[..., c][measured], values, atol=1e-4)


def test_blur_equals_scipy(image):
    for sigma in (0.4, 0.8, 1.0):
        sigmas, radii = (sigma, sigma, sigma, 0), (4, 4, 4, 0)
        expected = ndimage.gaussian_filter(image.astype(np.float64), sigmas, mode="constant", radius=radii)
        np.testing.assert_allclose(altered(image, blur=sigma), np.where(image != 0, expected, 0), atol=1e-5)


def test_noise_has_its_deviation_and_follows_its_seed(image):
    added = (altered(image, noise=0.2, noise_seed=[1, 2]) - image)[image != 0]
    assert abs(added.mean()) < 0.01 and abs(added.std() - 0.2) < 0.01
    assert np.mean(np.abs(added) < 0.2) == pytest.approx(0.683, abs=0.02)
    np.testing.assert_array_equal(added, (altered(image, noise=0.2, noise_seed=[1, 2]) - image)[image != 0])
    assert np.abs(added - (altered(image, noise=0.2, noise_seed=[1, 3]) - image)[image != 0]).max() > 0.1


def test_normal_numbers_are_normal_and_independent_of_their_neighbours_and_of_other_seeds():
    count = 2 ** 20
    values = intensity.normal(tf.range(count), tf.constant([5, -7])).numpy().astype(np.float64)
    assert stats.kstest(values, "norm").statistic < 2 / count ** 0.5
    assert abs(values.mean()) < 4 / count ** 0.5 and values.std() == pytest.approx(1, abs=4 / count ** 0.5)
    others = [np.roll(values, step) for step in (1, 2, 22, 44, 1056)]       # along Z, its channels and Y in small patches
    others += [intensity.normal(tf.range(count), tf.constant(seed)).numpy() for seed in ([5, -6], [4, -7], [-7, 5], [5, 1 << 30])]
    for other in others:
        for left, right in ((values, other), (values ** 2, other ** 2), (np.abs(values), other)):
            assert abs(np.corrcoef(left, right)[0, 1]) < 5 / count ** 0.5
    counts = np.unique(values, return_counts=True)[1]
    assert len(counts) == intensity.LEVELS and stats.chisquare(counts).pvalue > 1e-3      # every quantile as often


def test_the_bias_field_is_its_polynomial_with_the_given_peak(image):
    terms = one()["bias_terms"].numpy().astype(np.float64)
    axes = [np.linspace(-1, 1, n) for n in image.shape[:3]]
    log = np.polynomial.polynomial.polygrid3d(*axes, terms)
    log *= 0.4 / np.abs(log).max()
    low = np.array([image[..., c][image[..., c] != 0].min() for c in range(2)])
    expected = np.where(image != 0, low + (image - low) * np.exp(log)[..., None], 0)
    np.testing.assert_allclose(altered(image, bias_field=0.4), expected, atol=2e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_are_means_between_which_is_interpolated(image, axis):
    moved = np.moveaxis(image.astype(np.float64), axis, 0)
    n, factor = len(moved), 3
    slabs = np.stack([moved[k:k + factor].mean(0) for k in range(0, n, factor)])
    place = np.clip((np.arange(n) + 0.5) / factor - 0.5, 0, len(slabs) - 1)
    low = np.minimum(np.floor(place).astype(int), len(slabs) - 2)
    part = (place - low)[:, None, None, None]
    expected = np.moveaxis(slabs[low] * (1 - part) + slabs[low + 1] * part, 0, axis)
    got = intensity.thick_slices(tf.constant(image), tf.constant(float(factor)), tf.constant(axis)).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)
    constant = intensity.thick_slices(tf.ones([20, 9, 11, 1]), tf.constant(2.7), tf.constant(axis)).numpy()
    np.testing.assert_allclose(constant, 1, atol=1e-5)


def test_a_faded_lesion_keeps_a_share_of_its_contrast_and_the_rest_of_the_patch_stays():
    rng = np.random.default_rng(5)
    lesions = np.zeros((40, 40, 40), bool)
    lesions[12:26, 12:26, 12:26] = True
    image = np.where(lesions, 2.0, 0.25) + rng.normal(0, 0.05, lesions.shape)
    image[:8], image[:, :, 36:] = 0, -2      # not measured; fluid
    image = image.astype(np.float32)[..., None]
    found = intensity.fade(tf.constant(image), tf.constant(image != 0), tf.constant(lesions), 0.4).numpy()
    core, near = ndimage.binary_erosion(lesions, iterations=3), ndimage.binary_dilation(lesions, iterations=4)
    assert found[core].mean() == pytest.approx(0.25 + 0.4 * 1.75, abs=0.03)
    np.testing.assert_allclose(found[~near], image[~near], atol=1e-5)
    assert not found[image == 0].any()
    same = intensity.fade(tf.constant(image), tf.constant(image != 0), tf.constant(lesions), 1.0).numpy()
    none = intensity.fade(tf.constant(image), tf.constant(image != 0), tf.zeros(lesions.shape, tf.bool), 0.4).numpy()
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(none, image)


def test_a_dropped_channel_is_zero_and_the_other_untouched(image):
    got = altered(image, dropped=[False, True])
    np.testing.assert_array_equal(got[..., 0], image[..., 0])
    assert not got[..., 1].any()


def test_a_patch_without_brain_stays_zero_and_finite(image):
    assert not altered(np.zeros_like(image), **STRONG).any()
    flat = (image != 0).astype(np.float32)              # a patch of one grey: nothing to spread
    np.testing.assert_allclose(altered(flat, gamma=1.5), flat, atol=1e-5)


@pytest.mark.slow
def test_everything_at_once_compiles_and_agrees_with_the_plain_graph(image):
    def alter(x, given):
        return intensity.alter(x, given, EVERYTHING)

    given = one(**STRONG, noise_seed=[1, 2], thick_axis=2)
    plain, compiled = (tf.function(alter, jit_compile=jit)(tf.constant(image), given) for jit in (False, True))
    np.testing.assert_allclose(plain, compiled, atol=1e-3)
    assert np.isfinite(compiled).all() and compiled.shape == image.shape
