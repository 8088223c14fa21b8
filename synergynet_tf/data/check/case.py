"""One case: every file that its layout names, each read once."""
import contextlib
import logging
from collections.abc import Iterator

from synergynet_tf.config import Config
from synergynet_tf.data.check import brain as brains
from synergynet_tf.data.check import images, masks
from synergynet_tf.data.check.problem import CaseCheck, Findings
from synergynet_tf.data.check.views import slices_of
from synergynet_tf.data.identity import voxel_digest
from synergynet_tf.data.layouts import Case


def check_case(case: Case, config: Config) -> CaseCheck:
    """Everything that is wrong with a case's files; nothing is raised for any of it.

    Args:
        case: its raters chosen. Files that do not exist are passed over: `layouts.faults` names them.
        config: `data.channels` and `lesions` are used. Other channels are read too, but give warnings only.
    """
    findings = Findings(case, config.data.channels)
    with _quiet():
        flair = images.read("flair", findings)
        digests: dict[str, str | None] = {}
        brain = None
        if flair is not None:
            digests["flair"] = voxel_digest(flair.array)
            brain = brains.check_flair(flair, findings)
        for channel in sorted(case.images.keys() - {"flair"}):
            volume = images.read(channel, findings)
            if volume is None:
                continue
            digests[channel] = voxel_digest(volume.array)
            if flair is not None and images.same_grid(flair, volume, channel, findings) and brain is not None:
                images.check_channel(volume, channel, *brain, findings)
        mask, of_masks = masks.read_reference(case, flair, findings) if case.lesions is not None else (None, {})
        lesions, lesion_ml = masks.check_lesions(mask, config.lesions, findings) if mask is not None else (None, None)
        if flair is not None and mask is not None and brain is not None:
            masks.check_in_brain(mask, flair, *brain, findings)
    views = None if flair is None else slices_of(flair, None if mask is None else mask.array)
    brain_ml = None if flair is None or brain is None else brains.brain_ml(brain[0], flair)
    return CaseCheck(case, tuple(findings.problems), digests | of_masks, lesions, lesion_ml, brain_ml, views)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the readers: the table says in its own words what they log, and of a damaged header they log too much."""
    logs = [logging.getLogger(name) for name in ("synergynet_tf.data", "nibabel.global")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for log, level in zip(logs, levels):
            log.setLevel(level)
