"""A sheet of augmented patches, to be looked at before a training: each transform at its strongest, then random draws."""
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synergynet_tf.augmentation import LIMITS, AugmentConfig
from synergynet_tf.config import Config
from synergynet_tf.data import augment, crops, draws, warp
from synergynet_tf.report.figures import REFERENCE, viewpoint

if TYPE_CHECKING:
    from synergynet_tf.data.cache import CachedCase

COLUMNS = 4
RANDOM = 8          # patches with everything that is switched on
Patch = tuple[str, np.ndarray, np.ndarray]      # title, FLAIR [X, Y, Z], instances [X, Y, Z]


def augmentation_sheet(path: Path, case: "CachedCase", config: Config) -> None:
    """Write a PNG of one patch of `case`: plain, under each transform alone at its strongest, and under random draws of all.

    Every picture is the same axial slice through the largest lesion, front up, patient's left on the left, lesions outlined.
    Transforms of probability 0 are shown alone all the same; the random draws are those of the first training epoch. FLAIR is
    shown, so that what drops the other channels has no picture.
    """
    start = _start(case, config)
    patches = [_patch(case, config, start, title, **changes) for title, changes in _alone(config)]
    patches += _random(case, config, start)
    _, flair, instances = patches[0]
    level = viewpoint(flair, instances > 0)[2]
    shown = flair[flair != 0]
    low, high = np.percentile(shown, (1, 99.8)) if shown.size else (0.0, 1.0)
    rows = -(-len(patches) // COLUMNS)
    side_x, side_y = config.patch.size[:2]
    figure = Figure(figsize=(3 * COLUMNS, rows * (3 * side_y / side_x + 0.3)), facecolor="black")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False, gridspec_kw={
        "wspace": 0.03, "hspace": 0.1, "left": 0.01, "right": 0.99, "bottom": 0.01, "top": 0.97})
    for panel in panels.ravel():
        panel.set_axis_off()
    for panel, (title, flair, instances) in zip(panels.ravel(), patches):
        _draw(panel, title, flair[:, :, level], instances[:, :, level], (low, max(high, low + 1e-6)))
    figure.savefig(path, dpi=80, format="png")


def _alone(config: Config) -> list[tuple[str, dict]]:
    """Titles and draws: nothing, the largest turn, then each transform at both ends of its range, or at the one that acts."""
    neutral = draws.neutral(1, 1)
    shown = [("original", {}), (f"rotation {config.patch.rotation:g}°", {"angle": np.radians(config.patch.rotation)}),
             ("flip", {"flip": True})]
    for name in LIMITS:
        low, high = getattr(config.augment, f"{name}_range")
        off = getattr(neutral, name)[0]
        ends = (low, high) if low < off < high else (max(low, high, key=lambda end: abs(end - off)),)
        shown += [(f"{name.replace('_', ' ')} {end:g}", {name: end}) for end in ends]
    return shown


def _patch(case: "CachedCase", config: Config, start: np.ndarray, title: str, angle: float = 0.0, **changes) -> Patch:
    """One patch under given strengths; what else a transform needs is drawn as for the first patch of a run."""
    switched = replace(config.augment, **dict.fromkeys(("flip", *LIMITS, "modality_dropout"), 1.0))
    seeds = draws.draw(replace(config, augment=switched), 0, 1)
    strengths = {name: np.array([value], getattr(seeds, name).dtype) for name, value in changes.items()}
    needed = {"elastic_seed": seeds.elastic_seed, "noise_seed": seeds.noise_seed, "bias_terms": seeds.bias_terms,
              "thick_axis": np.array([1], np.int32)}
    return title, *_augmented(case, config, switched, start, angle,
                              draws.neutral(1, len(config.data.channels))._replace(**needed, **strengths))


def _random(case: "CachedCase", config: Config, start: np.ndarray) -> list[Patch]:
    plan = crops.plan_training([case], replace(config, train=replace(config.train, batch=1, steps_per_epoch=RANDOM)), 0)
    rows = [draws.Draws(*(values[k:k + 1] for values in plan.draws)) for k in range(RANDOM)]
    return [(f"random {k}", *_augmented(case, config, config.augment, start, angle, row))
            for k, (angle, row) in enumerate(zip(plan.angle, rows), 1)]


def _augmented(case: "CachedCase", config: Config, settings: AugmentConfig, start: np.ndarray, angle: float,
               row: draws.Draws) -> tuple[np.ndarray, np.ndarray]:
    size = config.patch.size
    margin = np.array(warp.margins(size, config.patch.rotation, settings))
    block = [crops.read_crop(volume, start - margin, size + 2 * margin) for volume in (case.image(), case.instances())]
    given = draws.Draws(*(tf.constant(values[0]) for values in row))
    image, instances = augment.augment_patch(*map(tf.constant, block), tf.constant(angle, tf.float32), given, settings, size)
    return image[..., config.data.channels.index("flair")].numpy(), instances.numpy()


def _start(case: "CachedCase", config: Config) -> np.ndarray:
    """First voxel of the patch about the case's largest lesion, kept in the volume; without one, about its centre."""
    size, slack = np.asarray(config.patch.size), np.asarray(case.shape) - np.asarray(config.patch.size)
    if not len(case.table.voxels):
        return crops.centre_start(case.shape, size)
    box = case.table.boxes[case.table.voxels.argmax()]
    return np.clip((box[:3] + box[3:] - size) // 2, np.minimum(slack, 0), np.maximum(slack, 0))


def _draw(panel: Axes, title: str, flair: np.ndarray, instances: np.ndarray, window: Sequence[float]) -> None:
    flair = np.where(flair != 0, flair, window[0])      # of a z-scored scan, 0 is the brain's mean grey
    panel.imshow(flair.T, cmap="gray", vmin=window[0], vmax=window[1], origin="lower")
    if instances.any():
        panel.contour(instances.T > 0, levels=[0.5], colors=[REFERENCE], linewidths=0.8)
    panel.set_title(title, color="white", fontsize=9, pad=3)
