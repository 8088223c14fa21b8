"""Draw docs/network.png, docs/way_of_a_scan.png and docs/way_of_a_batch.png, the figures of docs/architecture.md.

    python docs/make_architecture_figure.py [--out docs]

Each file name in the figures is below `synergynet_tf/`; `tests/docs/test_links.py` holds that the files exist.
"""
import argparse
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.patches import FancyBboxPatch  # noqa: E402

SHARED, GLOBAL, LOCAL, FUSED, DATA = "#dcebf7", "#d9f0e3", "#fde7d3", "#efe0f5", "#f3f3f3"
LINE, GREY = "#333333", "#666666"


class Block(NamedTuple):
    """A rounded box around its centre; sides in units of the figure."""

    x: float
    y: float
    title: str
    text: str = ""          # below the title, smaller
    file: str = ""          # below the text, in a fixed-width font
    colour: str = DATA
    stage: str = ""         # of the training in which the part joins, in the upper left corner
    width: float = 15.0
    height: float = 7.6


class Step(NamedTuple):
    """One step of a way."""

    title: str
    text: str
    file: str
    colour: str = DATA


NETWORK = {
    "image": Block(8, 46, "image", "[B, X, Y, Z, C]", width=11, height=6),
    "e0": Block(24, 46, "e0", "stride 1, 16 ch", colour=SHARED, stage="1", width=12.5, height=6),
    "e1": Block(24, 34, "e1", "stride 2, 32 ch", colour=SHARED, stage="1", width=12.5, height=6),
    "e2": Block(24, 22, "e2", "stride 4, 64 ch", colour=SHARED, stage="1", width=12.5, height=6),
    "d3": Block(33, 10, "e3 = d3", "stride 8, 128 ch", colour=SHARED, stage="1", width=13, height=6),
    "d2": Block(42, 22, "d2", "stride 4, 64 ch", colour=SHARED, stage="1", width=12.5, height=6),
    "d1": Block(42, 34, "d1", "stride 2, 32 ch", colour=SHARED, stage="1", width=12.5, height=6),
    "head": Block(44, 46, "global head", "d0, logits", "models/unet.py", GLOBAL, "4", width=16.5),
    "rpn": Block(65, 34, "RPN", "anchors: lesion or not, deltas", "models/rpn.py", LOCAL, "1", width=19.5),
    "box": Block(92, 34, "box head (R-CNN)", "RoIs of d1: lesion or not, deltas", "models/box_head.py", LOCAL, "2", width=21),
    "mask": Block(79, 16, "mask head", "crops of d1, d2, d3, added", "models/mask_head.py", LOCAL, "3", width=20),
    "fusion": Block(105, 46, "fusion, eq. 1", "$Y_u$ := γ $Y_m$ + (1 − γ) $Y_u$", "models/fusion.py", FUSED, width=18.5),
    "out": Block(123, 46, "sigmoid", "mask", width=9, height=6),
}
# Points of each arrow, and its label with the place where it stands.
ARROWS = (
    (((13.5, 46), (17.75, 46)), None), (((24, 43), (24, 37)), None), (((24, 31), (24, 25)), None),
    (((24, 19), (24, 10), (26.5, 10)), None), (((39.5, 10), (42, 10), (42, 19)), None),
    (((42, 25), (42, 31)), None), (((42, 37), (42, 42.2)), None),
    (((30.25, 46), (35.75, 46)), None), (((30.25, 34), (35.75, 34)), None), (((30.25, 22), (35.75, 22)), None),
    (((52.25, 46), (95.75, 46)), (70, 47.4, "$Y_u$: logits of the whole volume")), (((114.25, 46), (118.5, 46)), None),
    (((48.25, 35), (55.25, 35)), None), (((74.75, 34), (81.5, 34)), (78.1, 35.3, "proposals")),
    (((48.25, 32), (52, 32), (52, 20), (69, 20)), None), (((48.25, 22), (50, 22), (50, 16), (69, 16)), None),
    (((39.5, 9), (50, 9), (50, 12), (69, 12)), (60, 21.3, "crops at the boxes")),
    (((92, 30.2), (92, 16), (89, 16)), (96.8, 23, "detections")),
    (((79, 12.2), (79, 7), (105, 7), (105, 42.2)), (93, 8.3, "$Y_m$: logits of each mask, pasted")),
)
SCAN = (
    Step("files", "flair.nii.gz, t2.nii.gz:\nwhich files make a case", "workflows/inputs.py\ndata/layouts/"),
    Step("read", "closest canonical axes (RAS+),\nheader and affine kept", "data/nifti.py"),
    Step("judge", "mended and noted,\nor refused with the numbers", "data/judgement.py"),
    Step("prepare", "brain = FLAIR not 0; cut to its box;\nz-score in the brain", "data/preprocess.py"),
    Step("cover", "the whole brain box,\nor windows of it", "inference/coverage.py\ninference/budget.py"),
    Step("network", "global logits, detections\nand their masks", "models/synergynet.py", SHARED),
    Step("merge", "windows averaged, detections\nsuppressed, masks pasted", "inference/merge.py", LOCAL),
    Step("fuse", "eq. 1, sigmoid, threshold,\nonly inside the brain", "models/fusion.py\ninference/predictor.py", FUSED),
    Step("lesions", "components: volume, score,\nwhich branch found it", "inference/lesions.py"),
    Step("write", "back to the file's own grid:\nmask, probability, lesions", "inference/outputs.py"),
)
BATCH = (
    Step("divide", "patients into training,\nvalidation and test", "data/splits.py\nworkflows/fitting.py"),
    Step("cache", "each case prepared once;\nlesions labelled; memory-mapped", "data/cache.py\ndata/preprocess.py"),
    Step("draw", "which case, where, which angle:\nkeyed on (seed, epoch, visit)", "data/crops.py\ndata/draws.py"),
    Step("augment", "paste, turn, deform, intensities;\none function, compiled",
         "data/transforms.py\ndata/warp.py, data/intensity.py"),
    Step("annotate", "boxes of the lesions in the patch:\na structures.Batch", "data/transforms.py\nstructures.py"),
    Step("network", "features, proposals, logits:\nthe parts of this stage", "training/forward.py\nmodels/synergynet.py", SHARED),
    Step("targets", "lesions matched to anchors,\nRoIs sampled, masks cut", "models/targets.py\nops/matching.py", LOCAL),
    Step("losses", "the terms of the stage,\nweighted and added: eq. 2", "training/terms.py\nlosses/", FUSED),
    Step("update", "gradients added, clipped;\none step of Adam", "training/optimizer.py"),
    Step("epoch", "validate, keep the best,\nwrite last.npz", "training/trainer.py\ntraining/checkpoint.py"),
)


