"""The four stages of sequential additive training (paper, 2.3)."""
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import keras

PARTS = ("encoder", "decoder", "rpn", "box_head", "projections", "mask_head", "global_head")     # of models.SynergyNet


class Stage(NamedTuple):
    """One stage: the parts that it trains, all of them from the first stage on that had them."""

    number: int                 # 1..4; train.epochs has a count for each
    name: str
    parts: tuple[str, ...]

    @property
    def has_rpn(self) -> bool:
        """Whether the stage trains the RPN."""
        return "rpn" in self.parts

    @property
    def has_global(self) -> bool:
        """Whether the stage trains the global branch."""
        return "global_head" in self.parts


STAGES = (
    Stage(1, "RPN", PARTS[:3]),             # the RPN alone with the feature extraction network
    Stage(2, "R-CNN", PARTS[:4]),
    Stage(3, "Mask", PARTS[:6]),
    Stage(4, "global", PARTS),              # the remaining decoder layers: the full-resolution block and the logits
)


def trainable_variables(model: "keras.Model", stage: Stage) -> list[Any]:
    """The variables of `model` that `stage` trains, in the order of its parts."""
    return [variable for part in stage.parts for variable in getattr(model, part).trainable_variables]
