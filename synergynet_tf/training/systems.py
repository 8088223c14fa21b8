"""The systems that one trainer trains: SynergyNet, and the baselines that the paper sets beside it (paper, 3).

A system is a network and its stages. A baseline's stage has the number of the SynergyNet stage that it resembles, and so that
stage's count of `train.epochs`: the Mask R-CNN has the first three, the U-Net has the last one alone, 100 epochs in the paper.
"""
from collections.abc import Callable
from typing import Any, NamedTuple

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from synergynet_tf.models.mask_rcnn import build_mask_rcnn
from synergynet_tf.models.synergynet import build_synergynet
from synergynet_tf.models.unet import build_unet
from synergynet_tf.training.stages import STAGES, Stage


class System(NamedTuple):
    """What is trained, and how."""

    stages: tuple[Stage, ...]
    build: Callable[[Config], Any]      # a network that, called on an image, gives a Prediction
    by_loss: bool                       # the best checkpoint has the lowest validation loss; else the highest mean DSC of scans


SYSTEMS = {
    "synergynet": System(STAGES, build_synergynet, by_loss=False),
    "unet": System((Stage(4, "U-Net", ("encoder", "decoder", "global_head")),), build_unet, by_loss=True),
    "mask_rcnn": System(STAGES[:3], build_mask_rcnn, by_loss=False),
}


def system_of(config: Config) -> System:
    """The system that `train.system` names.

    Raises:
        InputError: train.epochs gives its stages no epoch.
    """
    system = SYSTEMS[config.train.system]
    if not sum(epochs_of(config, stage) for stage in system.stages):
        numbers = ", ".join(str(stage.number) for stage in system.stages)
        raise InputError(f"train.epochs is {config.train.epochs}, but {config.train.system} has only the stages {numbers} of the "
                         "four: give one of them epochs")
    return system


def epochs_of(config: Config, stage: Stage) -> int:
    """How many epochs a stage has."""
    return config.train.epochs[stage.number - 1]
