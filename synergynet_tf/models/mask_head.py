"""The Mask sub-network (paper, 2.1-2.2): a local segmentation of each RoI from d1, d2 and d3.

    (d1, d2, d3) -> MaskProjections -> maps of `width` channels -> crops on the RoI's grid of S cells a side -> MaskHead

The paper combines the crops of a RoI from the three scales. Here each map is brought to `width` channels before the crop
rather than after. The two commute, because both are linear and the projection has no bias, and d2 and d3 hold far fewer cells
than the crops. The projected crops are then added, which is a 1x1x1 convolution of the three crops side by side.

There is no normalisation, for the reason of box_head; a layer norm would cost half as much as the convolution it follows.
"""
import keras
import tensorflow as tf

from synergynet_tf.models.blocks import BuiltByCalling
from synergynet_tf.models.unet import LOGIT_SPREAD, Maps3

SCALES = 3


class MaskProjections(BuiltByCalling, keras.Model):
    """(d1, d2, d3) [B, ..., C_i] -> three maps [B, ..., width] at the same strides, in the compute dtype."""

    def __init__(self, width: int, name: str = "mask_projections"):
        super().__init__(name=name)
        self.projections = [
            keras.layers.Conv3D(width, 1, use_bias=False, kernel_initializer="he_normal", name=f"d{i + 1}")
            for i in range(SCALES)]

    def call(self, maps: Maps3) -> Maps3:
        """Maps (d1, d2, d3) -> the same three maps with `width` channels each."""
        return tuple(project(x) for project, x in zip(self.projections, maps, strict=True))


class MaskHead(BuiltByCalling, keras.Model):
    """(p1, p2, p3), each [R, S, S, S, width] -> float32 logits [R, S, S, S, 1], Y_m of eq. 1 on the RoI's grid; R, S free."""

    def __init__(self, width: int, name: str = "mask_head"):
        super().__init__(name=name)
        self.convs = [
            keras.layers.Conv3D(width, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=f"conv{i}")
            for i in range(2)]
        self.logits = keras.layers.Conv3D(
            1, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=LOGIT_SPREAD), dtype="float32", name="logits")

    def call(self, crops: Maps3) -> tf.Tensor:
        """Crops of the three maps, [N, S, S, S, width] each -> logits [N, S, S, S, 1]."""
        p1, p2, p3 = crops
        x = tf.nn.relu(p1 + p2 + p3)
        for conv in self.convs:
            x = conv(x)
        return self.logits(x)
