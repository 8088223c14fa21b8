"""The search space: which settings are searched, and between which values; the others keep the configuration's value."""
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from synergynet_tf.config import Config, DetectorConfig
from synergynet_tf.config.settings import Settings
from synergynet_tf.errors import InputError
from synergynet_tf.storage.typed import shown

if TYPE_CHECKING:
    from keras_tuner import HyperParameters

Range = tuple[float, float]


@dataclass(frozen=True)
class Space(Settings):
    """Lowest and highest value of each searched setting; null: not searched, the configuration's own value is kept.

    The alphas are searched log-uniformly within a factor of 4 about the paper's values (paper, 2.3), gamma uniformly (eq. 1).
    """

    gamma: tuple[float, float] | None = (0.0, 1.0)                  # fusion.gamma
    alpha1: tuple[float, float] | None = (0.25, 4.0)                # loss.alpha1
    alpha2: tuple[float, float] | None = (0.25, 4.0)                # loss.alpha2
    alpha3: tuple[float, float] | None = (0.325, 5.2)               # loss.alpha3
    alpha4: tuple[float, float] | None = (0.25, 4.0)                # loss.alpha4
    alpha5: tuple[float, float] | None = (0.25, 4.0)                # loss.alpha5
    alpha6: tuple[float, float] | None = (1.25, 20.0)               # loss.alpha6
    learning_rate: tuple[float, float] | None = None                # train.learning_rate, log-uniform
    small_box_voxels: tuple[int, int] | None = None                 # lesions.small_box_voxels, log-uniform
    anchor_sets: tuple[tuple[float, ...], ...] | None = None        # detector.anchor_sizes: one of these
    score_threshold: tuple[float, float] | None = None              # detector.score_threshold
    proposal_nms: tuple[float, float] | None = None                 # detector.infer_nms_iou
    detection_nms: tuple[float, float] | None = None                # detector.final_nms_iou

    GROUP = "space"

    def check(self) -> None:
        """Each range is one, within what its setting takes, and something is searched."""
        for parameter in PARAMETERS:
            span = getattr(self, parameter.name)
            if span is not None and parameter.name != "anchor_sets":
                _check_range(parameter, span)
        sets, (low, high) = self.anchor_sets, DetectorConfig.LIMITS["anchor_sizes"]
        if sets is not None and (len(set(sets)) < 2 or any(not sizes or min(sizes) < low or max(sizes) > high for sizes in sets)):
            raise InputError(f"space.anchor_sets is {shown(sets)}, but two different sets of sizes, {low} to {high}, are "
                             "needed; to fix it, leave it null and set detector.anchor_sizes")
        if not searched(self):
            raise InputError("space searches nothing: every setting is null; give at least one a range, space.gamma for one")

    def asdict(self) -> dict[str, Any]:
        """Plain lists and numbers, as JSON gives them back."""
        return {name: _plain(value) for name, value in dataclasses.asdict(self).items()}


class Parameter(NamedTuple):
    """One setting that can be searched."""

    name: str           # the field of `Space`
    group: str          # of `Config`
    field: str
    log: bool = False   # searched by its logarithm

    @property
    def key(self) -> str:
        """The setting's own name, e.g. fusion.gamma."""
        return f"{self.group}.{self.field}"

    @property
    def limits(self) -> tuple[float, float]:
        """What the configuration takes."""
        return Config.groups()[self.group].LIMITS[self.field]


PARAMETERS = (
    Parameter("gamma", "fusion", "gamma"),
    *(Parameter(f"alpha{i}", "loss", f"alpha{i}", log=True) for i in range(1, 7)),
    Parameter("learning_rate", "train", "learning_rate", log=True),
    Parameter("small_box_voxels", "lesions", "small_box_voxels", log=True),
    Parameter("anchor_sets", "detector", "anchor_sizes"),
    Parameter("score_threshold", "detector", "score_threshold"),
    Parameter("proposal_nms", "detector", "infer_nms_iou"),
    Parameter("detection_nms", "detector", "final_nms_iou"),
)


def searched(space: Space) -> tuple[Parameter, ...]:
    """The parameters that are not fixed, in the order of the fields."""
    return tuple(parameter for parameter in PARAMETERS if getattr(space, parameter.name) is not None)


def hyperparameters(space: Space, config: Config) -> "HyperParameters":
    """The space as Keras Tuner takes it, by the settings' own names; defaults: the configuration's values, cut to the ranges."""
    import keras_tuner

    space_of_tuner = keras_tuner.HyperParameters()
    for parameter in searched(space):
        span = getattr(space, parameter.name)
        value = getattr(getattr(config, parameter.group), parameter.field)
        if parameter.name == "anchor_sets":
            texts, default = [_anchor_text(sizes) for sizes in span], _anchor_text(value)
            space_of_tuner.Choice(parameter.key, texts, default=default if default in texts else texts[0], ordered=False)
            continue
        make = space_of_tuner.Int if parameter.name == "small_box_voxels" else space_of_tuner.Float
        make(parameter.key, *span, sampling="log" if parameter.log else "linear", default=min(max(value, span[0]), span[1]))
    return space_of_tuner


def apply(config: Config, values: dict[str, Any]) -> Config:
    """The configuration with a trial's values; names that are no setting of the space (Keras Tuner's own) are left out.

    Raises:
        InputError: a combination that the configuration does not take.
    """
    groups: dict[str, dict[str, Any]] = {}
    for parameter in PARAMETERS:
        if parameter.key in values:
            value = values[parameter.key]
            if parameter.name == "anchor_sets":
                value = tuple(float(size) for size in value.split())
            else:       # the Gaussian process gives NumPy's numbers, which YAML does not take
                value = int(value) if parameter.name == "small_box_voxels" else float(value)
            groups.setdefault(parameter.group, {})[parameter.field] = value
    return dataclasses.replace(config, **{name: dataclasses.replace(getattr(config, name), **fields)
                                          for name, fields in groups.items()})


def _check_range(parameter: Parameter, given: Range) -> None:
    (low, high), (lowest, highest) = given, parameter.limits
    if not low < high:
        raise InputError(f"space.{parameter.name} is {list(given)}, but the first value must be below the second; "
                         f"to fix it, set it to null and give {parameter.key}")
    if low < lowest or high > highest or (parameter.log and low <= 0):
        least = f"above 0 to {highest:g}" if parameter.log and lowest == 0 else f"{lowest:g} to {highest:g}"
        raise InputError(f"space.{parameter.name} is {list(given)}, but {parameter.key} must be {least}; narrow the range")


def _anchor_text(sizes: tuple[float, ...]) -> str:
    return " ".join(f"{size:g}" for size in sizes)


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