def draw_block(axis: Axes, block: Block) -> None:
    """A box with its title, text and file, one below the other."""
    axis.add_patch(FancyBboxPatch((block.x - block.width / 2, block.y - block.height / 2), block.width, block.height,
                                  boxstyle="round,pad=0,rounding_size=0.8", facecolor=block.colour, edgecolor=LINE,
                                  linewidth=0.8))
    rows = [(block.title, {"fontsize": 9, "fontweight": "bold", "color": LINE})]
    rows += [(row, {"fontsize": 7, "color": LINE}) for row in block.text.split("\n") if row]
    rows += [(row, {"fontsize": 6.3, "color": GREY, "family": "monospace"}) for row in block.file.split("\n") if row]
    gap = block.height / (len(rows) + 0.6)
    for number, (row, style) in enumerate(rows):
        axis.text(block.x, block.y + gap * ((len(rows) - 1) / 2 - number), row, ha="center", va="center", **style)
    if block.stage:
        axis.text(block.x - block.width / 2 + 1.1, block.y + block.height / 2 - 1.3, block.stage, ha="center", va="center",
                  fontsize=7, color=GREY)


def draw_arrow(axis: Axes, points: tuple[tuple[float, float], ...]) -> None:
    """A line through the points, with a head at the last one."""
    axis.plot(*zip(*points), color=LINE, linewidth=1.0, solid_joinstyle="round", zorder=0)
    axis.annotate("", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": LINE, "linewidth": 1.0,
                                                          "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9})


def canvas(width: float, height: float, unit: float = 0.085) -> Axes:
    """Axes of so many units that fill their figure."""
    axis = plt.figure(figsize=(width * unit, height * unit)).add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.axis("off")
    return axis


def draw_network(path: Path) -> None:
    """The network: shared layers, global branch, local branch, fusion."""
    axis = canvas(129, 54)
    for points, label in ARROWS:
        draw_arrow(axis, points)
        if label:
            axis.text(*label, ha="center", va="center", fontsize=7, color=LINE)
    for block in NETWORK.values():
        draw_block(axis, block)
    legend = ((SHARED, "shared layers (residual U-Net)"), (GLOBAL, "global branch"), (LOCAL, "local branch (Mask R-CNN)"),
              (FUSED, "fusion"))
    for number, (colour, name) in enumerate(legend):
        axis.scatter(4 + 26 * number, 2.2, s=60, marker="s", color=colour, edgecolors=LINE, linewidths=0.6)
        axis.text(6 + 26 * number, 2.2, name, va="center", fontsize=7, color=LINE)
    axis.text(108, 2.2, "1-4: stage of training in which a part joins", ha="center", va="center", fontsize=7, color=GREY)
    save(path)


def draw_way(path: Path, steps: tuple[Step, ...]) -> None:
    """Steps in two rows; the second goes on where the first ends, from left to right."""
    half, width, height = (len(steps) + 1) // 2, 24.5, 11
    axis = canvas(half * 27 + 1, 31)
    for number, step in enumerate(steps):
        x, y = 13.75 + 27 * (number % half), (24.5, 6.5)[number // half]
        draw_block(axis, Block(x, y, f"{number + 1}  {step.title}", step.text, step.file, step.colour, "", width, height))
        if number % half < half - 1 and number < len(steps) - 1:
            draw_arrow(axis, ((x + width / 2, y), (x + 27 - width / 2, y)))
    right, left = 13.75 + 27 * (half - 1), 13.75
    draw_arrow(axis, ((right, 24.5 - height / 2), (right, 15.5), (left, 15.5), (left, 6.5 + height / 2)))
    save(path)


def save(path: Path) -> None:
    """Write the current figure."""
    plt.savefig(path, dpi=110, facecolor="white", metadata={"Software": None})
    plt.close()


def main() -> None:
    """Draw the figures into the folder that --out names."""
    parser = argparse.ArgumentParser(description="Draw the figures of docs/architecture.md.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().out
    draw_network(folder / "network.png")
    draw_way(folder / "way_of_a_scan.png", SCAN)
    draw_way(folder / "way_of_a_batch.png", BATCH)


if __name__ == "__main__":
    main()
