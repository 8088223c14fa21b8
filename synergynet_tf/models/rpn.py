"""The region proposal network over d1 (paper, 2.1): one shared convolution, then objectness and deltas of the anchors.

    d1 [B, X/2, Y/2, Z/2, C] -> objectness [B, N], cells [B, gx, gy, gz, width] -> deltas [B, K, 6] of K anchors

Of the anchors, two million in a whole brain, a loss or a proposal asks for the deltas of a few thousand: only those are made.

N = gx * gy * gz * A anchors lie in the row order of ops.anchors.anchor_grid: x, y, z, size with size fastest. At an anchor stride
of 4 the shared convolution strides by 2.
"""
import keras
import tensorflow as tf

from synergynet_tf.models.blocks import build_layer
from synergynet_tf.models.unet import LEVEL_STRIDES, LOGIT_SPREAD, logit_layer

OBJECTNESS_PRIOR = 0.01     # of the focal loss (Lin et al. 2017, 4.1): a million background anchors do not swamp the first steps


class RPNHead(keras.Model):
    """d1 -> (objectness float32 [B, N], cells [B, gx, gy, gz, width] for `deltas_at`).

    Args:
        width: channels of the shared convolution.
        anchors_per_cell: A, the number of anchor sizes.
        stride: of the anchor grid in voxels, 2 or 4.
    """

    def __init__(self, width: int, anchors_per_cell: int, stride: int, name: str = "rpn"):
        super().__init__(name=name)
        self.shared = keras.layers.Conv3D(
            width, 3, strides=stride // LEVEL_STRIDES[1], padding="same", activation="relu", kernel_initializer="he_normal",
            name="shared")
        self.objectness = logit_layer(anchors_per_cell, OBJECTNESS_PRIOR, "objectness")
        self.deltas = keras.layers.Conv3D(
            6 * anchors_per_cell, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=LOGIT_SPREAD), dtype="float32",
            name="deltas")

    def build(self, input_shape: tuple) -> None:
        """Make the weights for a map of this shape."""
        build_layer(self.shared, input_shape)
        for layer in (self.objectness, self.deltas):
            build_layer(layer, (*input_shape[:-1], self.shared.filters))
        self.built = True

    def call(self, d1: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """d1 [B, X, Y, Z, C] -> objectness logits of all anchors, and the cells that `deltas_at` reads."""
        cells = self.shared(d1)
        objectness = self.objectness(cells)
        shape = tf.shape(objectness)
        return tf.reshape(objectness, [shape[0], tf.reduce_prod(shape[1:])]), cells

    def deltas_at(self, cells: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """The deltas of the anchors in the rows int32 [B, K]: float32 [B, K, 6]."""
        count = self.objectness.filters
        batch, width = tf.shape(cells)[0], self.shared.filters
        asked = tf.gather(tf.reshape(cells, [batch, -1, width]), rows // count, batch_dims=1)
        every = self.deltas(asked[:, :, None, None])        # of all anchors of those cells, which lie in a column
        return tf.gather(tf.reshape(every, [batch, -1, count, 6]), rows % count, batch_dims=2)
