"""Shapes, strides and weights of the U-Net, counted by hand."""
import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import UNetConfig
from synergynet_tf.errors import InputError
from synergynet_tf.models.unet import Decoder, Encoder, GlobalHead, UNet

SMALL = UNetConfig(widths=(4, 6, 8, 10))


def parts(config, image):
    e = Encoder(config)(image)
    d = Decoder(config)(e[1:])
    return e, d, GlobalHead(config)((d[0], e[0]))


@pytest.mark.parametrize("batch,sides,channels", [(1, (16, 24, 8), 2), (2, (8, 8, 16), 1)])
def test_strides_and_widths(batch, sides, channels):
    e, d, logits = parts(SMALL, tf.zeros([batch, *sides, channels]))
    for stride, width, *maps in ((1, 4, e[0]), (2, 6, e[1], d[0]), (4, 8, e[2], d[1]), (8, 10, e[3], d[2])):
        for x in maps:
            assert x.shape == (batch, *(n // stride for n in sides), width)
    assert logits.shape == (batch, *sides, 1) and logits.dtype == tf.float32


def block(wide, width, stride=1):
    """Two convolutions, each with a scale and an offset per channel, and a shortcut of the stride's size."""
    return 27 * (wide * width + width * width) + 4 * width + stride ** 3 * wide * width


def test_the_default_network_has_1_42_million_weights():
    encoder = block(2, 16) + block(16, 32, 2) + block(32, 64, 2) + block(64, 128, 2)
    decoder = 128 * 64 + block(128, 64) + 64 * 32 + block(64, 32)
    head = 32 * 16 + block(32, 16) + 16 + 1
    unet = UNet(UNetConfig())
    unet(tf.zeros([1, 8, 8, 8, 2]))
    assert sum(int(np.prod(w.shape)) for w in unet.trainable_variables) == encoder + decoder + head == 1_423_121
    assert len(unet.variables) == len(unet.trainable_variables)


def test_first_probabilities_are_low_whatever_the_image():
    keras.utils.set_random_seed(0)      # one network in some fifty strays further
    image = tf.random.stateless_normal([1, 16, 16, 16, 1], seed=[1, 2])
    first = tf.sigmoid(UNet(UNetConfig())(image))
    assert np.min(first) > 0.015 and np.max(first) < 0.06


def test_the_baseline_is_its_three_parts():
    unet, image = UNet(SMALL), tf.random.stateless_normal([1, 8, 16, 8, 1], seed=[1, 2])
    logits = unet(image)
    e0, *deep = unet.encoder(image)
    np.testing.assert_allclose(unet.global_head((unet.decoder(tuple(deep))[0], e0)), logits, atol=1e-6)


def test_an_image_of_padding_only_is_finite_with_finite_gradients():
    unet, image = UNet(SMALL), tf.zeros([1, 8, 8, 8, 1])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(unet(image, training=True)))
    gradients = tape.gradient(loss, unet.trainable_variables)
    assert np.isfinite(loss) and all(np.all(np.isfinite(g)) for g in gradients)


@pytest.mark.parametrize("norm", ["instance", "group", "batch"])
def test_the_loss_reaches_every_weight(norm):
    unet = UNet(UNetConfig(widths=(4, 4, 4, 4), norm=norm))
    image = tf.random.stateless_normal([2, 16, 16, 16, 1], seed=[1, 2])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(unet(image, training=True)))
    gradients = tape.gradient(loss, unet.trainable_variables)
    assert all(np.any(g) for g in gradients)


def test_sides_must_be_multiples_of_8():
    with pytest.raises(InputError, match=r"\(8, 12, 8\).*multiples of 8"):
        UNet(SMALL)(tf.zeros([1, 8, 12, 8, 1]))
