"""The command line shared by the commands that take a configuration: presets, YAML files, any field by name."""
import pathlib
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from synergynet_tf.files import replace_file

PRESETS = pathlib.Path(__file__).with_name("presets")


def preset_names() -> list[str]:
    """The names that --preset takes."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def parse(argv: list[str] | None, description: str, add_arguments: Callable | None = None,
          preset: str | None = None) -> tuple[Config, Namespace]:
    """Read a configuration and the command's own arguments.

    Later settings win: dataclass defaults, then presets in their order, then --config files, then fields on the command line.

    Args:
        argv: arguments without the program's name; none: sys.argv.
        description: first line of --help.
        add_arguments: called with the parser, to add what is the command's own.
        preset: the preset used when none is named; none: the dataclass defaults.

    Returns:
        The checked configuration, and a namespace of the command's own arguments.

    Raises:
        InputError: unknown preset, unreadable file, unknown field or a value that its field does not take.
    """
    parser = _parser(description, add_arguments)
    try:
        parsed = parser.parse_args(_presets_first(argv, preset))
        values = vars(parser.instantiate(parsed))
    except InputError:
        raise
    except Exception as error:      # jsonargparse wraps what a dataclass's own check raises
        cause = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__cause__ or cause.__context__
        raise InputError(str(cause) if cause else " ".join(str(error).split())) from None
    groups = {name: values.pop(name) for name in Config.__dataclass_fields__}
    values = {name: value for name, value in values.items() if name not in ("config", "preset")}
    return Config(**groups), Namespace(**values)


def with_preset(config: Config, name: str) -> Config:
    """A configuration with a preset's settings in place of its own. Raises InputError as `parse` for an unknown preset."""
    import yaml

    values = config.asdict()
    for group, fields in yaml.safe_load(_preset(name).read_text(encoding="utf-8")).items():
        values[group] |= fields
    return Config.from_dict(values)


def save(config: Config, path: pathlib.Path) -> None:
    """Write a configuration as a YAML file that --config reads."""
    import yaml

    values = {group: {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
              for group, fields in config.asdict().items()}
    replace_file(path, yaml.safe_dump(values, sort_keys=False).encode())


def _parser(description: str, add_arguments: Callable | None):
    from jsonargparse import ArgumentParser

    warnings.filterwarnings("ignore", module="jsonargparse")
    parser = ArgumentParser(description=description, exit_on_error=False)
    parser.add_argument("--preset", help="named settings to start from, of several the later wins: "
                        + ", ".join(preset_names()))
    parser.add_argument("--config", action="config", help="YAML file of settings; a run's own config.yaml, for one")
    if add_arguments:
        add_arguments(parser)
    parser.add_class_arguments(Config, None)
    return parser


def _presets_first(argv: list[str] | None, default: str | None) -> list[str]:
    """Turn every --preset NAME into the --config file that it stands for, in front of everything else."""
    rest, names = [], []
    given = iter(sys.argv[1:] if argv is None else argv)
    for argument in given:
        if argument == "--preset":
            names.append(next(given, ""))
        elif argument.startswith("--preset="):
            names.append(argument.split("=", 1)[1])
        else:
            rest.append(argument)
    names = names or ([] if default is None else [default])
    return [*(f"--config={_preset(name)}" for name in names), *rest]


def _preset(name: str) -> pathlib.Path:
    if name not in preset_names():
        raise InputError(f"--preset is {name!r}, but the presets are {', '.join(preset_names())}")
    return PRESETS / f"{name}.yaml"
