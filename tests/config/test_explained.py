"""--help says what each setting is, by its field's comment; a wrong value names the field, its file and what is allowed."""
import dataclasses
import importlib.util
from dataclasses import dataclass

import pytest

from synergynet_tf import train
from synergynet_tf.config import Config, command_line
from synergynet_tf.config.explained import FIRST, comments
from synergynet_tf.config.settings import Settings
from synergynet_tf.data.raw.config import RawConfig
from synergynet_tf.errors import InputError
from tuning.objective import Weights
from tuning.space import Space


@dataclass(frozen=True)
class Example(Settings):
    """A group."""

    near: int = 1           # on its line
    # before it,
    # in two lines
    above: tuple[int, int] = (1, 2)
    bare: float = 0.5

    # of no field
    GROUP = "example"

    def check(self) -> None:
        near = self.near    # a name of the code's own
        self.require(near > 0, "near", "it must be above 0")


def test_comments_are_read_from_the_source():
    assert comments(Example) == {"near": "on its line", "above": "before it, in two lines"}


@pytest.mark.parametrize("group", [*Config.groups().values(), RawConfig, Weights, Space], ids=lambda group: group.GROUP)
def test_every_setting_has_one(group):
    assert [field.name for field in dataclasses.fields(group) if not comments(group).get(field.name)] == []


def test_help_shows_every_setting_in_groups_those_that_matter_first(capsys):
    with pytest.raises(SystemExit):
        train.main(["--help"])
    text = capsys.readouterr().out
    for group, fields in Config().asdict().items():
        assert all(f"  --{group}.{name} " in text for name in fields)
    titles = [line for line in text.splitlines() if line.startswith("--")]
    assert titles[:len(FIRST)] == [f"--{name}:" for name in FIRST] and len(titles) == len(Config.groups())
    words = " ".join(text.split())
    assert "--train.batch VALUE patches that the network sees at a time (a whole number, 1 to 4096; default: 1)" in words
    assert "--infer.coverage VALUE the brain in one pass" in words and "(one of whole, windows, centre; default: whole)" in words


def test_printed_settings_are_a_file_of_settings(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command_line.parse(["--preset", "paper", "--fusion.gamma", "0.5", "--print_config"], "test")
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    read, _ = command_line.parse(["--config", str(tmp_path / "printed.yaml")], "test")
    assert read == command_line.parse(["--preset", "paper", "--fusion.gamma", "0.5"], "test")[0]


@pytest.mark.parametrize("name", command_line.preset_names())
def test_a_preset_opens_with_its_command_its_time_and_its_score(name):
    command, *others = (command_line.PRESETS / f"{name}.yaml").read_text().splitlines()
    module, *words = command.removeprefix("# python -m ").split()
    assert importlib.util.find_spec(module) and f"--preset {name}" in command
    assert others[0].startswith("# Time: ") and any(line.startswith("# Score: ") for line in others[:3])
    presets = [word for word in words if word == "--preset" or word in command_line.preset_names()]
    assert isinstance(command_line.parse(presets, "test")[0], Config)


@pytest.mark.parametrize(("text", "message"), [
    ("train:\n  batch: 0\n", "train.batch is 0, but it must be 1 to 4096"),
    ("unet: {norm: batch}\ntrain: {accumulate: 2}\n", "train.accumulate is 2, but unet.norm is batch"),
    ("train: {system: mask_rcnn}\nfusion: {gamma: 0.5}\n", "fusion.gamma is 0.5, but train.system is mask_rcnn"),
])
def test_a_wrong_value_names_its_file_even_where_two_groups_do_not_agree(tmp_path, text, message):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        command_line.parse(["--config", str(tmp_path / "own.yaml")], "test")
    assert str(caught.value).startswith(f"{tmp_path / 'own.yaml'}: {message}")
