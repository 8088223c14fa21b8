"""Windows cover the volume, stay inside it where it is large enough, and overlap as asked."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synergynet_tf.config import InferConfig
from synergynet_tf.inference import coverage
from synergynet_tf.inference.coverage import Windows


def starts_of(*arguments):
    return coverage.axis_starts(*arguments).numpy().tolist()


def placed(shape, **infer):
    """Starts and size of the windows, as lists."""
    return [tensor.numpy().tolist() for tensor in coverage.place(shape, InferConfig(**infer))]


def test_the_documented_examples():
    assert starts_of(10, 4, 0.5) == [0, 2, 4, 6]
    assert starts_of(9, 4, 0.5) == [0, 1, 3, 5]
    assert starts_of(4, 4, 0.5) == [0]
    assert starts_of(5, 8, 0.5) == [-2]
    assert placed((10, 16, 20), coverage="whole") == [[[-3, 0, -2]], [16, 16, 24]]


def test_the_papers_scan_in_windows_and_centre():
    paper = {"window": (128, 160, 128), "overlap": 0.5}
    assert placed((182, 218, 182), coverage="centre", **paper) == [[[27, 29, 27]], [128, 160, 128]]
    starts, size = placed((182, 218, 182), coverage="windows", **paper)
    assert starts == [[x, y, z] for x in (0, 54) for y in (0, 58) for z in (0, 54)] and size == [128, 160, 128]


def test_a_whole_volume_above_the_limit_is_seen_in_windows():
    infer = InferConfig(coverage="whole", window=(64, 64, 64))
    for limit in (None, 104 * 104 * 104):
        assert coverage.place((100, 100, 100), infer, limit).size.numpy().tolist() == [104] * 3
    above = coverage.place((100, 100, 100), infer, 104 * 104 * 104 - 1)
    assert above.size.numpy().tolist() == [64] * 3 and len(above.starts) == 27


@given(length=st.integers(1, 90), size=st.sampled_from((8, 16, 24)), overlap=st.floats(0, 0.95))
def test_starts_cover_an_axis_within_its_border_and_honour_the_overlap(length, size, overlap):
    starts = starts_of(length, size, overlap)
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
    (start,), sides = placed(shape, coverage="whole")
    for n, begin, side in zip(shape, start, sides):
        assert side % 8 == 0 and n <= side < n + 8
        assert begin <= 0 and begin + side >= n


@given(shape=st.tuples(*[st.integers(1, 20)] * 3), starts=st.lists(st.tuples(*[st.integers(-6, 12)] * 3), min_size=1, max_size=4))
def test_a_padded_volume_holds_every_window_and_zeros_around(shape, starts):
    windows = Windows(np.array(starts, np.int32), np.array([8, 16, 8], np.int32))
    volume = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)[..., None] + 1
    padded, front = (tensor.numpy() for tensor in coverage.padded(volume, windows))
    inside = tuple(slice(f, f + n) for f, n in zip(front, shape))
    np.testing.assert_array_equal(padded[inside], volume)
    assert np.count_nonzero(padded) == volume.size
    assert ((windows.starts + front >= 0) & (windows.starts + front + windows.size <= padded.shape[:3])).all()


def test_margins_lie_at_inner_faces_only():
    boxes = np.array([[x - 1, 3, 3, x + 1, 5, 5] for x in (2, 11.9, 12.1, 15)], np.float32)
    windows = Windows(np.array([[0, 0, 0], [8, 0, 0]], np.int32), np.array([16, 8, 8], np.int32))

    def margins(index, length, overlap):
        return coverage.in_margin(boxes, windows, index, np.array([length, 8, 8], np.int32), overlap).numpy().tolist()

    assert margins(0, 24, 0.5) == [False, False, True, True]
    assert margins(1, 24, 0.5) == [True, True, False, False]
    assert not any(margins(0, 16, 0.5)) and not any(margins(0, 24, 0.0))


@pytest.mark.parametrize("size", [(8, 8, 8), (16, 24, 8), (128, 160, 128)])
def test_weights_are_symmetric_positive_and_highest_in_the_middle(size):
    weights = coverage.gaussian_weights(size).numpy()
    assert weights.shape == size and weights.dtype == np.float32
    assert weights.min() >= coverage.FLOOR * 0.999 and weights.max() == 1
    for axis in range(3):
        np.testing.assert_array_equal(weights, np.flip(weights, axis))
        line = np.moveaxis(weights, axis, 0)
        middle = line[:, line.shape[1] // 2, line.shape[2] // 2]
        assert (np.diff(middle[: len(middle) // 2]) >= 0).all()


def test_a_quarter_of_the_side_off_the_middle_is_two_sigma():
    line = coverage.gaussian_weights((160, 8, 8)).numpy()[:, 4, 4]
    assert line[80 + 40] == pytest.approx(np.exp(-((40.5 / 20) ** 2 - (0.5 / 20) ** 2) / 2), rel=1e-4)
