"""How many small lesions the local branch of a run looks at: `python -m benchmarks.recall --run RUN [--split test]`.

A lesion is found by a box (a proposal of the RPN, or a detection) whose IoU with its own, margin included, reaches a threshold
or, in the last column, that holds its middle: the mask patch of such a box shows the lesion. Whole scans of the run's split;
small lesions (`lesions.small_box_voxels`) of at least --min-voxels, those of all scans pooled. Prints a Markdown table.
"""
import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from synergynet_tf.runtime import progress
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.startup import import_tensorflow

if TYPE_CHECKING:
    import numpy as np

IOUS = (0.1, 0.3, 0.5)
KINDS = ("proposals", "detections")


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    given = _parser().parse_args(argv)
    import_tensorflow()
    import numpy as np

    from synergynet_tf.data import layouts
    from synergynet_tf.data.cache import build_cache
    from synergynet_tf.training import checkpoint
    from synergynet_tf.training.systems import system_of

    stored = checkpoint.load(given.run / f"{given.weights}.npz")
    config = with_proposals(stored.config, given.proposals, given.candidates)
    model = system_of(config).build(config)
    stored.restore_weights(model, averaged=True)
    cases = [case for case in layouts.discover(given.run, "manifest", config.data.channels) if case.split == given.split]
    find, counts, found = boxes_of(model, config), {kind: [] for kind in KINDS}, {kind: [] for kind in KINDS}
    cached = build_cache(cases, config)
    with progress.bar("scans", len(cached)) as advance:
        for case in cached:
            wanted = case.table.is_small & (case.table.voxels >= given.min_voxels)
            for kind, boxes in zip(KINDS, find(np.asarray(case.image(), np.float32))):
                counts[kind].append(len(boxes))
                found[kind].append(hits(case.table.boxes[wanted], boxes, config.detector.box_margin))
            advance()
    _print(given, counts, found)


def with_proposals(config: Any, count: int | None, candidates: int | None) -> Any:
    """The configuration with another number of proposals, and of detections, out of so many candidates before suppression."""
    changed = {"proposals": count, "max_detections": count} if count else {}
    changed |= {"pre_nms": candidates} if candidates else {}
    return dataclasses.replace(config, detector=dataclasses.replace(config.detector, **changed))


def boxes_of(model: Any, config: Any) -> "Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]":
    """A function: image [X, Y, Z, C] -> the boxes of its proposals and of its detections, [n, 6] each, in its voxels."""
    import numpy as np
    import tensorflow as tf

    from synergynet_tf.config import InferConfig
    from synergynet_tf.inference import coverage

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((1, None, None, None, len(config.data.channels)), tf.float32)])
    def run(image: tf.Tensor):
        features = model.features(image)
        proposals = model.propose(*model.rpn(features.d1), image, config.detector.infer_nms_iou)
        logits, deltas = model.refine(features.d1, proposals.boxes)
        return proposals, model.detect(proposals, logits, deltas, image, config.detector.max_detections)

    def find(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        window, front = coverage.padded(image, coverage.place(image.shape[:3], InferConfig(coverage="whole")))
        shift = np.tile(-front.numpy(), 2)
        return tuple(kind.boxes[0].numpy()[kind.valid[0].numpy()] + shift for kind in run(window[None]))

    return find


def hits(lesions: "np.ndarray", boxes: "np.ndarray", margin: float) -> "np.ndarray":
    """Bool [n, len(IOUS) + 1] for lesions [n, 6]: the best IoU with boxes [m, 6] reaches each of IOUS; a box holds the middle.

    The boxes that the network learns have a margin about the lesion; IoU is with such a one.
    """
    import numpy as np

    from synergynet_tf.ops.boxes import expand, pairwise_iou

    if not len(boxes) or not len(lesions):
        return np.zeros((len(lesions), len(IOUS) + 1), bool)
    best = pairwise_iou(expand(lesions.astype(np.float32), margin), boxes.astype(np.float32)).numpy().max(1)
    middle = (lesions[:, None, :3] + lesions[:, None, 3:]) / 2
    holds = ((boxes[:, :3] <= middle) & (middle <= boxes[:, 3:])).all(-1).any(1)
    return np.column_stack([*(best >= iou for iou in IOUS), holds])


def _print(given: argparse.Namespace, counts: dict[str, list[int]], found: "dict[str, list[np.ndarray]]") -> None:
    import numpy as np

    lesions = sum(map(len, found[KINDS[0]]))
    print(f"{len(counts[KINDS[0]])} scans, {lesions} small lesions of at least {given.min_voxels} voxels\n")
    print(f"| | boxes a scan | {' | '.join(f'IoU >= {iou}' for iou in IOUS)} | middle inside |\n{'|---' * (len(IOUS) + 3)}|")
    for kind in KINDS:
        shares = np.concatenate(found[kind]).mean(0)
        print(f"| {kind} | {np.mean(counts[kind]):.0f} | {' | '.join(f'{share:.3f}' for share in shares)} |")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recall", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="run folder of synergynet or mask_rcnn")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="(default: %(default)s)")
    parser.add_argument("--weights", choices=("best", "last"), default="best", help="(default: %(default)s)")
    parser.add_argument("--min-voxels", type=int, default=10, help="smaller lesions are left out (default: %(default)s)")
    parser.add_argument("--proposals", type=int, help="take as many proposals and detections a scan (default: as in training)")
    parser.add_argument("--candidates", type=int, help="out of so many of the best anchors (default: as in training)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
