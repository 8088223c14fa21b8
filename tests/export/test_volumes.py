"""What a request gives is looked at before anything is done with it."""
import numpy as np
import pytest
import tensorflow as tf

from export.settings import Limits
from export.volumes import check_files, check_sizes, check_z_scores
from synergynet_tf.errors import InputError

LIMITS = Limits(max_side=12, max_voxels=500)


def refused(call) -> str:
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        call()
    return error.value.message.split("assertion failed: [")[1]


@pytest.mark.parametrize(("shape", "message"), [
    ((1, 5, 6, 7, 1), None), ((3, 12, 6, 6, 1), None), ((0, 5, 6, 7, 1), "of one volume at least"),
    ((1, 0, 6, 7, 1), "0 x 6 x 7"),
    ((1, 5, 6, 7, 2), "B x X x Y x Z x 1"), ((5, 6, 7, 1), "the shape is 5 x 6 x 7 x 1"),
    ((1, 1, 5, 6, 7, 1), "1 x 1 x 5"),
    ((1, 13, 2, 2, 1), "sides of 1 to 12"), ((1, 8, 8, 8, 1), "500 voxels")])
def test_sizes(shape, message):
    """A server feeds a graph whatever it is sent; the signature's shape is then untrue."""
    def checked(volume: tf.Tensor) -> tf.Tensor:
        volume.set_shape([None, None, None, None, 1])
        return check_sizes(volume, "raw_volume", LIMITS)

    graph = tf.function(lambda text: checked(tf.io.parse_tensor(text, tf.float32)), autograph=False)
    text = tf.io.serialize_tensor(np.zeros(shape, np.float32))
    if message is None:
        assert graph(text).shape == shape
    else:
        said = refused(lambda: graph(text))
        assert said.startswith("raw_volume: ") and message in said


@pytest.mark.parametrize(("name", "argument"), [("serving_default", "z_scored_volume"), ("segment_raw", "raw_volume")])
def test_every_signature_looks(toy_signatures, name, argument):
    signature = toy_signatures[0][name]
    volume = np.random.default_rng(0).normal(0, 1, (1, 16, 16, 16, 1)).astype(np.float32)
    for bad, message in ((np.zeros((1, 65, 2, 2, 1)), "sides of 1 to 64"), (np.zeros((0, 9, 9, 9, 1)), "one volume"),
                         (np.where(volume > 3, np.nan, volume), "NaN or Inf"),
                         (np.where(volume > 3, np.inf, volume), "NaN or Inf"), (0 * volume, "no brain")):
        assert message in refused(lambda bad=bad: signature(**{argument: tf.constant(bad, tf.float32)}))


def test_z_scores_are_told_from_intensities():
    scores = np.random.default_rng(0).normal(0, 1, (9, 9, 9, 2)).astype(np.float32)
    scores[:4] = 0
    np.testing.assert_array_equal(check_z_scores(tf.constant(scores), "z"), scores)
    for bad in (np.where(scores, 100 + 10 * scores, 0), np.where(scores, 40 * scores, 0), scores * [1, 0], scores * [1, 0.001]):
        assert refused(lambda bad=bad: check_z_scores(tf.constant(bad, tf.float32), "z")).startswith("z: ")


def test_as_many_files_of_every_channel():
    one, two = tf.constant(["a"]), tf.constant(["a", "b"])
    check_files([two, two], ["flair", "t2"])
    assert "as many files" in refused(lambda: check_files([one, two], ["flair", "t2"]))
    assert "at least one file" in refused(lambda: check_files([one[:0], one[:0]], ["flair", "t2"]))


@pytest.mark.parametrize("values", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (10 ** 6, 1, 1), (1, 10 ** 12, 1), (1, 1, -5)])
def test_limits_that_are_none(values):
    with pytest.raises(InputError, match="but it must be 1 to"):
        Limits(*values)
