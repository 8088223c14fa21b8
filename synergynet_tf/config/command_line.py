"""The command line shared by the commands that take a configuration: presets, YAML files, any field by name."""
import pathlib
import re
import sys
import warnings
from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any, cast

from synergynet_tf.config import Config, nearest
from synergynet_tf.config.explained import add_settings
from synergynet_tf.config.settings import expanded
from synergynet_tf.config.texts import ChosenSettings, Groups, part
from synergynet_tf.errors import InputError
from synergynet_tf.storage import yamls
from synergynet_tf.storage.files import replace_file
from synergynet_tf.storage.readers import read_yaml

PRESETS = pathlib.Path(__file__).with_name("presets")
PRINT = "--print_config"
KINDS = {"<class 'int'>": "whole number", "<class 'float'>": "number", "<class 'str'>": "text"}


def preset_names() -> list[str]:
    """The names that --preset takes."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def parse(argv: list[str] | None, description: str, add_arguments: Callable | None = None,
          preset: str | None = None, groups: Groups | None = None, base: Config | None = None) -> tuple[Config, Namespace]:
    """Read a configuration and the command's own arguments.

    Later settings win: dataclass defaults, then presets in their order, then --config files and fields as they come.

    Args:
        argv: arguments without the program's name; none: sys.argv.
        description: first line of --help.
        add_arguments: called with the parser, to add what is the command's own.
        preset: the preset used when none is named; none: the dataclass defaults.
        groups: groups of settings that are the command's own, by name.
        base: the settings to start from; none: the dataclass defaults.

    Returns:
        The checked configuration, and a namespace of the command's own arguments and groups.

    Raises:
        InputError: unknown preset, unreadable file, unknown field or a value that its field does not take.
    """
    known = Config.groups() | dict(groups or {})
    taken, rest = part(sys.argv[1:] if argv is None else argv, known)
    parser = _parser(description, add_arguments, {} if {"-h", "--help"}.isdisjoint(rest) else known)
    values = _own_arguments(parser, [argument for argument in rest if argument != PRINT], known)
    names = [text for name, text in taken if name == "preset"] or ([] if preset is None else [preset])
    chosen = ChosenSettings(known, base)
    for name in names:
        chosen.take_file(_preset(name), "preset")
    for name, text in taken:
        if name == "config":
            chosen.take_file(pathlib.Path(expanded(text, "--config")), "file of settings")
        elif name != "preset":
            chosen.take(name, text)
    config, others = chosen.build()
    if PRINT in rest:
        print(_yaml(config), end="")
        raise SystemExit(0)
    return config, Namespace(**values, **others)


def with_preset(config: Config, name: str) -> Config:
    """A configuration with a preset's settings in place of its own.

    Raises:
        InputError: as `parse` for an unknown preset.
    """
    values = config.asdict()
    for group, fields in read_yaml(_preset(name), "preset", "install the program again").items():
        values[group] |= fields
    return Config.from_dict(values)


def save(config: Config, path: pathlib.Path) -> None:
    """Write a configuration as a YAML file that --config reads."""
    replace_file(path, _yaml(config).encode())


def _yaml(config: Config) -> str:
    values = {group: {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
              for group, fields in config.asdict().items()}
    return yamls.dump(values)


def _parser(description: str, add_arguments: Callable | None, groups: Groups) -> Any:
    from jsonargparse import ArgumentParser

    warnings.filterwarnings("ignore", module="jsonargparse")
    parser = ArgumentParser(description=description, exit_on_error=False, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--preset", metavar="NAME", help="named settings to start from, of several the later wins: "
                        + ", ".join(preset_names()))
    parser.add_argument("--config", metavar="FILE", help="YAML file of settings; a run's own config.yaml, for one")
    parser.add_argument(PRINT, action="store_true", help="print the settings as such a file, and end")
    if add_arguments:
        add_arguments(parser)
    if groups:
        add_settings(parser, groups)
    return parser


def _own_arguments(parser: Any, rest: Sequence[str], groups: Groups) -> dict[str, Any]:
    """The command's own arguments by name, settings apart. Raises InputError where they are none."""
    try:
        parsed = vars(parser.parse_args(list(rest)))
    except Exception as error:      # of argparse, of jsonargparse, of a type: each in its own class
        options = [name.removeprefix("--") for name in parser._option_string_actions if "." not in name]
        raise InputError(_told(error, groups, options)) from None
    return {name: value for name, value in parsed.items() if name not in ("config", "preset", "print_config", *groups)}


def _told(error: Exception, groups: Groups, options: Sequence[str]) -> str:
    """The message of a parser's error, in the wording of this project."""
    text = " ".join(str(error).split())
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, InputError):      # an InputError of a type is wrapped
        cause = cause.__cause__ or cause.__context__
    key, option, what = cast(re.Match, re.match(r'(?:Parser key "([\w.-]+)": |argument (--[\w.-]+): )?(.*)', text)).groups()
    if unknown := re.match(r"unrecognized arguments: --([\w.-]+)", what):
        return f"there is no argument --{unknown[1]}{nearest(unknown[1], groups, options)}"
    if unknown := re.match(r"unrecognized arguments: (\S+)", what):
        return f"{unknown[1]} stands alone; a list is typed with commas, as in flair,t2, and what holds spaces in quotes"
    for kind, word in KINDS.items():
        what = what.replace(kind, word)
    name = option or (f"--{key}" if key else "")
    return f"{name}: {cause or what}" if name else str(cause or what)


def _preset(name: str) -> pathlib.Path:
    if name not in preset_names():
        raise InputError(f"--preset is {name!r}, but the presets are {', '.join(preset_names())}")
    return PRESETS / f"{name}.yaml"
