"""Scores of the network on whole cached scans, for the validation that training asks for."""
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from synergynet_tf.config import Config
from synergynet_tf.data.cache import CachedCase
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import score_case, statistic

METRICS = ("dsc", "ap", "ltpr", "lfpr", "sn")       # the paper's five (paper, 3)


def make_scorer(cases: Sequence[CachedCase], config: Config) -> Callable[[Any], dict[str, float]]:
    """A function that gives the mean of the five metrics over `cases`, each segmented whole, by name.

    It is given the network; as long as it is the same one, the network is traced once. A metric that no case defines is left out.
    """
    last: list[Any] = [None, None]      # a network and its Predictor

    def score(model: Any) -> dict[str, float]:
        if last[0] is not model:
            last[:] = model, Predictor(model, config)
        predictor = last[1]
        scores = [_score(predictor, case, config) for case in cases]
        means = {name: statistic([getattr(s, name) for s in scores]).mean for name in METRICS}
        return {name: mean for name, mean in means.items() if not np.isnan(mean)}

    return score


def _score(predictor: Predictor, case: CachedCase, config: Config):
    segmentation = predictor.predict_volume(np.asarray(case.image(), np.float32))
    return score_case(np.asarray(case.instances()) > 0, segmentation.mask, segmentation.probability,
                      spacing=case.spacing, rule=LesionRule(config.lesions.connectivity), case=case.name)
