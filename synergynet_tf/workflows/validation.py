"""Scores of the network on whole cached scans, for the validation that training asks for."""
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from synergynet_tf.config import Config
from synergynet_tf.data.cache import CachedCase
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.metrics import PAPER_METRICS
from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import score_case, statistic
from synergynet_tf.runtime.replicas import Replicas


def make_scorer(cases: Sequence[CachedCase], config: Config,
                replicas: Replicas | None = None) -> Callable[[Any], dict[str, float]]:
    """A function that gives the mean of the five metrics over `cases`, each segmented whole, by name.

    It is given the network; as long as it is the same one, the network is traced once. A metric that no case defines is left out.
    The processes of `replicas` share the cases.
    """
    replicas = replicas or Replicas()
    last: list[Any] = [None, None]      # a network and its Predictor

    def score(model: Any) -> dict[str, float]:
        if last[0] is not model:
            last[:] = model, Predictor(model, config)
        predictor = last[1]
        rows = [_score(predictor, case, config) for case in replicas.share(cases)]
        table = replicas.gather(np.reshape(rows, (-1, len(PAPER_METRICS))), len(cases))
        means = {name: statistic(values).mean for name, values in zip(PAPER_METRICS, table.T)}
        return {name: mean for name, mean in means.items() if not np.isnan(mean)}

    return score


def _score(predictor: Predictor, case: CachedCase, config: Config) -> list[float]:
    """PAPER_METRICS of a case."""
    segmentation = predictor.predict_volume(np.asarray(case.image(), np.float32), voxel_mm3=math.prod(case.spacing))
    scores = score_case(np.asarray(case.instances()) > 0, segmentation.mask, segmentation.probability,
                        spacing=case.spacing, rule=LesionRule(config.lesions.connectivity), case=case.name)
    return [getattr(scores, name) for name in PAPER_METRICS]
