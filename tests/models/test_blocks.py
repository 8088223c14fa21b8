"""Normalisation against NumPy, Keras and tensorflow-addons; the residual block, alone and for two maps, by its properties."""
import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.models.blocks import EPSILON, ConvNormAct, GroupNorm, JoiningBlock, ResidualBlock, normalisation
from tests.models.optimized import run_and_see

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    keras.utils.set_random_seed(0)


def volumes(batch=1, shape=(4, 6, 5), channels=3, mean=0.0):
    return RNG.normal(mean, 1.0, (batch, *shape, channels)).astype(np.float32)


def with_weights(layer, x):
    """Build `layer` on x and give its scale and offset values that are not the identity."""
    layer(tf.constant(x))
    channels = x.shape[-1]
    layer.set_weights([np.linspace(0.5, 2, channels, dtype=np.float32), np.linspace(-1, 1, channels, dtype=np.float32)])
    return layer


def same(found, expected):
    """Equal but for the rounding of sums, which goes with the largest of them."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * max(1, np.abs(expected).max()))


def instance_norm(x, scale, offset):
    x = x.astype(np.float64)
    mean, variance = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + EPSILON) * scale + offset


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 9])
def test_instance_norm_is_the_textbook_formula(batch):
    x = volumes(batch, mean=5.0) * np.arange(1, 4)
    layer = with_weights(GroupNorm(), x.astype(np.float32))
    np.testing.assert_allclose(layer(tf.constant(x, tf.float32)), instance_norm(x, *layer.get_weights()), atol=2e-5)


def test_a_batch_of_n_is_n_batches_of_one():
    x = volumes(3)
    layer = with_weights(GroupNorm(), x)
    alone = tf.concat([layer(tf.constant(x[i:i + 1])) for i in range(3)], axis=0)
    np.testing.assert_allclose(layer(tf.constant(x)), alone, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
def test_an_unknown_batch_gives_the_same_numbers_and_gradients(batch):
    x = tf.constant(volumes(batch))
    layer = with_weights(GroupNorm(), x.numpy())
    cotangent = tf.constant(volumes(batch))

    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) * cotangent)
        return [loss, *tape.gradient(loss, [x, *layer.trainable_variables])]

    free = tf.function(gradients, input_signature=[tf.TensorSpec([None, None, None, None, 3])])
    for static, dynamic in zip(gradients(x), free(x), strict=True):
        np.testing.assert_allclose(static, dynamic, atol=2e-4)


def test_instance_norm_against_tensorflow_addons():
    tfa = pytest.importorskip("tensorflow_addons")
    x = volumes(2)
    layer = with_weights(GroupNorm(), x)
    reference = tfa.layers.InstanceNormalization(epsilon=EPSILON)
    reference(x)
    reference.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(tf.constant(x)), reference(x), atol=1e-5)


@pytest.mark.parametrize("width,groups", [(16, 8), (12, 4), (3, 1)])
def test_group_norm_against_keras(width, groups):
    x = volumes(2, channels=width)
    layer = with_weights(normalisation("group", width, "norm"), x)
    assert layer.groups == groups
    reference = keras.layers.GroupNormalization(groups=groups, epsilon=EPSILON)
    reference(tf.constant(x))
    reference.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(tf.constant(x)), reference(tf.constant(x)), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 9])
def test_half_precision_keeps_float32_statistics(batch):
    x = tf.cast(volumes(batch, shape=(16, 16, 16), mean=20.0), tf.bfloat16)      # bfloat16 sums of 4096 would be off by far more
    layer = GroupNorm()
    y = layer(x)
    assert y.dtype == tf.bfloat16 and all(w.dtype in ("float32", tf.float32) for w in layer.trainable_variables)
    np.testing.assert_allclose(tf.cast(y, tf.float32), instance_norm(tf.cast(x, tf.float32).numpy(), 1, 0), atol=0.02)


def test_a_constant_volume_becomes_the_offset():
    """As nearly as a mean is exact: what it errs by in the last bits of 7 is divided by the root of EPSILON."""
    x = np.full((1, 3, 4, 5, 2), 7.0, np.float32)
    layer = with_weights(GroupNorm(), x)
    largest_scale, last_bits = 2, 2 * np.spacing(np.float32(7))
    np.testing.assert_allclose(layer(tf.constant(x)), np.broadcast_to([-1.0, 1.0], x.shape),
                               atol=largest_scale * last_bits / EPSILON ** 0.5)


def test_batch_norm_uses_its_moving_statistics_outside_training():
    x = tf.constant(volumes(2, mean=3.0))
    block = ConvNormAct(4, "batch", activation=False)
    block(x, training=True)
    np.testing.assert_allclose(tf.reduce_mean(block(x, training=True), axis=[0, 1, 2, 3]), np.zeros(4), atol=1e-4)
    assert np.abs(tf.reduce_mean(block(x, training=False), axis=[0, 1, 2, 3])).max() > 1e-2


def silence(block):
    """Make the last norm's scale zero: what remains of the block is its shortcut."""
    norm = block.units[-1].norm
    norm.set_weights([np.zeros_like(w) for w in norm.get_weights()])


