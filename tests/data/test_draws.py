"""What the host draws for an epoch: bounds, shares, independence of one transform from another, and what must never change."""
from dataclasses import replace

import numpy as np
import pytest

from synergynet_tf.config import Config, DataConfig, TrainConfig
from synergynet_tf.config.augment import MOST_PASTED, TRANSFORMS, AugmentConfig, strengths
from synergynet_tf.data import draws

FIELDS = {"flip": ("flip",), "modality_dropout": ("dropped",), "paste": ("paste", "paste_places", "paste_border"),
          **{name: (name, f"{name}_seed") for name in strengths()}}
FIELDS["thick_slices"] += ("thick_axis",)
FIELDS["bias_field"] += ("bias_terms",)


def config(seed=7, **augment):
    return Config(DataConfig(channels=("t2", "flair", "t1")), train=TrainConfig(seed=seed), augment=AugmentConfig(**augment))


def assert_same(left, right, fields=None):
    assert set(left) == set(right)
    for name in left if fields is None else fields:
        np.testing.assert_array_equal(left[name], right[name], name)


def test_the_default_changes_nothing():
    assert_same(draws.draw(config(), 0, 5), draws.neutral(5, 3))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_draws_the_same_whatever_else_is_on(name):
    alone = draws.draw(config(**{name: 0.5}), 2, 40)
    together = draws.draw(config(**dict.fromkeys(TRANSFORMS, 1.0) | {name: 0.5}), 2, 40)
    own = FIELDS[name]
    assert_same(alone, together, own)
    assert_same(alone, draws.neutral(40, 3), [field for field in alone if field not in own])


@pytest.mark.parametrize("name", list(strengths()))
def test_strengths_fill_their_range_in_the_given_share_of_patches(name):
    settings = config(**{name: 0.5})
    values, off = draws.draw(settings, 0, 400)[name], draws.neutral(1, 3)[name][0]
    drawn = values[values != off]
    low, high = getattr(settings.augment, f"{name}_range")
    assert 160 < len(drawn) < 240
    assert drawn.min() >= low and drawn.max() <= high * (1 + 1e-6) + 1e-6
    assert drawn.min() < low + 0.05 * (high - low) and drawn.max() > high - 0.05 * (high - low)


def test_flair_is_never_dropped_and_the_others_apart():
    dropped = draws.draw(config(modality_dropout=0.5), 0, 400)["dropped"]
    assert not dropped[:, 1].any()
    assert 160 < dropped[:, 0].sum() < 240 and 60 < (dropped[:, 0] & dropped[:, 2]).sum() < 140


def test_the_number_of_pasted_lesions_and_their_borders_fill_their_ranges():
    settings = AugmentConfig(paste=0.5, paste_range=(2, MOST_PASTED), paste_border=(1.5, 2.0))
    drawn = draws.draw(replace(config(), augment=settings), 0, 400)
    counts, on = (drawn["paste"] >= 0).all(-1).sum(-1), (drawn["paste"] >= 0).any((1, 2))
    assert 160 < on.sum() < 240 and set(counts[on]) == set(range(2, MOST_PASTED + 1))
    assert ((drawn["paste"] >= 0).all(-1) == (np.arange(MOST_PASTED) < counts[:, None])).all()
    assert drawn["paste"].max() < 1 and drawn["paste_places"].min() >= 0 and 0.999 < drawn["paste_places"].max() < 1
    assert drawn["paste_border"][on].min() > 1.5 and 1.99 < drawn["paste_border"][on].max() < 2


def test_bias_terms_are_a_polynomial_without_constant():
    terms = draws.draw(config(bias_field=1.0), 0, 3)["bias_terms"]
    order = np.indices(terms.shape[1:]).sum(0)
    assert not terms[:, (order == 0) | (order > draws.BIAS_ORDER)].any()
    assert (terms[:, (order > 0) & (order <= draws.BIAS_ORDER)] != 0).all()


def test_epochs_seeds_and_visits_differ_and_a_longer_epoch_begins_alike():
    every = config(**dict.fromkeys(TRANSFORMS, 1.0))
    plans = [draws.draw(every, 0, 20), draws.draw(every, 1, 20), draws.draw(replace(every, train=TrainConfig(seed=8)), 0, 20)]
    for name in strengths():
        assert len(np.unique(np.concatenate([plan[name] for plan in plans]))) == 60
    assert len(np.unique(np.concatenate([plan["noise_seed"] for plan in plans]), axis=0)) == 60
    assert_same(plans[0], {name: values[:20] for name, values in draws.draw(every, 0, 30).items()})
