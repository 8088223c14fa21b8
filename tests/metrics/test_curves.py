"""Pooled precision-recall curves against scikit-learn."""
import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.curves import LEVELS, precision_recall, score_counts


def scans(seed: int, levels: int = 40):
    rng = np.random.default_rng(seed)
    reference = rng.random((9, 8, 7)) < .2
    probability = np.round(np.clip(rng.normal(.3, .2, reference.shape) + .3 * reference, 0, 1) * levels) / levels
    return reference, (np.round(probability * LEVELS) / LEVELS).astype(np.float32)


def test_the_curve_of_two_scans_is_scikit_learn_s_of_both():
    pairs = [scans(0), scans(1)]
    precision, recall = precision_recall(sum(score_counts(*pair) for pair in pairs))
    labels, scores = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    expected = precision_recall_curve(labels, scores)
    np.testing.assert_allclose(precision, expected[0][-2::-1])     # scikit-learn adds an end at recall 0
    np.testing.assert_allclose(recall, expected[1][-2::-1])


def test_no_lesion_gives_no_curve():
    precision, recall = precision_recall(score_counts(np.zeros((3, 3, 3)), np.zeros((3, 3, 3))))
    assert len(precision) == len(recall) == 0


@pytest.mark.parametrize("value", [-.1, 1.5, np.nan])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(InputError, match="probabilit"):
        score_counts(np.zeros((2, 2, 2)), np.full((2, 2, 2), value))
