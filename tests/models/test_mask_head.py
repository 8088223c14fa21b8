"""The Mask sub-network: what its docstring claims of projecting, cropping and adding."""
import numpy as np
import tensorflow as tf

from synergynet_tf.models.mask_head import MaskHead, MaskProjections


def maps(batch=1, sides=(8, 8, 8), widths=(4, 6, 10)):
    return tuple(tf.random.stateless_normal([batch, *(n >> i for n in sides), width], seed=[i, 2])
                 for i, width in enumerate(widths))


def test_projections_keep_the_grids():
    projected = MaskProjections(5)(maps(2))
    assert [tuple(p.shape) for p in projected] == [(2, 8, 8, 8, 5), (2, 4, 4, 4, 5), (2, 2, 2, 2, 5)]


def test_projecting_commutes_with_an_interpolating_crop():
    def crop(x):        # halfway between neighbours along X, zero past the end: all that a linear crop does
        return 0.5 * x + 0.5 * tf.pad(x[:, 1:], [[0, 0], [0, 1], [0, 0], [0, 0], [0, 0]])

    layer, inputs = MaskProjections(5), maps()
    for before, after in zip(layer(inputs), layer(tuple(crop(x) for x in inputs)), strict=True):
        np.testing.assert_allclose(crop(before), after, atol=1e-5)


def test_adding_projections_is_a_convolution_of_the_maps_side_by_side():
    layer = MaskProjections(5)
    same_grid = tuple(tf.random.stateless_normal([3, 4, 4, 4, c], seed=[c, 1]) for c in (4, 6, 10))
    added = tf.add_n(list(layer(same_grid)))
    kernel = np.concatenate(layer.get_weights(), axis=3)
    assert kernel.shape == (1, 1, 1, 20, 5)
    np.testing.assert_allclose(added, tf.nn.conv3d(tf.concat(same_grid, -1), kernel, [1] * 5, "SAME"), atol=1e-5)


def test_mask_logits():
    crops = tuple(tf.random.stateless_normal([3, 16, 16, 16, 8], seed=[i, 1]) for i in range(3))
    head = MaskHead(8)
    logits = head(crops)
    assert logits.shape == (3, 16, 16, 16, 1) and logits.dtype == tf.float32
    assert np.max(np.abs(tf.sigmoid(logits) - 0.5)) < 0.2       # starts undecided
    np.testing.assert_allclose(head(tuple(p[1:2] for p in crops)), logits[1:2], atol=1e-5)
    assert sum(int(np.prod(w.shape)) for w in head.trainable_variables) == 2 * (27 * 8 * 8 + 8) + 8 + 1
