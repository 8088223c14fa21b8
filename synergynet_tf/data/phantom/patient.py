"""One patient: a brain, its lesions, one scanner, one or more time points."""
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from synergynet_tf.data.judgement import judge_brain
from synergynet_tf.data.phantom.anatomy import Anatomy, deform
from synergynet_tf.data.phantom.atlas import AFFINE, GRID, Atlas, anatomy_files, label_atlas, template_atlas
from synergynet_tf.data.phantom.imaging import NarrowScanner
from synergynet_tf.data.phantom.lesions import LesionHistory, draw_burden, find_sites
from synergynet_tf.data.phantom.shapes import read_shapes
from synergynet_tf.data.phantom.tissue import Brain
from synergynet_tf.data.phantom.variety import WIDE
from synergynet_tf.data.phantom.wide import WideScanner, wide_patient
from synergynet_tf.errors import Unprepared
from synergynet_tf.metrics.extent import bounding_box

Scan = tuple[np.ndarray, np.ndarray, np.ndarray]    # FLAIR, T2 and the mask, [x, y, z] of the brain's box


class Session(NamedTuple):
    """One time point. Volumes are [182, 218, 182], LAS, 1 mm, exactly 0 outside the brain."""

    flair: np.ndarray       # float32, whole numbers, at least 1 in the brain; not z-scored
    t2: np.ndarray          # float32, likewise
    lesions: np.ndarray     # uint8, 1 in lesions
    affine: np.ndarray      # float64 [4, 4]


def _generator(seed: int, patient: int, session: int, part: int = 0) -> np.random.Generator:
    """Random numbers of a patient (session 0) or of one of its time points (1, 2, ...); parts from 1 on are what scanners do."""
    return np.random.default_rng(np.random.SeedSequence([seed, patient, session, part]))


def _atlas(index: int, anatomy: str | Path | None) -> Atlas:
    if anatomy is None:
        return template_atlas()
    files = anatomy_files(anatomy)
    return label_atlas(files[index % len(files)])


def _on_grid(part: np.ndarray, anatomy: Anatomy, dtype: type) -> np.ndarray:
    """Put the box's map back on the grid, 0 elsewhere."""
    whole: np.ndarray = np.zeros(GRID, dtype)
    whole[anatomy.box] = part
    return whole


def lesion_map(seed: int, index: int, anatomy: str | Path | None = None, variety: str = "narrow",
               shapes: str | Path | None = None) -> np.ndarray:
    """The first time point's lesions of `make_patient`, uint8 [182, 218, 182], without the scans: to count lesions quickly.

    Of a wide phantom they are the lesions as they are, not what a reader sees of them on thick slices or inside the mask.
    """
    brain, history = _patient(seed, index, anatomy, variety, shapes)
    return _on_grid(history.mask(), _anatomy(brain), np.uint8)


def _patient(seed: int, index: int, anatomy: str | Path | None, variety: str,
             shapes: str | Path | None) -> tuple[Anatomy | Brain, LesionHistory]:
    rng, atlas = _generator(seed, index, 0), _atlas(index, anatomy)
    if variety == "wide":
        return wide_patient(atlas, read_shapes(shapes) if shapes else None, WIDE, rng)
    brain = deform(atlas, rng)
    return brain, LesionHistory(find_sites(brain, rng), draw_burden(rng), rng)


def _anatomy(brain: Anatomy | Brain) -> Anatomy:
    return brain.anatomy if isinstance(brain, Brain) else brain


def _first_scan(brain: Anatomy | Brain, lesions: np.ndarray, seed: int, index: int) -> tuple[NarrowScanner | WideScanner, Scan]:
    """A scanner, and its scan of the first time point's lesions.

    Of a wide phantom it is the first drawn whose scan a training takes: dura that its stripping leaves may read as a skull.
    """
    part = 0
    while True:
        part += 1
        drawn = _generator(seed, index, 0, part)
        scanner = WideScanner(brain, WIDE, drawn) if isinstance(brain, Brain) else NarrowScanner(brain, drawn)
        scan = scanner.scan(lesions, _generator(seed, index, 1))
        if not isinstance(brain, Brain) or _is_stripped(scan[0]):
            return scanner, scan


def _is_stripped(flair: np.ndarray) -> bool:
    flair = flair[bounding_box(flair != 0)]
    try:
        judge_brain(flair, flair != 0, (1.0, 1.0, 1.0))
    except Unprepared:
        return False
    return True


def make_patient(seed: int, index: int, sessions: int, anatomy: str | Path | None = None, variety: str = "narrow",
                 shapes: str | Path | None = None) -> list[Session]:
    """Make a patient's time points; what is made depends on all but `sessions` alone, more sessions only add to it.

    Args:
        seed: of the cohort.
        index: of the patient, from 0.
        sessions: time points, at least 1.
        anatomy: folder of FreeSurfer-style label maps, used in turn, one a patient; none: the MNI152 template.
        variety: narrow or wide, see PhantomConfig.
        shapes: of wide phantoms, a file of real lesions, see `shapes.read_shapes`; none: all lesions are made up.

    Raises:
        InputError: the anatomy or the shapes cannot be used.
    """
    brain, history = _patient(seed, index, anatomy, variety, shapes)
    scanner, (flair, t2, lesions) = _first_scan(brain, history.mask(), seed, index)
    result = []
    for session in range(1, sessions + 1):
        if session > 1:
            rng = _generator(seed, index, session)
            history.advance(rng)
            flair, t2, lesions = scanner.scan(history.mask(), rng)
        in_box = functools.partial(_on_grid, anatomy=_anatomy(brain))
        result.append(Session(in_box(flair, dtype=np.float32), in_box(t2, dtype=np.float32), in_box(lesions, dtype=np.uint8),
                              AFFINE.copy()))
    return result
