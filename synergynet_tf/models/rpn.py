"""The region proposal network over d1 (paper, 2.1): one shared convolution, then objectness and deltas for every anchor.

    d1 [B, X/2, Y/2, Z/2, C] -> objectness [B, N], deltas [B, N, 6]

N = gx * gy * gz * A anchors lie in the row order of ops.anchors.anchor_grid: x, y, z, size with size fastest. At an anchor stride
of 4 the shared convolution strides by 2.
"""
import keras
import tensorflow as tf

from synergynet_tf.models.blocks import BuiltByCalling
from synergynet_tf.models.unet import LOGIT_SPREAD, STRIDES, logit_layer

OBJECTNESS_PRIOR = 0.01     # of the focal loss (Lin et al. 2017, 4.1): a million background anchors do not swamp the first steps


class RPNHead(BuiltByCalling, keras.Model):
    """d1 -> (objectness float32 [B, N], deltas float32 [B, N, 6]).

    Args:
        width: channels of the shared convolution.
        anchors_per_cell: A, the number of anchor sizes.
        stride: of the anchor grid in voxels, 2 or 4.
    """

    def __init__(self, width: int, anchors_per_cell: int, stride: int, name: str = "rpn"):
        super().__init__(name=name)
        self.shared = keras.layers.Conv3D(
            width, 3, strides=stride // STRIDES[1], padding="same", activation="relu", kernel_initializer="he_normal",
            name="shared")
        self.objectness = logit_layer(anchors_per_cell, OBJECTNESS_PRIOR, "objectness")
        self.deltas = keras.layers.Conv3D(
            6 * anchors_per_cell, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=LOGIT_SPREAD), dtype="float32",
            name="deltas")

    def call(self, d1: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = self.shared(d1)
        objectness, deltas = self.objectness(x), self.deltas(x)
        cells = tf.shape(objectness)
        n = cells[1] * cells[2] * cells[3] * cells[4]
        return tf.reshape(objectness, [cells[0], n]), tf.reshape(deltas, [cells[0], n, 6])
