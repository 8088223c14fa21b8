"""What benchmarks/gpu.py runs, made with TensorFlow on any machine: `python -m benchmarks.gpu_export FOLDER`.

Our training steps and whole scans as XLA's programs, and beside them what the twins in PyTorch need to do the same and to prove
it: weights, inputs, goals and results. The networks are untrained, and as in PyTorch
nobody asks for the same bits every time (`train.deterministic` false).
"""
import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import gpu, ours, scenes, stablehlo
from synergynet_tf.config import Config, command_line
from synergynet_tf.runtime.startup import import_tensorflow

STILL = 1e-9            # a learning rate at which the network stays as it is, and every step is the same work
PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    """Entry point: write everything."""
    own = _arguments()
    own.folder.mkdir(parents=True, exist_ok=True)
    import_tensorflow()
    config = command_line.with_preset(Config(), "paper")
    config = replace(config, train=replace(config.train, learning_rate=STILL))
    (own.folder / "config.json").write_text(json.dumps(config.asdict()))
    for name in gpu.SYSTEMS:
        for precision in PRECISIONS:
            train = replace(config.train, system=name, precision=precision, jit_compile=True)
            export(replace(config, train=train), own)


def export(config: Config, own: argparse.Namespace) -> None:
    """A system's training step in one precision; with float32, in which inference always is, the rest too."""
    import tensorflow as tf

    from synergynet_tf.training.systems import system_of

    name, precision, batch = config.train.system, config.train.precision, ours.batch_of(config, own)
    model, stage = _model(config), system_of(config).stages[-1]
    step, optimizer = ours.step_of(model, stage, config)
    variables = [*model.variables, *optimizer.variables]
    stablehlo.export(step, [batch], variables, own.folder / f"{name}-step-{precision}.npz")
    if precision == "float32":
        stablehlo.save_variables(variables, own.folder / f"{name}-variables.npz")       # which are the same in both precisions
        image, goal = scenes.image(tuple(own.scan), len(config.data.channels)), _goal(model, config, batch, stage)
        scan = _scan(ours.no_more(model, own.detections), config)       # not before: a step has as many as the settings allow
        compiled = tf.function(scan, jit_compile=True, autograph=False)
        stablehlo.export(compiled, [image], model.variables, own.folder / f"{name}-scan.npz")
        _, logits = tf.function(scan, autograph=False)(tf.constant(image))
        annotation = {f"batch {field}": value for field, value in batch._asdict().items() if field != "image"}
        np.savez_compressed(own.folder / f"{name}-task.npz", logits=logits[gpu.SAMPLED], detections=own.detections, size=own.size,
                            scan=own.scan, channels=image.shape[-1], **annotation, **goal)


def _model(config: Config) -> Any:
    """The same weights for every precision; scales and offsets too are random, or an exchanged pair would not show."""
    import keras

    from synergynet_tf.training.precision import layers_in
    from synergynet_tf.training.systems import system_of

    keras.utils.set_random_seed(0)
    with layers_in(config.train.precision):
        model = system_of(config).build(config)
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) == 1:
            variable.assign_add(0.1 * random.standard_normal(variable.shape))
    return model


def _scan(model: Any, config: Config) -> Any:
    """A function of an image float32 [1, X, Y, Z, C]: its mask bool and its fused logits float32, [X, Y, Z]."""
    import tensorflow as tf

    from synergynet_tf.models.synergynet import fused_logits

    def scan(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        prediction = model(image)
        logits = prediction.global_logits
        if prediction.mask_boxes.shape[1]:
            logits = fused_logits(prediction, config.fusion.gamma, config.mask.window)
        logits = logits[0, ..., 0]
        return tf.sigmoid(logits) > config.infer.threshold, logits

    return scan


def _goal(model: Any, config: Config, batch: Any, stage: Any) -> dict[str, np.ndarray]:
    """A batch's loss, and the lesions that the anchors and RoIs of its one patch stand for, as a step of ours finds them."""
    import tensorflow as tf

    from synergynet_tf.models import targets
    from synergynet_tf.training.forward import Forward
    from synergynet_tf.training.terms import stage_counts, stage_losses, total_loss

    @tf.function(autograph=False)
    def found() -> dict[str, tf.Tensor]:
        forward = Forward(model, batch, stage, config, training=True)
        made = {"loss": total_loss(stage_losses(forward, stage_counts(forward)), config.loss)[0]}
        if not stage.has_rpn:
            return made
        detector, instances = config.detector, batch.instances[0]
        annotated = targets.Annotation(instances, batch.gt_boxes[0], batch.gt_valid[0], batch.gt_ignore[0])
        anchors = targets.rpn_targets(annotated, tuple(n // detector.stride for n in instances.shape), detector)
        proposals = model.propose(*model.rpn(model.features(batch.image, True).d1), batch.image, detector.train_nms_iou)
        rois = targets.roi_targets(proposals.boxes[0], proposals.valid[0], batch.seed[0], annotated, detector)
        return made | {f"{kind} {name}": value for kind, values in (("anchors", anchors), ("rois", rois))
                       for name, value in values._asdict().items()}

    return {name: value.numpy() for name, value in found().items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, nargs=3, default=(128, 160, 128), help="of a patch")
    parser.add_argument("--scan", type=int, nargs=3, default=(144, 184, 152), help="of a brain's box")
    parser.add_argument("--lesions", type=int, default=100)
    parser.add_argument("--detections", type=int, default=47, help="in a scan, at most")
    parser.set_defaults(batch=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
