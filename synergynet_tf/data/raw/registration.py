"""Registration by mutual information (Mattes 2003, in SimpleITK): a scan to the MNI152 template, a channel to its FLAIR.

nilearn's template is stripped of its skull. A scan with skull finds it all the same where only the brain and a thin rim around
it are compared, the size is held while the place is sought, and the scan's greys are replaced by their ranks: a scalp ten times
as bright as the brain would else take all bins of the histogram.
"""
import contextlib
import dataclasses
import functools
import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from synergynet_tf.data.nifti import Volume
from synergynet_tf.data.phantom import atlas
from synergynet_tf.data.raw import edge, tools
from synergynet_tf.data.raw.grid import MNI, grid_of, shrunk
from synergynet_tf.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

RIM_MM = 4              # around the template's brain: dark in the template, as skull and fluid are in a scan
FINE_MM = 2             # sides of the finest voxels that are compared
COARSE_MM = 6           # of the search for the place
START_SCALE = 0.9       # a living brain is shorter than the template by about a tenth
START_TILTS = (-25, 0, 25)          # degrees, chin up or down
START_HEIGHTS = (-20, 0, 20, 40)    # mm, from the head's middle: fields of view end at the skull base or at the neck
Level = tuple[int, float, float]            # shrink factor, smoothing in mm, share of the voxels that are compared


class Descent(NamedTuple):
    """How the best place is searched for."""

    levels: tuple[Level, ...]                   # from coarse to fine
    step_mm: float = 1.0                        # the first one
    least_mm: float = 1e-3                      # it ends where a step would be smaller
    iterations: int = 100                       # of each level, at most
    weights: tuple[int, ...] | None = None      # of the transform's parameters: 0 holds one; none: all are free


GLANCE = Descent(((1, 0.0, 1.0),), 4.0, 0.05, 12, (1, 1, 1, 1, 1, 1, 0))       # the size held
COARSE = Descent(((1, 0.0, 1.0),), 2.0, 0.05, 40, (1, 1, 1, 1, 1, 1, 0))
PROMISING = 3           # starts that are followed to their end after a glance at each
ROUGH = Descent(((2, 3.0, 0.5),), 1.0, 0.01)
FINE = Descent(((2, 3.0, 0.5), (1, 1.5, 0.1)), 1.0, 0.01)
SCALP_MM = 9            # of skin, fat and bone about a brain
SIZES = (0.35, 1.25)    # of a brain, in template brains: beyond it something else was taken for one
MIN_INFORMATION = 0.1   # nats: below it nothing was recognised; heads reach 0.3 to 0.5
GREYS = 256


def to_template(scan: Volume) -> np.ndarray:
    """Where the template's brain lies in a scan, with or without skull: float64 [4, 4], affine, from MNI mm to the scan's mm.

    Raises:
        InputError: the scan holds no brain that can be recognised.
    """
    array, grid = shrunk(scan.array, grid_of(scan), FINE_MM)
    x, y, z = np.linalg.norm(grid.affine[:3, :3], axis=0)
    scan = dataclasses.replace(scan, array=array, affine=grid.affine, spacing=(x, y, z))
    ranked = ranks(scan)
    try:
        matrix, information = _fit(ranked, scan)
        if not _is_brain(matrix, information):      # on thick slices a brain as large as the head may fit better
            again = _fit(without_scalp(ranked, scan.spacing), scan)
            matrix, information = again if _is_brain(*again) else (matrix, information)
        if _is_brain(matrix, information):
            return _refined(matrix, ranked, scan)
    except RuntimeError as error:       # ITK's: too little overlap, as a rule
        raise InputError(f"{scan.path}: no brain found ({_reason(error)}); check the file, its orientation and its contrast, "
                         "or leave it out") from None
    size = np.linalg.det(matrix[:3, :3])
    raise InputError(f"{scan.path}: no brain found: the best fit has {size:.2f} times the MNI152 brain's size and "
                     f"{information:.2f} nats in common with it, but {SIZES[0]} to {SIZES[1]} and at least {MIN_INFORMATION} "
                     "are needed; check the file, its orientation and its contrast, or leave it out")


def _fit(ranked: np.ndarray, scan: Volume) -> tuple[np.ndarray, float]:
    """The affine that fits the template's brain to ranked greys on the scan's grid, and what they have in common, in nats."""
    sitk = tools.load("SimpleITK")
    template, near = _template()
    moving = tools.to_image(ranked, scan.affine)
    start = _place(template, moving, near)
    transform = sitk.AffineTransform(3)
    transform.SetCenter(start.GetCenter())
    transform.SetMatrix(start.GetMatrix())
    transform.SetTranslation(start.GetTranslation())
    information = _optimise(template, moving, near, transform, ROUGH)
    return tools.to_matrix(transform), information


