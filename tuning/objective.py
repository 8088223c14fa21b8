"""What a search makes as high as it can: a number from the five metrics of the validation cases."""
import dataclasses
from dataclasses import dataclass, field

from synergynet_tf.config.settings import Settings
from synergynet_tf.errors import InputError
from synergynet_tf.metrics import PAPER_METRICS

OBJECTIVES = ("dsc", "ltpr-lfpr", "weighted")


@dataclass(frozen=True)
class Weights(Settings):
    """Of the five metrics in the objective `weighted`; LFPR, of which less is better, is subtracted."""

    dsc: float = 1.0            # mean Dice
    ap: float = 1.0             # average precision
    ltpr: float = 1.0           # lesions found
    lfpr: float = 1.0           # false lesions: subtracted
    sn: float = 1.0             # voxel sensitivity

    GROUP, LIMITS = "weights", dict.fromkeys(PAPER_METRICS, (0, 1e6))

    def check(self) -> None:
        """There is something to weigh."""
        if not any(dataclasses.asdict(self).values()):
            raise InputError("all weights are 0, but one must be above 0; set weights.dsc for one")


@dataclass(frozen=True)
class Objective:
    """A number to be made as high as it can be.

    dsc: mean Dice. ltpr-lfpr: lesions found less false ones, -1 to 1. weighted: the sum of the five metrics by `weights`, LFPR
    subtracted.

    Raises:
        InputError: for another name.
    """

    name: str = "dsc"
    weights: Weights = field(default_factory=Weights)

    def __post_init__(self) -> None:
        if self.name not in OBJECTIVES:
            raise InputError(f"--objective is {self.name!r}, but the objectives are {', '.join(OBJECTIVES)}")

    @property
    def terms(self) -> dict[str, float]:
        """The metrics that count, each with its signed weight."""
        if self.name == "dsc":
            return {"dsc": 1.0}
        if self.name == "ltpr-lfpr":
            return {"ltpr": 1.0, "lfpr": -1.0}
        return {name: -weight if name == "lfpr" else weight
                for name, weight in dataclasses.asdict(self.weights).items() if weight}

    def value(self, scores: dict[str, float]) -> float:
        """The objective of mean scores by name.

        LFPR is undefined where no lesion is predicted in any case: then none is false, and it counts 0.

        Raises:
            InputError: another metric is undefined, for want of a reference lesion in the validation cases.
        """
        total = 0.0
        for name, weight in self.terms.items():
            if name not in scores and name != "lfpr":
                raise InputError(f"{name} is undefined: no validation case has a reference lesion; give one that has")
            total += weight * scores.get(name, 0.0)
        return total
