"""The sheet of augmented patches: what is on it, with and without lesions, and the command that draws it."""
import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from synergynet_tf import prepare
from synergynet_tf.config.augment import TRANSFORMS, AugmentConfig, strengths
from synergynet_tf.data.cache import build_cache
from synergynet_tf.data.instances import LesionTable
from synergynet_tf.data.layouts import discover
from synergynet_tf.report import figures, preview


def outlined(path):
    return int((np.abs(imread(path)[..., :3] - to_rgb(figures.REFERENCE)).max(-1) < 0.1).sum())


@pytest.mark.slow
def test_the_sheet_shows_lesions_where_there_are_some(tiny_config, tmp_path):
    cases = build_cache(discover(tiny_config.data.path), tiny_config)
    every = dataclasses.replace(tiny_config, augment=AugmentConfig(**dict.fromkeys(TRANSFORMS, 0.5)))
    preview.augmentation_sheet(tmp_path / "sheet.png", cases, every)
    assert outlined(tmp_path / "sheet.png") > 1000
    bare = dataclasses.replace(cases[0], table=LesionTable(np.zeros((0, 6), int), np.zeros(0, int), np.zeros(0, bool)))
    np.save(tmp_path / "instances.npy", np.zeros(cases[0].shape, np.int16))
    np.save(tmp_path / "image.npy", cases[0].image())
    preview.augmentation_sheet(tmp_path / "bare.png", [dataclasses.replace(bare, folder=tmp_path)], every)
    assert outlined(tmp_path / "bare.png") == 0


def test_every_transform_is_shown_at_its_strongest(tiny_config):
    shown = dict(preview._alone(tiny_config))
    assert {name for changes in shown.values() for name in changes} == {"angle", "flip", *strengths()}
    assert "scale 0.85" in shown and "scale 1.15" in shown and "thick slices 4" in shown and "noise 0.2" in shown


@pytest.mark.slow
def test_pasting_and_dropout_have_their_pictures(tiny_config, tmp_path):
    two = dataclasses.replace(tiny_config, data=dataclasses.replace(tiny_config.data, channels=("flair", "t2")))
    studio = preview._Studio(build_cache(discover(tiny_config.data.path, channels=("flair", "t2")), two), two)
    plain, off = studio.dropped()
    assert (plain.title, off.title) == ("t2", "t2 dropped") and plain.image.any() and not off.image.any()
    before, pasted = studio.patch("original"), studio.pasted()
    new = (pasted.instances > 0) & (before.instances == 0)
    assert new.any() and (pasted.image[new] > before.image[new]).all() and new[:, :, pasted.level].any()
    assert preview._Studio(build_cache(discover(tiny_config.data.path), tiny_config), tiny_config).dropped() == []


def test_the_command_draws_it_or_says_why_not(tiny_cohort, tmp_path, capsys):
    arguments = ["--data.path", str(tiny_cohort), "--data.cache", str(tmp_path / "cache"), "--preset", "strong",
                 "--patch.size", "[32, 32, 32]"]
    assert prepare.main([*arguments, "--preview", str(tmp_path / "absent" / "sheet.png")]) == 2
    assert "absent does not exist" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()        # said before the work begins
    assert prepare.main([*arguments, "--preview", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"
