"""The configuration: the paper's numbers, exact round trips, checks when made, the command line on top."""
import dataclasses
import json
import random

import pytest

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
    arguments,
    command_line,
)
from synergynet_tf.config.augment import TRANSFORMS, AugmentConfig
from synergynet_tf.errors import InputError


def test_paper_preset_is_the_paper_to_the_letter():
    config, _ = command_line.parse(["--preset", "paper"], "test")
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
    with pytest.raises(InputError, match=r"loss\.alpha9; did you mean loss\.alpha"):
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
    (lambda: AugmentConfig(flip=1.1), "augment.flip is 1.1, but it must be 0 to 1"),
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
    config, _ = command_line.parse(["--train.seed", "7", "--preset", "paper", "--config", str(file)], "test")
    assert (config.train.batch, config.train.seed, config.data.channels) == (3, 5, ("flair", "t2"))
    config, _ = command_line.parse(["--config", str(file), "--train.seed", "7"], "test")
    assert (config.train.batch, config.train.seed) == (3, 7)


def test_presets_are_combined():
    config, _ = command_line.parse(["--preset", "paper", "--preset=strong"], "test")
    paper, _ = command_line.parse(["--preset", "paper"], "test")
    assert dataclasses.replace(config, augment=paper.augment) == paper
    assert paper.augment == AugmentConfig() and all(getattr(config.augment, name) > 0 for name in TRANSFORMS)
    swapped, _ = command_line.parse(["--preset", "quickstart", "--preset", "paper"], "test")
    assert swapped.patch.size == (128, 160, 128) and swapped.phantoms.patients == 15
    assert Config.from_dict(config.asdict()) == config


@pytest.mark.parametrize(("arguments", "message"), [
    (["--preset", "nnunet"], "presets are experiment, mask_rcnn, paper, quickstart, strong, unet"),
    (["--train.batch", "many"], "train.batch"),
    (["--train.batches", "2"], "batches"),
    (["--train.batch", "1.5"], "train.batch is 1.5, but it must be a whole number"),
    (["--train.batch", "1:30"], "train.batch is '1:30'"),
    (["--train.batch", "010"], "train.batch is '010'"),
    (["--train.batch", "1" + "0" * 5000], "train.batch is"),
    (["--train.seed", "4294967296"], "train.seed is 4294967296, but it must be 0 to 4294967295"),
    (["--train.learning_rate", "nan"], "train.learning_rate is 'nan', but it must be a finite number"),
    (["--train.learning_rate", ".inf"], "train.learning_rate is inf"),
    (["--train.learning_rate", "1e-320"], "train.learning_rate is 1e-320"),
    (["--train.lerning_rate", "1"], "no setting --train.lerning_rate; did you mean train.learning_rate"),
    (["--learning_rate", "1"], "no argument --learning_rate; did you mean train.learning_rate"),
    (["--trian.batch", "1"], "no setting --trian.batch; did you mean train.batch"),
    (["--detektor", "{stride: 2}"], "no argument --detektor; did you mean detector"),
    (["--data.channels", "flair", "t2"], "t2 stands alone; a list is typed with commas"),
    (["--data.channels", "&a [*a]"], "data.channels.*anchors"),
    (["--data.channels", "[flair,../../x]"], "data.channels.*a name is of letters"),
    (["--data.split", "[.6,.4]"], "data.split is .*a list of 3"),
    (["--data.path="], "data.path is ''"), (["--data.path", "a\0b"], "data.path is"),
    (["--data.path", "--train.seed", "1"], "--data.path is given without a value"),
    (["--data", "scans"], "--data is a group of settings: type one of them, as in --data.path scans"),
    (["--infer.coverage", "hole"], "infer.coverage is 'hole', but it must be one of whole, windows, centre"),
    (["--infer.overlap", "0.99"], "infer.overlap is 0.99, but it must be 0 to 0.9"),
    (["--unet.widths", "[16,32,64,1000000000]"], "unet.widths is .*each must be 1 to 4096"),
    (["--config", ""], "--config is ''"), (["--preset"], "--preset is given without a value"),
    (["--fusion.gamma", "2"], "fusion.gamma is 2"),
    (["--config", "absent.yaml"], "absent.yaml"),
])
def test_bad_command_lines_give_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        command_line.parse(arguments, "test")
    assert "\n" not in str(caught.value)


def test_arguments_of_the_command_itself():
    _, own = command_line.parse(["--out", "here"], "test", lambda parser: parser.add_argument("--out"))
    assert own.out == "here"


