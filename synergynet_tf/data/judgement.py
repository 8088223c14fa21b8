"""The judgement of a scan: what in it can be mended with certainty is mended and said, what makes it no fit input is an error.

Training, prediction and `prepare --check` apply these rules to arrays; the exported graph builds the same ones from the same
numbers. A rule gives what it mended and its *notes*, short sentences for whoever reads the result, or raises InputError with the
numbers and the remedy. Neither names the file: the caller knows it.

What a scan must be: voxels in mm on a straight grid (`power_of_thousand`, `skew`), about 1 mm a side (`judge_spacing`), a
background of 0 (`background`), the skull off (`judge_brain`, `skull_sign`), intensities that are a scan's (`within_fences`).
"""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from synergynet_tf.errors import InputError, Unprepared

UNITS_MM = (0.05, 50.0)     # geometric mean of a voxel's sides: exactly one power of 1000 brings any length into it
UNITS = {1: "metres", -1: "microns", 2: "kilometres", -2: "nanometres"}     # by the power of 1000 that makes mm of them
SKEW = 1.0                  # degrees off right angles: beyond it sides and distances no longer mean what they say
SPACING = (0.7, 1.4)        # mm: outside it the sizes in voxels (small lesions, anchors, patches) no longer mean what they say
SIDES = (0.4, 3.0)          # mm: outside it nothing that the network has learnt is there to be seen
ROUNDING = 1e-3             # mm, of a header
FILLED = 0.75               # a brain fills half of its own box: more of the grid than this is no background
BRAIN_ML = (700.0, 2400.0)  # a small woman's brain with atrophy; the MNI152 brain, larger than life, with its fluid has 2040
FEW_VALUES = 8              # distinct intensities: a mask or a label map
FENCE = (16, 2)             # interquartile ranges beyond a quartile, or quartiles, whichever is more: scans at hand reach 10
FAINT = (0.01, 20)          # of the upper quartile; one voxel in so many may be nearer to 0: one in 100 in the scans at hand
CLIPPED = (10, 500)         # so many voxels, and one in so many, may lie beyond the fences

NEGATIVE = 0.1              # share of a brain's voxels: more is a scan that was normalised, where dark is not near 0
SURFACE = 0.25              # of the mean intensity: where a head or a brain begins, be there noise around it or not
DEPTHS = 31                 # mm inwards from the surface, one sample each
SCALP = 12                  # mm: what is bright outside the bone begins within it
BLOCKS = 4                  # squares a side, of the middle half of each of the six views
DIP = 0.3                   # of the mean intensity: between scalp and brain, bone is darker than both by more
SKULL = (0.25, 0.12)        # share of blocks with such a dip, third best of six views: an error, a note; whole brains reach 0.06

STRIP = "`python -m synergynet_tf.prepare --raw` strips it"


class Note(NamedTuple):
    """What was mended, or is to be looked at."""

    kind: str       # what it is about: spacing, orientation, intensities, brain, file
    text: str


def shown(sides: Sequence[float]) -> str:
    """A voxel's sides, as 1 x 1 x 3."""
    return " x ".join(f"{side:.4g}" for side in sides)


def power_of_thousand(sides: Sequence[float]) -> int | None:
    """The power of 1000 that makes mm of a voxel's sides [3], whatever unit they are in; none where none within +-2 does."""
    mean = float(np.prod(np.asarray(sides, np.float64)) ** (1 / 3))
    return next((power for power in (0, 1, -1, 2, -2) if UNITS_MM[0] <= mean * 1000.0 ** power < UNITS_MM[1]), None)


def skew(affine: np.ndarray) -> float:
    """How far from right angles the two worst axes of an affine [4, 4] are, in degrees."""
    steps = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.abs((steps.T @ steps)[[0, 0, 1], [1, 2, 2]])
    return float(np.degrees(np.arcsin(min(cosines.max(), 1.0))))


def far_from_1mm(spacing: Sequence[float]) -> bool:
    """Whether a side of the voxels lies outside `SPACING`, by more than a header's rounding."""
    return min(spacing) < SPACING[0] - ROUNDING or max(spacing) > SPACING[1] + ROUNDING


def judge_spacing(spacing: Sequence[float]) -> list[Note]:
    """Of a FLAIR's voxels, mm.

    Raises:
        Unprepared: outside `SIDES`; a note outside `SPACING`.
    """
    if min(spacing) < SIDES[0] - ROUNDING or max(spacing) > SIDES[1] + ROUNDING:
        raise Unprepared(f"the voxels are {shown(spacing)} mm, but sides of {SIDES[0]:g} to {SIDES[1]:g} mm are needed, best 1: "
                         "correct the header, or resample to 1 mm (`python -m synergynet_tf.prepare --raw`)")
    if far_from_1mm(spacing):
        return [Note("spacing", f"voxels of {shown(spacing)} mm, but {SPACING[0]:g} to {SPACING[1]:g} are expected: resample to "
                     "1 mm for sound results")]
    return []


