"""A sheet of augmented patches, to look at before a training: each transform at its strongest, then random draws."""
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from synergynet_tf.config import Config
from synergynet_tf.config.augment import TRANSFORMS, strengths
from synergynet_tf.data import crops, donors, draws, pipeline, transforms, warp
from synergynet_tf.report.figures import REFERENCE, viewpoint
from synergynet_tf.report.png import save_png

if TYPE_CHECKING:
    from synergynet_tf.data.cache import CachedCase

COLUMNS = 4
RANDOM = 8          # patches with everything that is switched on
DRAWN = ("elastic_seed", "noise_seed", "bias_terms", "paste_places", "paste_border")    # what strengths need beside them


class Patch(NamedTuple):
    """One picture."""

    title: str
    image: np.ndarray                               # [X, Y, Z], one channel
    instances: np.ndarray                           # [X, Y, Z]
    level: int | None = None                        # the axial slice, where it is not that of all the others
    window: tuple[float, float] | None = None       # greys from black to white, likewise


def augmentation_sheet(path: Path, cases: "Sequence[CachedCase]", config: Config) -> None:
    """Write a PNG of one patch: plain, under each transform alone at its strongest, and under random draws of all.

    The patch is of the first case with lesions, or of the first; the other cases give lesions to be pasted. Every picture is the
    same axial slice through the largest lesion (of pasted ones, through the largest of these), front up, patient's left on the
    left, lesions outlined. Transforms of probability 0 are shown alone all the same; the random draws are those of the first
    training epoch. FLAIR is shown; of another channel, two pictures show the first plain and dropped.
    """
    studio = _Studio(cases, config)
    patches = [studio.patch(title, **changes) for title, changes in _alone(config)]
    patches += [studio.pasted(), *studio.dropped(), *studio.random()]
    level = viewpoint(patches[0].image, patches[0].instances > 0)[2]
    rows = -(-len(patches) // COLUMNS)
    side_x, side_y = config.patch.size[:2]
    figure = Figure(figsize=(3 * COLUMNS, rows * (3 * side_y / side_x + 0.3)), facecolor="black")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False, gridspec_kw={
        "wspace": 0.03, "hspace": 0.1, "left": 0.01, "right": 0.99, "bottom": 0.01, "top": 0.97})
    for panel in panels.ravel():
        panel.set_axis_off()
    window = _window(patches[0].image)
    for panel, patch in zip(panels.ravel(), patches):
        at = level if patch.level is None else patch.level
        _draw(panel, patch.title, patch.image[:, :, at], patch.instances[:, :, at], patch.window or window)
    save_png(figure, path, 80)


def _alone(config: Config) -> list[tuple[str, dict]]:
    """Titles and draws: nothing, the largest turn, then each transform at both ends of its range, or at the one that acts."""
    shown = [("original", {}), (f"rotation {config.patch.rotation:g}°", {"angle": np.radians(config.patch.rotation)}),
             ("flip", {"flip": True})]
    for name, strength in strengths().items():
        low, high = getattr(config.augment, f"{name}_range")
        off = strength.neutral
        ends = (low, high) if low < off < high else (max(low, high, key=lambda end: abs(end - off)),)
        shown += [(f"{name.replace('_', ' ')} {end:g}", {name: end}) for end in ends]
    return shown


