"""Networks that answer together: the paper's Ensemble of a U-Net and a Mask R-CNN (paper, 3), and several runs as one."""
import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from synergynet_tf.config import Config, FusionConfig
from synergynet_tf.errors import InputError
from synergynet_tf.structures import Prediction

Network = Callable[[tf.Tensor], Prediction]


def ensemble(unet: Network, mask_rcnn: Network) -> Network:
    """A network whose global branch is the U-Net and whose local branch is the Mask R-CNN."""
    def predict(image: tf.Tensor) -> Prediction:
        return mask_rcnn(image)._replace(global_logits=unet(image).global_logits)

    return predict


def ensemble_config(mask_rcnn: Config, gamma: float) -> Config:
    """What a Predictor of the ensemble is given: the Mask R-CNN's settings, but the fusion's gamma."""
    return dataclasses.replace(mask_rcnn, fusion=FusionConfig(gamma),
                               train=dataclasses.replace(mask_rcnn.train, system="synergynet"))


def require_agreement(configs: Sequence[Config]) -> None:
    """See that networks whose probabilities are to be averaged see and mark alike.

    Raises:
        InputError: they do not.
    """
    first = configs[0]
    for config in configs[1:]:
        for name, value, other in (("data.channels", config.data.channels, first.data.channels),
                                 ("infer.threshold", config.infer.threshold, first.infer.threshold),
                                 ("infer.mirror", config.infer.mirror, first.infer.mirror),
                                 ("infer.min_lesion", config.infer.min_lesion, first.infer.min_lesion),
                                 ("infer.min_peak", config.infer.min_peak, first.infer.min_peak),
                                 ("lesions.connectivity", config.lesions.connectivity, first.lesions.connectivity)):
            if value != other:
                raise InputError(f"{name} is {value} in one run, but {other} in another: only runs that agree make an ensemble")