@pytest.mark.parametrize(("text", "message"), [
    ("train:\n  batches: 2\n", "no setting train.batches; did you mean train.batch"),
    ("trian:\n  batch: 2\n", "no group of settings 'trian'; did you mean train"),
    ("train:\n  batch: 0\n", "train.batch is 0, but it must be 1 to 4096"),
    ("train:\n  batch: true\n", "train.batch is True"),
    ("train: 5\n", "train is 5, but it must be a mapping of system, epochs"),
    ("train:\n  batch: 1\n  batch: 2\n", "line 3: batch is named twice"),
    ("train: {class_path: os.system}\n", "no setting train.class_path"),
    ("a: &a [*a]\n", "anchors"), ("", "the settings are None"), ("- 1\n", "the settings are .1., but"),
    ("train:\n\t- 1\n", "line 2"),
    ("data: {path: [1]}\n", "data.path is .1., but it must be text or null"), ("\0", "unacceptable"), ("? x\n: [", "line"),
    ("1: {}\n", "no group of settings 1"), ("train: {1: 2}\n", "no setting train.1"),
])
def test_a_file_that_holds_no_settings_is_named(tmp_path, text, message):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        command_line.parse(["--config", str(file)], "test")
    assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)


def test_lists_are_typed_as_is_natural():
    for text in ("[flair,t2]", "flair,t2", "flair, t2", '["flair", "t2"]'):
        assert command_line.parse(["--data.channels", text], "test")[0].data.channels == ("flair", "t2")
    assert command_line.parse(["--data.split=.6,.2,.2", "--train.epochs=1,2,3,4"], "test")[0].train.epochs == (1, 2, 3, 4)
    assert command_line.parse(["--train", "{epochs: [1,2,3,4], batch: 2}", "--train.batch", "3"], "test")[0].train.batch == 3


def test_home_is_found_in_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.yaml").write_text("data: {path: ~/scans}\n")
    config, own = command_line.parse(["--config=~/own.yaml", "--data.cache=~/c", "--phantoms.anatomy=~/a", "--out=~/b"], "test",
                            lambda parser: parser.add_argument("--out", type=arguments.path))
    assert (config.data.path, config.data.cache, config.phantoms.anatomy, own.out) == (
        f"{tmp_path}/scans", f"{tmp_path}/c", f"{tmp_path}/a", tmp_path / "b")


STRANGE = ("null", "true", "nan", ".inf", "-1", "0", "1", "2", "0.5", "1e-3", "1e308", "9" * 30, "", "x", "[]", "[1]",
           "[1,2,3,4]", "[0.5,0.3,0.2]", "flair,t2", "64,64,64", "{a: 1}", "[[1,2]]", "16", "~/x", "1_0", "ä", "&a", "'1'",
           "1:30", "none", "unet", "first")


def test_random_settings_are_refused_or_come_back_unchanged(tmp_path):
    rng, names = random.Random(0), [f"{group}.{f}" for group, fields in Config().asdict().items() for f in fields]
    accepted = 0
    for _ in range(500):
        given = [f"--{rng.choice(names)}={rng.choice(STRANGE)}" for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        try:
            config, _ = command_line.parse(given, "test")
        except InputError as error:
            assert "\n" not in str(error), given
            continue
        accepted += 1
        assert Config.from_dict(json.loads(json.dumps(config.asdict(), allow_nan=False))) == config, given
        command_line.save(config, tmp_path / "config.yaml")
        assert command_line.parse(["--config", str(tmp_path / "config.yaml")], "test")[0] == config, given
    assert accepted > 25


def test_numbers_and_lists_are_of_the_kind_that_is_wanted():
    words = ["--train.learning_rate", "1", "--train.clip_norm", "2", "--augment.noise_range", "0,1"]
    config = command_line.parse(words, "test")[0]
    found = (config.train.learning_rate, config.train.clip_norm, *config.augment.noise_range, FusionConfig(1).gamma)
    assert found == (1, 2, 0, 1, 1) and {type(value) for value in found} == {float}
    assert type(config.train.batch) is int
    assert DataConfig(channels=["flair", "t2"]).channels == ("flair", "t2")


def test_a_stored_configuration_must_be_whole():
    values = Config().asdict()
    assert Config.from_dict(values, complete=True) == Config()
    del values["augment"]
    with pytest.raises(InputError, match="no group augment"):
        Config.from_dict(values, complete=True)
