"""One patient: an own brain, own lesions, one scanner, one or more time points."""
from pathlib import Path
from typing import NamedTuple

import numpy as np

from synergynet_tf.data.phantom.anatomy import Anatomy, deform
from synergynet_tf.data.phantom.atlas import AFFINE, GRID, Atlas, anatomy_files, label_atlas, template_atlas
from synergynet_tf.data.phantom.imaging import Protocol, Tissue, acquire, draw_protocol, lesion_signal, paint_tissue
from synergynet_tf.data.phantom.lesions import LesionHistory, draw_burden, find_sites


class Session(NamedTuple):
    """One time point. Volumes are [182, 218, 182], LAS, 1 mm, exactly 0 outside the brain."""

    flair: np.ndarray       # float32, whole numbers, at least 1 in the brain; not z-scored
    t2: np.ndarray          # float32, likewise
    lesions: np.ndarray     # uint8, 1 in lesions
    affine: np.ndarray      # float64 [4, 4]


def _generator(seed: int, patient: int, session: int, part: int = 0) -> np.random.Generator:
    """Random numbers of a patient (session 0) or of one of its time points (1, 2, ...); part 1 is what the scanner does."""
    return np.random.default_rng(np.random.SeedSequence([seed, patient, session, part]))


def _atlas(index: int, anatomy: str | Path | None) -> Atlas:
    if anatomy is None:
        return template_atlas()
    files = anatomy_files(anatomy)
    return label_atlas(files[index % len(files)])


def _on_grid(part: np.ndarray, anatomy: Anatomy, dtype: type) -> np.ndarray:
    """Put the box's map back on the grid, 0 elsewhere."""
    whole = np.zeros(GRID, dtype)
    whole[anatomy.box] = part
    return whole


def _scan(anatomy: Anatomy, tissue: Tissue, lesions: np.ndarray, protocol: Protocol, rng: np.random.Generator) -> Session:
    signal = lesion_signal(lesions, protocol, rng)
    flair = acquire(tissue.flair + signal, anatomy.brain, protocol, rng)
    t2 = acquire(tissue.t2 + np.float32(protocol.t2_ratio) * signal, anatomy.brain, protocol, rng)
    return Session(_on_grid(flair, anatomy, np.float32), _on_grid(t2, anatomy, np.float32),
                   _on_grid(lesions, anatomy, np.uint8), AFFINE.copy())


def lesion_map(seed: int, index: int, anatomy: str | Path | None = None) -> np.ndarray:
    """The first time point's lesions of `make_patient`, uint8 [182, 218, 182], without the scans: to count lesions quickly."""
    brain, history = _patient(seed, index, anatomy)
    return _on_grid(history.mask(), brain, np.uint8)


def _patient(seed: int, index: int, anatomy: str | Path | None) -> tuple[Anatomy, LesionHistory]:
    rng = _generator(seed, index, 0)
    brain = deform(_atlas(index, anatomy), rng)
    return brain, LesionHistory(find_sites(brain, rng), draw_burden(rng), rng)


def make_patient(seed: int, index: int, sessions: int, anatomy: str | Path | None = None) -> list[Session]:
    """Make a patient's time points; what is made depends on (seed, index, anatomy) alone, more sessions only add to it.

    seed: of the cohort. index: of the patient, from 0. sessions: time points, at least 1.
    anatomy: folder of FreeSurfer-style label maps, used in turn, one a patient; none: the MNI152 template.
    Raises InputError if the anatomy cannot be used.
    """
    brain, history = _patient(seed, index, anatomy)
    scanner = _generator(seed, index, 0, part=1)
    protocol = draw_protocol(scanner)
    tissue = paint_tissue(brain, protocol, scanner)
    result = []
    for session in range(1, sessions + 1):
        now = _generator(seed, index, session)
        if session > 1:
            history.advance(now)
        result.append(_scan(brain, tissue, history.mask(), protocol, now))
    return result
