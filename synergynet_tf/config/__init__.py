"""Every setting of the project: frozen dataclasses, checked when they are made.

A run's configuration is written to its folder and carried by its checkpoints; `presets/` holds the named ones. Where a default
is the paper's, its section is named; the other defaults are argued in docs/decisions.md.
"""
import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from synergynet_tf.config.augment import AugmentConfig
from synergynet_tf.config.data import DataConfig, LesionConfig, PatchConfig, PhantomConfig
from synergynet_tf.config.network import DetectorConfig, FusionConfig, MaskConfig, UNetConfig
from synergynet_tf.config.settings import Settings, hints
from synergynet_tf.config.training import InferConfig, LossConfig, TrainConfig
from synergynet_tf.errors import InputError
from synergynet_tf.storage.typed import shown

__all__ = ["AugmentConfig", "Config", "DataConfig", "DetectorConfig", "FusionConfig", "InferConfig", "LesionConfig", "LossConfig",
           "MaskConfig", "PatchConfig", "PhantomConfig", "TrainConfig", "UNetConfig", "require_known"]


@dataclass(frozen=True)
class Config:
    """The whole configuration. `asdict` and `from_dict` are exact inverses."""

    data: DataConfig = field(default_factory=DataConfig)
    phantoms: PhantomConfig = field(default_factory=PhantomConfig)
    lesions: LesionConfig = field(default_factory=LesionConfig)
    patch: PatchConfig = field(default_factory=PatchConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    infer: InferConfig = field(default_factory=InferConfig)

    def __post_init__(self) -> None:
        self.fusion.require(self.train.system != "mask_rcnn" or self.fusion.gamma == 1, "gamma",
                            "train.system is mask_rcnn, which has no other branch: it must be 1; add --preset mask_rcnn")
        self.train.require(self.train.accumulate == 1 or self.unet.norm != "batch", "accumulate",
                           "unet.norm is batch, whose statistics would be of a part of the step's patches: use instance or "
                           "group, or 1")
        self.train.require(self.train.recompute == 0 or not self.train.jit_compile, "recompute",
                           "train.jit_compile is true, and XLA merges what is made twice: choose one of the two")
        self.train.require(self.train.recompute == 0 or self.unet.norm != "batch", "recompute",
                           "unet.norm is batch, whose moving statistics would take in every map twice: use instance or group, "
                           "or 0")

    def asdict(self) -> dict[str, dict[str, Any]]:
        """The groups by name, each a mapping of its fields."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, dict[str, Any]], complete: bool = False) -> "Config":
        """Rebuild what `asdict` gave; fields that are not given have their defaults.

        Args:
            values: the groups, each a mapping of its fields.
            complete: whether every group must be there, as in what was stored. Fields may still be fewer: one that is newer than
                the file has its default, which is how the program was before it.

        Raises:
            InputError: a group or field that does not exist, a group that is missing, a value that its field does not take.
        """
        require_known(values, cls.groups())
        missing = [name for name in cls.groups() if name not in values]
        if complete and missing:
            raise InputError(f"the configuration has no group {missing[0]}")
        groups: dict[str, Any] = {name: group(**(values.get(name) or {})) for name, group in cls.groups().items()}
        return cls(**groups)

    @classmethod
    def groups(cls) -> dict[str, type[Settings]]:
        """The groups by name."""
        return {f.name: cast(type[Settings], f.type) for f in dataclasses.fields(cls)}


def require_known(values: Any, groups: Mapping[str, type[Settings]]) -> None:
    """See that `values` are a mapping of groups to mappings of their fields.

    Raises:
        InputError: they are not; the nearest name that exists is said.
    """
    if not isinstance(values, dict):
        raise InputError(f"the settings are {shown(values)}, but they must be a mapping of groups: {', '.join(groups)}")
    for group, fields in values.items():
        if group not in groups:
            raise InputError(f"there is no group of settings {shown(group)}{nearest(group, groups)}")
        if fields is not None and not isinstance(fields, dict):
            raise InputError(f"{group} is {shown(fields)}, but it must be a mapping of {', '.join(hints(groups[group]))}")
        for name in fields or {}:
            if name not in hints(groups[group]):
                raise InputError(f"there is no setting {group}.{name}{nearest(f'{group}.{name}', groups)}")


def nearest(name: Any, groups: Mapping[str, type[Settings]], others: Iterable[str] = ()) -> str:
    """The settings, groups and other names that are most like one that does not exist, as the end of a sentence."""
    known = {f"{group}.{word}": word for group, settings in groups.items() for word in hints(settings)}
    known |= {word: word for word in (*others, *groups)}
    last = str(name).split(".")[-1]
    alike = {key: difflib.SequenceMatcher(None, last, word).ratio() for key, word in known.items()}
    best = sorted(alike, key=lambda key: (-alike[key], key.split(".")[0] != str(name).split(".")[0]))[:3]
    likely = [key for key in best if alike[key] >= max(0.7, alike[best[0]] - 0.1)]
    return f"; did you mean {' or '.join(likely)}?" if likely else f"; the groups are {', '.join(groups)}"