def background(array: np.ndarray) -> np.float32 | None:
    """The value other than 0 (NaN too) that is certain to be the background of a volume [X, Y, Z]; none where there is none.

    It is the fourth smallest of the eight corners (NaN being the largest), if at least half of the voxels of the six faces,
    edges counted with each face, have it.
    """
    value = np.sort(array[np.ix_(*[(0, -1)] * 3)].ravel())[3]
    faces = [np.moveaxis(array, axis, 0)[end] for axis in range(3) for end in (0, -1)]
    same = sum(np.count_nonzero(np.isnan(face) if np.isnan(value) else face == value) for face in faces)
    certain = value != 0 and not np.isinf(value) and 2 * same >= sum(face.size for face in faces)
    return value if certain else None


def without_background(array: np.ndarray, value: np.float32) -> tuple[np.ndarray, list[Note]]:
    """The volume with its `background` at 0: subtracted, so that what differed from it differs from 0; z-scores do not change."""
    with np.errstate(invalid="ignore"):
        settled = np.where(np.isnan(array), np.float32(0), array) if np.isnan(value) else array - value
    return settled, [Note("intensities", f"the background is {value:g}; taken as 0")]


def judge_background(array: np.ndarray) -> None:
    """Of a FLAIR [X, Y, Z] whose background was settled.

    Raises:
        Unprepared: more than `FILLED` of it is not 0.
    """
    share = np.count_nonzero(array) / array.size
    if share > FILLED:
        raise Unprepared(f"{100 * share:.0f} % of the voxels are not 0, but around a brain there are more than "
                         f"{100 * (1 - FILLED):.0f} % of background, which must be 0: is the skull on, or noise around the head? "
                         f"{STRIP}")


def judge_brain(array: np.ndarray, brain: np.ndarray, spacing: Sequence[float],
                remedy: str = f"is the skull on? {STRIP}") -> list[Note]:
    """Whether a brain was found, and not a head.

    Args:
        array: the FLAIR in the brain's box, [x, y, z], what is measured in the brain `within_fences`.
        brain: what was found in it, holes filled; bool [x, y, z].
        spacing: mm.
        remedy: what an error tells to do.

    Returns:
        Notes: too small for a whole brain, or perhaps not quite stripped.

    Raises:
        Unprepared: larger than a brain can be, or bone between a bright surface and a bright inside.
    """
    volume = float(np.count_nonzero(brain) * np.prod(np.asarray(spacing, np.float64)) / 1000)
    if volume > BRAIN_ML[1]:
        raise Unprepared(f"what is not 0 takes {volume:.0f} ml, but a brain takes {BRAIN_ML[1]:.0f} ml at most: {remedy}")
    if volume < BRAIN_ML[0]:
        return [Note("brain", f"the brain takes {volume:.0f} ml, but at least {BRAIN_ML[0]:.0f} are expected: is part of it cut "
                     "off, or the spacing wrong?")]
    share = skull_sign(array, brain, spacing) if np.count_nonzero(array < 0) <= NEGATIVE * np.count_nonzero(brain) else 0.0
    if share > SKULL[0]:
        raise Unprepared(f"below {100 * share:.0f} % of the surface a dark layer lies between bright ones, as bone does between "
                         f"scalp and brain, but {100 * SKULL[1]:.0f} % at most are expected: {remedy}")
    if share > SKULL[1]:
        return [Note("brain", f"below {100 * share:.0f} % of the surface a dark layer lies between bright ones: is part of the "
                     "skull on?")]
    return []


def skull_sign(array: np.ndarray, brain: np.ndarray, spacing: Sequence[float]) -> float:
    """The share of a surface under which there is bone: the third best of the views from six sides, 0 to 1.

    A view is the middle half of a face of the brain's box, in `BLOCKS` x `BLOCKS` blocks. The rays of a block go inwards from
    their first voxel above `SURFACE`; their mean by depth rises once in a brain, but in a head is bright, dark, and bright
    again. Two views may be deceived: a cut end shows the ventricles so. Arguments as of `judge_brain`.
    """
    inside = np.where(brain, array, np.float32(0))
    mean = inside.sum(dtype=np.float64) / max(np.count_nonzero(inside), 1)
    surface = inside > np.float32(SURFACE * mean)
    shares = []
    for axis in range(3):
        for step in (1, -1):
            seen, begun = (np.moveaxis(volume, axis, 0)[::step] for volume in (inside, surface))
            shares.append(_share_of_dips(_profiles(seen, begun, spacing[axis]), mean))
    return sorted(shares)[-3]