class _Studio:
    """Makes the pictures of one sheet, all of the same place of the same case, by one compiled function."""

    def __init__(self, cases: "Sequence[CachedCase]", config: Config):
        on: dict[str, Any] = dict.fromkeys(TRANSFORMS, 1.0)
        switched = replace(config, augment=replace(config.augment, **on))
        self._config, self._most = config, config.augment.paste_range[1]
        self._shown = next((n for n, case in enumerate(cases) if len(case.table.voxels)), 0)
        self._case = cases[self._shown]
        self._reader = pipeline.Reader(cases, switched)
        self._augment = transforms.compiled(switched.augment, config.patch.size)
        self._start, self._seeds = _start(self._case, config), draws.draw(switched, 0, 1)
        self._others = [n for n, name in enumerate(config.data.channels) if name != "flair"]

    def patch(self, title: str, angle: float = 0.0, **changes: ArrayLike) -> Patch:
        """FLAIR under given strengths; what else a transform needs is drawn as for the first patch of a run."""
        image, instances = self._made(angle, self._row(**changes))
        return Patch(title, image[..., self._config.data.channels.index("flair")], instances)

    def pasted(self) -> Patch:
        """As many pasted lesions as there may be, seen where the largest is."""
        chosen = np.random.default_rng(self._config.train.seed).random((1, *self._seeds["paste"].shape[1:]), np.float32)
        chosen[:, self._most:] = -1
        patch = self.patch(f"paste {self._most}", paste=chosen)
        new = np.where(patch.instances > len(self._case.table.voxels), patch.instances, 0)
        return patch._replace(level=viewpoint(patch.image, new == np.bincount(new[new > 0]).argmax())[2]) if new.any() else patch

    def dropped(self) -> list[Patch]:
        """The first channel other than FLAIR, plain and dropped; nothing where FLAIR is alone."""
        shown, channels = [], self._config.data.channels
        for off in (False, True) if self._others else ():
            other = self._others[0]
            image, instances = self._made(0.0, self._row(dropped=[off and n == other for n in range(len(channels))]))
            shown.append(Patch(f"{channels[other]} dropped" if off else channels[other], image[..., other], instances))
        return [patch._replace(window=_window(shown[0].image)) for patch in shown]

    def random(self) -> list[Patch]:
        """The first training patches' draws, all at this place."""
        settings = replace(self._config, train=replace(self._config.train, batch=1, steps_per_epoch=RANDOM))
        plan = crops.plan_training([self._case], settings, 0)
        flair = self._config.data.channels.index("flair")
        made = [self._made(plan.angle[k], {name: values[k:k + 1] for name, values in plan.draws.items()}) for k in range(RANDOM)]
        return [Patch(f"random {k}", image[..., flair], instances) for k, (image, instances) in enumerate(made, 1)]

    def _row(self, **changes: ArrayLike) -> draws.Draws:
        neutral = draws.neutral(1, len(self._config.data.channels))
        needed = {name: self._seeds[name] for name in DRAWN} | {"thick_axis": np.array([1], np.int32)}
        chosen = {name: np.asarray(value, neutral[name].dtype).reshape(neutral[name].shape) for name, value in changes.items()}
        return neutral | needed | chosen

    def _made(self, angle: float, row: draws.Draws) -> tuple[np.ndarray, np.ndarray]:
        image, instances, centre, _, *donated = map(tf.constant, self._reader(self._shown, self._start, row["paste"][0]))
        drawn = {name: tf.constant(values[0]) for name, values in row.items()}
        image, instances = self._augment(warp.Block(image, instances, centre), tf.constant(angle, tf.float32), drawn,
                                         donors.Donors(*donated))
        return image.numpy(), instances.numpy()


def _start(case: "CachedCase", config: Config) -> np.ndarray:
    """First voxel of the patch about the case's largest lesion, kept in the volume; without one, about its centre."""
    size, slack = np.asarray(config.patch.size), np.asarray(case.shape) - np.asarray(config.patch.size)
    if not len(case.table.voxels):
        return crops.centre_start(case.shape, size)
    box = case.table.boxes[case.table.voxels.argmax()]
    return np.clip((box[:3] + box[3:] - size) // 2, np.minimum(slack, 0), np.maximum(slack, 0))


def _window(image: np.ndarray) -> tuple[float, float]:
    """The greys of the measured voxels, without the outermost."""
    shown = image[image != 0]
    low, high = np.percentile(shown, (1, 99.8)) if shown.size else (0.0, 1.0)
    return low, max(high, low + 1e-6)


def _draw(panel: Axes, title: str, flair: np.ndarray, instances: np.ndarray, window: Sequence[float]) -> None:
    flair = np.where(flair != 0, flair, window[0])      # of a z-scored scan, 0 is the brain's mean grey
    panel.imshow(flair.T, cmap="gray", vmin=window[0], vmax=window[1], origin="lower")
    if instances.any():
        panel.contour(instances.T > 0, levels=[0.5], colors=[REFERENCE], linewidths=0.8)
    panel.set_title(title, color="white", fontsize=9, pad=3)
