"""How a search goes."""
import dataclasses
from dataclasses import dataclass
from typing import Literal

from synergynet_tf.errors import InputError

from .objective import Objective

OWN = "own"                 # --warm-start without a run


@dataclass(frozen=True)
class Settings:
    """How a search goes, beside its space."""

    oracle: Literal["random", "bayesian", "hyperband"] = "bayesian"
    max_trials: int = 12            # of random and bayesian
    objective: Objective = dataclasses.field(default_factory=Objective)
    silence: float = 60.0           # seconds after which a worker that is not heard is taken for dead

    def __post_init__(self) -> None:
        if self.max_trials < 1:
            raise InputError(f"--max-trials is {self.max_trials}, but at least 1 is needed")
        if not self.silence > 0:
            raise InputError(f"--silence is {self.silence}, but it must be above 0 seconds")