def _profiles(seen: np.ndarray, begun: np.ndarray, side: float) -> np.ndarray:
    """Mean intensity by depth in mm along axis 0, [DEPTHS, blocks], of the blocks with any ray that begins."""
    middle = (slice(None), *(slice(n // 4, n - n // 4) for n in seen.shape[1:]))
    seen, begun = seen[middle], begun[middle]
    first, hit = begun.argmax(axis=0), begun.any(axis=0)
    depth = (np.arange(DEPTHS) / side + 0.5).astype(np.int64)
    places = np.minimum(first + depth[:, None, None], len(seen) - 1)
    values = np.where(hit, np.take_along_axis(seen, places, axis=0), 0).astype(np.float64)
    rows, columns = (np.arange(n) * BLOCKS // n for n in hit.shape)
    block = (rows[:, None] * BLOCKS + columns).ravel()
    rays = np.bincount(block, hit.ravel(), BLOCKS ** 2)
    sums = np.stack([np.bincount(block, layer.ravel(), BLOCKS ** 2) for layer in values])
    return sums[:, rays > 0] / rays[rays > 0]


def _share_of_dips(profiles: np.ndarray, mean: float) -> float:
    """The share of profiles [DEPTHS, blocks] that fall by more than `DIP` of the mean below what is outside and inside."""
    outside = np.maximum.accumulate(profiles[:SCALP + 1])
    outside = np.concatenate([outside, np.repeat(outside[-1:], DEPTHS - SCALP - 1, axis=0)])
    inside = np.maximum.accumulate(profiles[::-1])[::-1]
    deepest = (np.minimum(outside, inside) - profiles).max(axis=0)
    return float(np.count_nonzero(deepest > DIP * mean) / max(deepest.size, 1))


def within_fences(values: np.ndarray) -> tuple[np.ndarray, list[Note]]:
    """The measured values [n] of a channel in the brain, the few that no tissue can have clipped.

    The fences lie beyond the quartiles, the (n // 4)-th of the sorted values, counted from 0 and from either end: `fences`.

    Returns:
        The values [n] and notes. Where nothing lies beyond the fences, the very values given.

    Raises:
        InputError: no values, all the same, `FEW_VALUES` different ones at most, or one in at least half of the voxels; more
            nearly 0 than `FAINT`, or beyond the fences than `CLIPPED`.
    """
    ordered = np.sort(values)
    _judge_values(values, ordered)
    low, high = fences(float(ordered[values.size // 4]), float(ordered[values.size - 1 - values.size // 4]))
    below, above = np.count_nonzero(values < low), np.count_nonzero(values > high)
    if below + above == 0:
        return values, []
    lowest, highest = ordered[0], ordered[-1]
    if below + above > CLIPPED[0] + values.size // CLIPPED[1]:
        raise InputError(f"{below + above} of the brain's {values.size} voxels lie outside {low:g} to {high:g}, far from all "
                         f"others (lowest {lowest:g}, highest {highest:g}): an artefact, or no scan; mend or replace the file")
    notes = [Note("intensities", f"{count} voxel{'' if count == 1 else 's'} {where} {limit:g} {'was' if count == 1 else 'were'} "
                  f"clipped (the {most} is {value:g})") for count, where, limit, most, value in
             ((below, "below", low, "lowest", lowest), (above, "above", high, "highest", highest)) if count]
    return np.clip(values, low, high), notes


def _judge_values(values: np.ndarray, ordered: np.ndarray) -> None:
    """Of measured values, and the same sorted. Raises InputError where they are none of a scan."""
    if values.size == 0 or ordered[0] == ordered[-1]:
        value = 0 if values.size == 0 else values[0]
        raise InputError(f"every voxel in the brain is {value:g}, so there is nothing to see; replace the file")
    distinct = 1 + np.count_nonzero(ordered[1:] != ordered[:-1])
    if distinct <= FEW_VALUES:
        raise InputError(f"only {distinct} different values in the brain, but a scan has hundreds: is it a mask or a label map? "
                         "Replace the file")
    first, third = ordered[values.size // 4], ordered[values.size - 1 - values.size // 4]
    if first == third:
        raise InputError(f"at least half of the brain's voxels are {first:g}: it is no scan, or most of it is lost; replace the "
                         "file")
    faint = np.float32(FAINT[0] * abs(float(third)))
    count = np.count_nonzero(np.abs(values) < faint)
    if count > values.size // FAINT[1]:
        raise InputError(f"{100 * count / values.size:.0f} % of the brain's voxels are nearly 0 (below {faint:g}), as resampling "
                         "leaves them around a brain, but what is no brain must be exactly 0: set them to 0, or strip it again")


def fences(first: float, third: float) -> tuple[np.float32, np.float32]:
    """The lowest and highest value that a channel with these quartiles may have."""
    reach = max(FENCE[0] * (third - first), FENCE[1] * max(abs(first), abs(third)))
    with np.errstate(over="ignore"):        # of float32: then nothing lies beyond
        return np.float32(first - reach), np.float32(third + reach)
