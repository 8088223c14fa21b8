"""Windows cover the volume, stay inside it where it is large enough, and overlap as asked."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synergynet_tf.inference import coverage
from synergynet_tf.inference.coverage import Window


def test_the_documented_examples():
    assert coverage.axis_starts(10, 4, 0.5) == [0, 2, 4, 6]
    assert coverage.axis_starts(9, 4, 0.5) == [0, 1, 3, 5]
    assert coverage.axis_starts(4, 4, 0.5) == [0]
    assert coverage.whole((10, 16, 20)) == Window((-3, 0, -2), (16, 16, 24))


def test_the_papers_scan_in_windows_and_centre():
    assert coverage.centre((182, 218, 182), (128, 160, 128)) == Window((27, 29, 27), (128, 160, 128))
    placed = coverage.windows((182, 218, 182), (128, 160, 128), 0.5)
    assert [w.start for w in placed] == [(x, y, z) for x in (0, 54) for y in (0, 58) for z in (0, 54)]


@given(length=st.integers(1, 90), size=st.sampled_from((8, 16, 24)), overlap=st.floats(0, 0.95))
def test_starts_cover_an_axis_within_its_border_and_honour_the_overlap(length, size, overlap):
    starts = coverage.axis_starts(length, size, overlap)
    hit = np.zeros(length, bool)
    for start in starts:
        hit[max(start, 0):start + size] = True
    assert hit.all()
    if length <= size:
        assert len(starts) == 1
        assert abs(-starts[0] - (starts[0] + size - length)) <= 1       # padded evenly
    else:
        assert starts[0] == 0 and starts[-1] == length - size
        gaps = np.diff(starts)
        assert gaps.min() >= 1 and gaps.max() <= max(size * (1 - overlap), 1)


@given(shape=st.tuples(*[st.integers(1, 40)] * 3))
def test_whole_is_the_smallest_window_of_multiples_of_8_that_holds_the_volume(shape):
    window = coverage.whole(shape)
    for n, start, size in zip(shape, window.start, window.size):
        assert size % 8 == 0 and n <= size < n + 8
        assert start <= 0 and start + size >= n


@given(shape=st.tuples(*[st.integers(1, 20)] * 3), start=st.tuples(*[st.integers(-6, 12)] * 3))
def test_an_extracted_window_is_the_padded_volumes_part(shape, start):
    window = Window(tuple(min(s, n - 1) for s, n in zip(start, shape)), (8, 16, 8))
    volume = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)[..., None] + 1
    padded = np.pad(volume, [(20, 20)] * 3 + [(0, 0)])
    expected = padded[tuple(slice(s + 20, s + 20 + n) for s, n in zip(window.start, window.size))]
    np.testing.assert_array_equal(coverage.extract(volume, window), expected)


@pytest.mark.parametrize("size", [(8, 8, 8), (16, 24, 8), (128, 160, 128)])
def test_weights_are_symmetric_positive_and_highest_in_the_middle(size):
    weights = coverage.gaussian_weights(size)
    assert weights.shape == size and weights.dtype == np.float32
    assert weights.min() >= coverage.FLOOR * 0.999 and weights.max() == 1
    for axis in range(3):
        np.testing.assert_array_equal(weights, np.flip(weights, axis))
        line = np.moveaxis(weights, axis, 0)
        middle = line[:, line.shape[1] // 2, line.shape[2] // 2]
        assert (np.diff(middle[: len(middle) // 2]) >= 0).all()


def test_a_quarter_of_the_side_off_the_middle_is_two_sigma():
    line = coverage.gaussian_weights((160, 8, 8))[:, 4, 4]
    assert line[80 + 40] == pytest.approx(np.exp(-((40.5 / 20) ** 2 - (0.5 / 20) ** 2) / 2), rel=1e-4)