def test_residual_block_of_equal_width_has_an_identity_shortcut():
    x = tf.constant(volumes(channels=4))
    block = ResidualBlock(4, 2, "instance")
    block(x)
    silence(block)
    np.testing.assert_allclose(block(x), np.maximum(x, 0), atol=1e-6)
    assert len(block.trainable_variables) == 2 * 3          # two convolutions, each with scale and offset, and no shortcut


def test_striding_shortcut_reads_each_cells_own_voxels():
    x = np.abs(volumes(shape=(4, 4, 4), channels=2))
    block = ResidualBlock(5, 1, "instance", stride=2)
    block(tf.constant(x))
    silence(block)
    block.project.set_weights([np.full((2, 2, 2, 2, 5), 1.0, np.float32)])
    cells = x.reshape(1, 2, 2, 2, 2, 2, 2, 2).sum((2, 4, 6, 7))
    np.testing.assert_allclose(block(tf.constant(x)), np.repeat(cells[..., None], 5, axis=-1), rtol=1e-5)


@pytest.mark.parametrize("convolutions", [1, 2, 3])
def test_residual_block_is_rectified_and_has_the_convolutions_asked_for(convolutions):
    block = ResidualBlock(6, convolutions, "instance", stride=2)
    y = block(tf.constant(volumes(2, shape=(8, 6, 4))))
    assert y.shape == (2, 4, 3, 2, 6)
    assert np.min(y) == 0 < np.max(y)
    kernels = [w.shape for w in block.trainable_variables if tuple(w.shape[:3]) == (3, 3, 3)]
    assert len(kernels) == convolutions


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_joining_block_is_the_residual_block_of_both_maps_side_by_side(training, batch):
    """Values, and gradients of the maps and of the weights, against the two steps that it leaves out."""
    coarse, skip = tf.constant(volumes(batch, (3, 2, 4), 5)), tf.constant(volumes(batch, (6, 4, 8), 3))
    joining, plain = JoiningBlock(4, 2, "instance"), ResidualBlock(4, 2, "instance")
    up = keras.layers.Conv3D(4, 1, use_bias=False)

    def joined(maps, training):
        coarse, skip = maps
        return plain(tf.concat([keras.layers.UpSampling3D(2)(up(coarse)), skip], -1), training=training)

    def gradients(function, block, up):
        with tf.GradientTape() as tape:
            tape.watch([coarse, skip])
            y = function((coarse, skip), training=training)
            loss = tf.reduce_sum(tf.sin(3 * y))
        layers = [up, block.project, *block.units]
        return [y, *tape.gradient(loss, [coarse, skip, *(w for layer in layers for w in layer.trainable_variables)])]

    joining((coarse, skip)), joined((coarse, skip), False)
    for ours, theirs in zip([joining.up, joining.project, *joining.units], [up, plain.project, *plain.units]):
        theirs.set_weights(ours.get_weights())
    for ours, theirs in zip(gradients(joining, joining, joining.up), gradients(joined, plain, up), strict=True):
        same(ours, theirs)


@pytest.mark.parametrize("convolutions", [1, 3])
@pytest.mark.parametrize("make", [ResidualBlock, JoiningBlock])
def test_a_block_that_makes_maps_anew_has_the_same_gradients(make, convolutions):
    skip = tf.constant(volumes(1, (6, 4, 8), 3))
    given = (tf.constant(volumes(1, (3, 2, 4), 5)), skip) if make is JoiningBlock else skip
    kept, anew = make(4, convolutions, "instance"), make(4, convolutions, "instance", recompute=True)
    kept(given), anew(given)
    anew.set_weights(kept.get_weights())

    @tf.function(autograph=False)
    def gradients(block):
        y = block(given, training=True)
        weights = [getattr(w, "value", w) if not isinstance(w, tf.Variable) else w for w in block.trainable_variables]
        return [y, *tf.gradients(tf.reduce_sum(tf.sin(3 * y)), [*tf.nest.flatten(given), *weights])]

    for found, expected in zip(gradients(anew), gradients(kept), strict=True):
        same(found, expected)


def test_a_joining_block_adds_up_its_shortcut_before_it_goes_on():
    """TensorFlow would add all that makes the output at the end, and hold the shortcut's two parts until then."""
    block = JoiningBlock(4, 2, "instance")
    maps = tf.zeros((1, 4, 4, 4, 5)), tf.zeros((1, 8, 8, 8, 3))
    block(maps)
    graphs = run_and_see(tf.function(lambda maps: block(maps, training=True)), maps)
    operations = [node.op for graph in graphs for node in graph.node]
    assert "Conv3DBackpropInputV2" in operations or "_MklNativeConv3DBackpropInputV2" in operations
    assert not any(operation.startswith(("AddN", "AccumulateNV2")) for operation in operations)