def _refined(matrix: np.ndarray, ranked: np.ndarray, scan: Volume) -> np.ndarray:
    """The affine once more, of the template to the scan without its skull, as the first fit shows it."""
    template, near = _template()
    brain = edge.brain(scan.array, grid_of(scan), matrix)
    transform = tools.to_transform(matrix, _brain_middle()[:3])
    _optimise(template, tools.to_image(np.where(brain, ranked, np.float32(0)), scan.affine), near, transform, FINE)
    return tools.to_matrix(transform)


def _is_brain(matrix: np.ndarray, information: float) -> bool:
    return information >= MIN_INFORMATION and SIZES[0] <= np.linalg.det(matrix[:3, :3]) <= SIZES[1]


def without_scalp(ranked: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Ranked greys without the outer `SCALP_MM` of the head, float32 [X, Y, Z]; none where the field of view ends."""
    head = _largest(ranked > 0)
    if head.all():
        return ranked
    depth = tools.distances(_largest(~head), np.array(spacing))
    return np.where(head & (depth > SCALP_MM), ranked, np.float32(0))


def _largest(mask: np.ndarray) -> np.ndarray:
    labels = ndimage.label(mask)[0]
    return labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1


def to_flair(flair: Volume, other: Volume) -> np.ndarray:
    """Where the FLAIR's points lie in another channel: float64 [4, 4], rigid, from the FLAIR's mm to the other's mm.

    Raises:
        InputError: the two do not overlap.
    """
    sitk = tools.load("SimpleITK")
    fixed, moving = (tools.to_image(ranks(volume), volume.affine) for volume in (flair, other))
    transform = sitk.Euler3DTransform()
    transform.SetCenter(fixed.TransformContinuousIndexToPhysicalPoint([n / 2 for n in fixed.GetSize()]))
    try:
        _optimise(fixed, moving, None, transform, Descent(((4, 4.0, 0.5), (2, 2.0, 0.2), (1, 0.0, 0.05))))
    except RuntimeError as error:
        raise InputError(f"{other.path}: cannot be aligned with {flair.path} ({_reason(error)}): do both show one head, "
                         "scanned in one session?") from None
    return tools.to_matrix(transform)


def rigid_part(matrix: np.ndarray) -> np.ndarray:
    """The rotation next to an affine [4, 4] of mm to mm, by its polar decomposition, with the template brain's middle kept."""
    u, _, vt = np.linalg.svd(matrix[:3, :3])
    middle = _brain_middle()
    rigid = np.eye(4)
    rigid[:3, :3] = u @ vt
    rigid[:3, 3] = (matrix @ middle)[:3] - rigid[:3, :3] @ middle[:3]
    return rigid


def ranks(scan: Volume) -> np.ndarray:
    """The scan's greys as ranks within its foreground, 20 to 255, and 0 in the air: float32 [X, Y, Z].

    Raises:
        InputError: all voxels are one grey.
    """
    array = scan.array
    if array.min() == array.max():
        raise InputError(f"{scan.path}: every voxel is {array.min():g}, so there is nothing to see; replace the file")
    inside = array > air(array)
    grey = np.quantile(array[inside], np.linspace(0, 1, GREYS + 1))
    ranked = np.zeros(array.shape, np.float32)
    ranked[inside] = np.interp(array[inside], grey, np.linspace(20, 255, GREYS + 1))
    return ranked


def air(array: np.ndarray) -> float:
    """A grey between air and head: half of Otsu's threshold (1979)."""
    clipped = np.clip(array.ravel()[::7], *np.percentile(array.ravel()[::7], (0, 99.5)))
    counts, edges = np.histogram(clipped, GREYS)
    middles, below = (edges[1:] + edges[:-1]) / 2, np.cumsum(counts)
    above, weighted = counts.sum() - below, np.cumsum(counts * middles)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (weighted / below - (weighted[-1] - weighted) / above) ** 2
    return float(edges[0] + (edges[np.nanargmax(between) + 1] - edges[0]) / 2)


def template_brain() -> np.ndarray:
    """Bool, on the MNI grid: the brain of the MNI152 template."""
    return atlas.template_brain()


@functools.lru_cache(maxsize=1)
def _brain_middle() -> np.ndarray:
    """The middle of the template's brain, float64 [4]: MNI mm, and 1."""
    return MNI.affine @ [*ndimage.center_of_mass(template_brain()), 1]


@functools.lru_cache(maxsize=1)
def _template() -> "tuple[sitk.Image, sitk.Image]":
    """The T1 template, and where it is compared: the brain and its rim."""
    t1, grid = shrunk(np.where(template_brain(), atlas.template_map("t1"), np.uint8(0)), MNI, FINE_MM)
    near = tools.distances(shrunk(template_brain(), MNI, FINE_MM)[0] >= 0.5, np.full(3, FINE_MM)) <= RIM_MM
    return tools.to_image(t1, grid.affine), tools.to_image(near, grid.affine)


def _place(template: "sitk.Image", moving: "sitk.Image", near: "sitk.Image") -> "sitk.Similarity3DTransform":
    """The best of several starts on coarse images: turned and shifted, the size held. Only the most promising are followed."""
    sitk = tools.load("SimpleITK")
    fixed, moving = _coarse(template), _coarse(moving)
    near = sitk.BinaryThreshold(_coarse(near), 0.5, 2)
    middle, head = _middle(near), _middle(moving)
    starts = [_start(middle, head + [0, 0, height], tilt) for tilt, height in itertools.product(START_TILTS, START_HEIGHTS)]
    for descent, kept in ((GLANCE, PROMISING), (COARSE, 1)):
        reached = []
        for start in starts:
            with contextlib.suppress(RuntimeError):     # this start has no overlap
                reached.append((_optimise(fixed, moving, near, start, descent), start))
        starts = [start for _, start in sorted(reached, key=lambda found: -found[0])[:kept]]
    if not starts:
        raise RuntimeError("none of the starts overlaps the scan")
    return starts[0]


def _start(middle: np.ndarray, place: np.ndarray, tilt: float) -> "sitk.Similarity3DTransform":
    """A brain's middle put at a place, in ITK's mm, its chin turned up or down by `tilt` degrees."""
    sitk = tools.load("SimpleITK")
    turn, start = sitk.Euler3DTransform(), sitk.Similarity3DTransform()
    turn.SetRotation(np.deg2rad(tilt), 0, 0)
    start.SetCenter(middle.tolist())
    start.SetMatrix([START_SCALE * value for value in turn.GetMatrix()])
    start.SetTranslation((place - middle).tolist())
    return start


def _optimise(fixed: "sitk.Image", moving: "sitk.Image", mask: "sitk.Image | None", transform: "sitk.Transform",
              descent: Descent) -> float:
    """Move `transform`, in place, to the most mutual information; returns it in nats. Points are drawn by a fixed seed."""
    sitk = tools.load("SimpleITK")
    shrink, smoothing, shares = zip(*descent.levels)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetInterpolator(sitk.sitkLinear)
    if mask is not None:
        method.SetMetricFixedMask(mask)
    if min(shares) < 1:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentagePerLevel(shares, seed=1)
    method.SetOptimizerAsRegularStepGradientDescent(descent.step_mm, descent.least_mm, descent.iterations, relaxationFactor=0.6,
                                                    gradientMagnitudeTolerance=1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    if descent.weights:
        method.SetOptimizerWeights(descent.weights)
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel(smoothing)
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    return -method.GetMetricValue()


def _coarse(image: "sitk.Image") -> "sitk.Image":
    """The image smoothed, at `COARSE_MM`."""
    sitk = tools.load("SimpleITK")
    spacing, size = np.array(image.GetSpacing()), np.array(image.GetSize())
    sigmas = 0.5 * np.sqrt(np.maximum(COARSE_MM ** 2 - spacing ** 2, 1e-4))
    smooth = sitk.SmoothingRecursiveGaussian(sitk.Cast(image, sitk.sitkFloat32), sigmas.tolist())
    sides = np.maximum(np.round(size * spacing / COARSE_MM), 1).astype(int)
    first = image.TransformContinuousIndexToPhysicalPoint(((COARSE_MM / spacing - 1) / 2).tolist())
    return sitk.Resample(smooth, sides.tolist(), sitk.Transform(), sitk.sitkLinear, first, [COARSE_MM] * 3,
                         image.GetDirection(), 0.0, sitk.sitkFloat32)


def _middle(image: "sitk.Image") -> np.ndarray:
    """Mean place, in ITK's mm, of the voxels brighter than the image's mean."""
    array = tools.to_array(image)
    place = np.argwhere(array > array.mean()).mean(axis=0)
    return np.array(image.TransformContinuousIndexToPhysicalPoint(place.tolist()))


def _reason(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[-1].split("): ")[-1]
