"""Settings as they are typed: fields on the command line, YAML files, and both brought to what the groups take."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin

from synergynet_tf.config import Config, nearest, require_known
from synergynet_tf.config.settings import Settings, hints
from synergynet_tf.errors import InputError
from synergynet_tf.storage import readers, typed, yamls

Groups = Mapping[str, type[Settings]]


def part(arguments: Sequence[str], groups: Groups) -> tuple[list[tuple[str, str]], list[str]]:
    """Part a command line in (name, text) of --preset, --config and settings, and what is the command's own, both in order.

    Raises:
        InputError: one of the former is without a value.
    """
    taken, rest, words = [], [], iter(arguments)
    for argument in words:
        name, equals, text = argument.partition("=")
        key = name.removeprefix("--")
        if name == key or not (key in ("preset", "config", *groups) or "." in key):
            rest.append(argument)
            continue
        if not equals:
            text = next(words, "--")
            if text.startswith("--"):
                raise InputError(f"{name} is given without a value; write {name}=VALUE")
        taken.append((key, text))
    return taken, rest


class ChosenSettings:
    """The settings that were chosen; a later value replaces an earlier one.

    Args:
        groups: the groups that can be set, by name.
    """

    def __init__(self, groups: Groups, base: Config | None = None):
        self._groups = groups
        self.values: dict[str, dict[str, Any]] = base.asdict() if base else {}
        self._files: dict[str, Path] = {}       # where a setting came from, if from a file

    def take(self, name: str, text: str) -> None:
        """Take a setting `group.field`, or a group, as typed on the command line.

        Raises:
            InputError: it is not one.
        """
        group, _, field = name.partition(".")
        if group not in self._groups or (field and field not in hints(self._groups[group])):
            raise InputError(f"there is no setting --{name}{nearest(name, self._groups)}")
        if field:
            self._set(group, field, _loaded(text, hints(self._groups[group])[field], name))
        else:
            values = {group: _value(text, name)}
            if isinstance(values[group], str):
                first = next(iter(hints(self._groups[group])))
                raise InputError(f"--{name} is a group of settings: type one of them, as in --{name}.{first} {text}")
            require_known(values, self._groups)
            for field, value in (values[group] or {}).items():
                self._set(group, field, value)

    def take_file(self, path: Path, kind: str) -> None:
        """Take the settings of a YAML file.

        Raises:
            InputError: it cannot be read, or holds anything else.
        """
        remedy = "correct it; a run's own config.yaml shows every setting"
        values = readers.read_yaml(path, kind, remedy, Any)
        try:
            require_known(values, self._groups)
            for group, fields in values.items():
                for field, value in (fields or {}).items():
                    self._set(group, field, value)
                    self._files[f"{group}.{field}"] = path
        except InputError as error:
            raise InputError(f"{path}: {error}; {remedy}") from None

    def build(self) -> tuple[Config, dict[str, Settings]]:
        """The configuration, and the other groups by name, with defaults for what was not given.

        Raises:
            InputError: a value is wrong; the file that it came from is named.
        """
        try:
            built = {name: group(**self.values.get(name, {})) for name, group in self._groups.items()}
            config = Config(**{name: cast(Any, built.pop(name)) for name in Config.groups()})
        except InputError as error:
            raise self._located(error) from None
        return config, built

    def _set(self, group: str, field: str, value: Any) -> None:
        hint = hints(self._groups[group])[field]
        value = _split(value) if _is_list(hint) else value
        typed.require(value, hint, f"{group}.{field}")
        self.values.setdefault(group, {})[field] = value
        self._files.pop(f"{group}.{field}", None)

    def _located(self, error: InputError) -> InputError:
        path = self._files.get(str(error).split(" ")[0])
        return InputError(f"{path}: {error}") if path else error


def _loaded(text: str, hint: Any, name: str) -> Any:
    """The value that a field's text stands for: text stays as typed, except the word null where None is allowed."""
    kinds = get_args(hint) if get_origin(hint) is not Literal else ()
    if hint is str or str in kinds or (get_origin(hint) is Literal and isinstance(get_args(hint)[0], str)):
        if _is_list(hint):
            return _value(text, name)
        return None if text == "null" and type(None) in kinds else text
    return _value(text, name)


def _value(text: str, name: str) -> Any:
    try:
        return yamls.load(text)
    except ValueError as error:
        raise InputError(f"--{name} is {typed.shown(text)}, which cannot be read ({error}); write it otherwise") from None


def _is_list(hint: Any) -> bool:
    return get_origin(hint) is tuple or any(get_origin(kind) is tuple for kind in get_args(hint))


def _split(value: Any) -> Any:
    """A list where its values were written with commas alone, or where there is one."""
    if isinstance(value, str):
        return [yamls.load(item) for item in value.split(",")]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else value
