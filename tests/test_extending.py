"""One new loss term, stage, augmentation, metric and signature each, registered where docs/architecture.md says, and used."""
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from synergynet_tf.config import AugmentConfig, Config, LossConfig, TrainConfig
from synergynet_tf.config.augment import TRANSFORMS, Strength
from synergynet_tf.data import intensity, pipeline
from synergynet_tf.data.cache import build_cache
from synergynet_tf.data.layouts import discover
from synergynet_tf.metrics import scores
from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import CaseScores, metric, score_case
from synergynet_tf.report.tables import as_json, comma_separated, markdown
from synergynet_tf.training.history import LOG, read_log
from synergynet_tf.training.stages import Stage
from synergynet_tf.training.systems import SYSTEMS
from synergynet_tf.training.terms import TERMS, Term
from synergynet_tf.training.trainer import Cases, Trainer


@pytest.fixture(scope="module")
def cases(tiny_cohort, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    return build_cache(discover(tiny_cohort)[:2], Config.from_dict({"data": {"path": str(tiny_cohort), "cache": cache},
                                                                    "lesions": {"max_lesions": 16}}))


# A loss term: its function (losses/), its weight (config/training.py), its row (training/terms.py).
def volume_loss(forward, count):
    """How far the predicted volume is from the annotated one, as a share of the patch."""
    shares = [tf.reduce_mean(values, [1, 2, 3, 4]) for values in (tf.sigmoid(forward.volume_logits), forward.lesions)]
    return tf.reduce_sum(tf.abs(shares[0] - shares[1])) / count


@dataclass(frozen=True)
class WithVolume(LossConfig):
    alpha7: float = 0.5


# A stage: its row (training/stages.py), its count of epochs (config/training.py).
@dataclass(frozen=True)
class FiveStages(TrainConfig):
    epochs: tuple[int, int, int, int, int] = (0, 0, 0, 0, 1)


def test_a_term_and_a_stage(cases, tiny_config, tmp_path, monkeypatch):
    volume = Term("alpha7", "global_head", count=lambda forward: tf.cast(tf.shape(forward.batch.image)[0], tf.float32),
                  loss=volume_loss)
    monkeypatch.setitem(TERMS, "volume", volume)
    unet = SYSTEMS["unet"]
    monkeypatch.setitem(SYSTEMS, "unet", unet._replace(stages=(*unet.stages, Stage(5, "last layers", ("global_head",)))))
    config = replace(tiny_config, loss=WithVolume(), train=FiveStages("unet", steps_per_epoch=1, batch=2, accumulate=2))

    trainer = Trainer(config, Cases(cases, []), tmp_path, lambda model: {}, False, Console(quiet=True))
    before = trainer.model.encoder.get_weights(), trainer.model.global_head.get_weights()
    trainer.fit()
    (record,) = read_log(tmp_path / LOG)
    assert record["stage"] == 5 and set(record["parts"]) == {"global", "volume"}
    assert 0 < record["parts"]["volume"] < 0.5 and math.isclose(record["loss"], sum(record["parts"].values()), rel_tol=1e-6)
    assert all(np.array_equal(a, b) for a, b in zip(before[0], trainer.model.encoder.get_weights()))
    assert not all(np.array_equal(a, b) for a, b in zip(before[1], trainer.model.global_head.get_weights()))


# An augmentation: probability, range and limits (config/augment.py), and what it does (data/intensity.py).
@dataclass(frozen=True)
class WithSquash(AugmentConfig):
    squash: float = 0.0
    squash_range: tuple[float, float] = (0.5, 0.5)


def test_an_augmentation(cases, tiny_config, monkeypatch):
    monkeypatch.setitem(TRANSFORMS, "squash", Strength(0.1, 1.0, neutral=1.0))
    monkeypatch.setitem(intensity.CHANGES, "squash", lambda image, inside, draws, config: draws["squash"] * image)
    plain = replace(tiny_config, patch=replace(tiny_config.patch, rotation=0.0))
    batches = [next(iter(pipeline.training_dataset(cases, replace(plain, augment=WithSquash(squash=probability)), 0)))
               for probability in (0.0, 1.0)]
    assert np.abs(batches[0].image).max() > 1
    np.testing.assert_allclose(batches[1].image, 0.5 * batches[0].image, rtol=1e-5)


# A metric: its function (metrics/voxel.py), its field (metrics/scores.py).
@dataclass(frozen=True)
class WithJaccard(CaseScores):
    jaccard: float = metric("Jaccard", 4, lambda pair: float((pair.reference & pair.prediction).sum()
                                                             / (pair.reference | pair.prediction).sum()))


def test_a_metric(monkeypatch):
    monkeypatch.setattr(scores, "CaseScores", WithJaccard)
    reference, prediction = np.zeros((2, 6, 6, 6), bool)
    reference[1:3, 1:3, 1:3] = prediction[1:3, 1:3, 2:4] = True
    case = score_case(reference, prediction, spacing=(1, 1, 1), case="a")
    assert case.jaccard == 1 / 3
    assert "| Jaccard |" in markdown([case], LesionRule()) and "| 0.3333 |" in markdown([case], LesionRule())
    assert "jaccard" in comma_separated([case], LesionRule()).splitlines()[0]
    assert as_json([case], LesionRule())["summary"]["all"]["jaccard"]["mean"] == 1 / 3


def test_a_signature(monkeypatch):
    from export import signatures
    from export.settings import Limits
    from tests.export.toy import Toy, toy_config

    # Its answer, a method of Segmenter, and its row (both export/signatures.py).
    def voxels(segmenter, inputs):
        return {"voxels": tf.math.count_nonzero(segmenter._z_scored_batch(**inputs)["mask"], [1, 2, 3])}

    added = signatures.Signature(signatures.SIGNATURES["serving_default"].inputs, voxels)
    monkeypatch.setattr(signatures, "SIGNATURES", {"lesion_voxels": added})
    toy = Toy()
    ask = signatures.Segmenter([signatures.Member(toy, toy.weights, toy_config())], Limits()).signatures()["lesion_voxels"]
    volume = np.zeros((2, 16, 16, 16, 1), np.float32)
    volume[:, 2:-2, 2:-2, 2:-2] = np.random.default_rng(0).normal(size=(2, 12, 12, 12, 1))
    volume[0, 5:8, 5:8, 5:8] += 4
    first, second = ask(z_scored_volume=tf.constant(volume))["voxels"].numpy()
    assert first > second > 0
