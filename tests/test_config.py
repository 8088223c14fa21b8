"""The configuration: the paper's numbers, exact round trips, checks when made, the command line on top."""
import dataclasses
import json

import pytest

from synergynet_tf import cli
from synergynet_tf.augmentation import SWITCHES, AugmentConfig
from synergynet_tf.config import (
    Config,
    DataConfig,
    DetectorConfig,
    FusionConfig,
    LossConfig,
    MaskConfig,
    PatchConfig,
    PhantomConfig,
    TrainConfig,
    UNetConfig,
)
from synergynet_tf.errors import InputError


def test_paper_preset_is_the_paper_to_the_letter():
    config, _ = cli.parse(["--preset", "paper"], "test")
    assert config.data.channels == ("flair", "t2")
    assert config.data.split == (0.6, 0.2, 0.2)
    assert config.patch.size == (128, 160, 128)
    assert config.patch.rotation == 15
    assert config.lesions.small_box_voxels == 1500
    assert config.fusion.gamma == 0.3
    alphas = [getattr(config.loss, f"alpha{i}") for i in range(1, 7)]
    assert alphas == [1, 1, 1.3, 1, 1, 5]
    assert config.loss.focal_beta == 2
    assert config.train.epochs == (30, 30, 40, 100)
    assert (config.train.learning_rate, config.train.schedule) == (0.001, "constant")


def test_dictionary_and_json_round_trip():
    config = Config(patch=PatchConfig(size=(64, 32, 48), jitter=(1, 2, 3)), fusion=FusionConfig(0.7))
    assert Config.from_dict(config.asdict()) == config
    assert Config.from_dict(json.loads(json.dumps(config.asdict()))) == config


def test_a_field_that_does_not_exist_is_named():
    with pytest.raises(InputError, match=r"loss\.alpha9.*alpha1"):
        Config.from_dict({"loss": {"alpha9": 1.0}})


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().train.batch = 2


@pytest.mark.parametrize(("make", "field"), [
    (lambda: TrainConfig(batch=0), "train.batch"),
    (lambda: TrainConfig(epochs=(0, 0, 0, 0)), "train.epochs"),
    (lambda: TrainConfig(learning_rate=0.0), "train.learning_rate"),
    (lambda: PatchConfig(size=(60, 64, 64)), "patch.size"),
    (lambda: FusionConfig(1.5), "fusion.gamma"),
    (lambda: DataConfig(raters="either"), "data.raters is 'either'.*first, second, union, intersection, both"),
    (lambda: DataConfig(folds=1), "data.folds"),
    (lambda: DataConfig(folds=5, fold=5), "data.fold is 5.*below data.folds"),
    (lambda: DataConfig(fold=1), "data.fold is 1"),
    (lambda: LossConfig(alpha3=float("nan")), "loss.alpha3"),
    (lambda: TrainConfig(schedule="linear"), "train.schedule is 'linear'.*constant, cosine, poly"),
    (lambda: TrainConfig(validate_every=0), "train.validate_every"),
    (lambda: TrainConfig(seed=-1), "train.seed"),
    (lambda: TrainConfig(accumulate=0), "train.accumulate"),
    (lambda: TrainConfig(recompute=5), "train.recompute is 5.*0 to 4"),
    (lambda: TrainConfig(precision="float8"), "train.precision is 'float8'.*float32, bfloat16, float16"),
    (lambda: Config(train=TrainConfig(recompute=1), unet=UNetConfig(norm="batch")), "train.recompute.*unet.norm is batch"),
    (lambda: Config(train=TrainConfig(accumulate=2), unet=UNetConfig(norm="batch")), "train.accumulate.*unet.norm is batch"),
    (lambda: Config(train=TrainConfig(recompute=1, jit_compile=True)), "train.recompute.*XLA merges"),
    (lambda: DetectorConfig(rois=0), "detector.rois"),
    (lambda: DetectorConfig(roi_positive_fraction=2.0), "detector.roi_positive_fraction"),
    (lambda: DetectorConfig(roi_negative_iou=0.6), "detector.roi_negative_iou"),
    (lambda: MaskConfig(size=0), "mask.size"),
    (lambda: PhantomConfig(seed=-1), "phantoms.seed"),
    (lambda: DetectorConfig(proposals=3000), "detector.proposals"),
    (lambda: DetectorConfig(negative_iou=0.6), "detector.negative_iou"),
    (lambda: AugmentConfig(flip=1.1), "augment.flip is 1.1, but it must be a probability"),
    (lambda: AugmentConfig(modality_dropout=float("nan")), "augment.modality_dropout"),
    (lambda: AugmentConfig(gamma_range=(1.5, 0.7)), "augment.gamma_range.*the smaller first, within 0.2 to 5"),
    (lambda: AugmentConfig(scale_range=(0.1, 1.0)), "augment.scale_range"),
    (lambda: AugmentConfig(noise_range=(0.1,)), "augment.noise_range"),
    (lambda: AugmentConfig(paste_range=(1, 9)), "augment.paste_range.*within 1 to 8"),
    (lambda: AugmentConfig(paste_border=(0.5, 2.0)), "augment.paste_border"),
    (lambda: AugmentConfig(elastic_spacing=0.0), "augment.elastic_spacing"),
    (lambda: AugmentConfig(elastic_spacing=10.0), "augment.elastic_range.*lower it to 4 or less"),
])
def test_bad_values_name_the_field(make, field):
    with pytest.raises(InputError, match=field):
        make()


def test_later_settings_win(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("train:\n  batch: 3\n  seed: 5\n")
    config, _ = cli.parse(["--train.seed", "7", "--preset", "paper", "--config", str(file)], "test")
    assert (config.train.batch, config.train.seed, config.data.channels) == (3, 5, ("flair", "t2"))
    config, _ = cli.parse(["--config", str(file), "--train.seed", "7"], "test")
    assert (config.train.batch, config.train.seed) == (3, 7)


def test_presets_are_combined():
    config, _ = cli.parse(["--preset", "paper", "--preset=strong"], "test")
    paper, _ = cli.parse(["--preset", "paper"], "test")
    assert dataclasses.replace(config, augment=paper.augment) == paper
    assert paper.augment == AugmentConfig() and all(getattr(config.augment, name) > 0 for name in SWITCHES)
    swapped, _ = cli.parse(["--preset", "quickstart", "--preset", "paper"], "test")
    assert swapped.patch.size == (128, 160, 128) and swapped.phantoms.patients == 15
    assert Config.from_dict(config.asdict()) == config


@pytest.mark.parametrize(("arguments", "message"), [
    (["--preset", "nnunet"], "presets are experiment, mask_rcnn, paper, quickstart, strong, unet"),
    (["--train.batch", "many"], "train.batch"),
    (["--train.batches", "2"], "batches"),
    (["--fusion.gamma", "2"], "fusion.gamma is 2"),
    (["--config", "absent.yaml"], "absent.yaml"),
])
def test_bad_command_lines_give_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        cli.parse(arguments, "test")
    assert "\n" not in str(caught.value)


def test_arguments_of_the_command_itself():
    _, own = cli.parse(["--out", "here"], "test", lambda parser: parser.add_argument("--out"))
    assert own.out == "here"
