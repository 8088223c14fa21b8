"""The paper's Ensemble of a U-Net and a Mask R-CNN (paper, 3)."""
import dataclasses

import tensorflow as tf

from synergynet_tf.config import Config, FusionConfig
from synergynet_tf.structures import Network, Prediction


def ensemble(unet: Network, mask_rcnn: Network) -> Network:
    """A network whose global branch is the U-Net and whose local branch is the Mask R-CNN."""
    def predict(image: tf.Tensor) -> Prediction:
        return mask_rcnn(image)._replace(global_logits=unet(image).global_logits)

    return predict


def ensemble_config(mask_rcnn: Config, gamma: float) -> Config:
    """What a Predictor of the ensemble is given: the Mask R-CNN's settings, but the fusion's gamma."""
    return dataclasses.replace(mask_rcnn, fusion=FusionConfig(gamma),
                               train=dataclasses.replace(mask_rcnn.train, system="synergynet"))
