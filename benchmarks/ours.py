"""Our sides of benchmarks/speed.py: training steps, forward passes and whole scans of the U-Net and of SynergyNet.

`export` writes what the peers need to prove themselves our equals: the U-Net's weights with an image and its logits, and crops
and pastes with their inputs. A step is that of the trainer, op determinism included. The networks are untrained, and an untrained
SynergyNet is sure of nothing: in training each of its branches has as many boxes to work on as the settings allow.
"""
import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import ops, scenes, worker
from synergynet_tf.config import Config, command_line
from synergynet_tf.runtime.startup import import_tensorflow

CHECKED = (32, 48, 40)      # voxels, of the image that the twins are compared on

Served = tuple[dict[str, Callable[[], object]], float]      # jobs, and the floating-point operations of one, 0: not counted


def main() -> None:
    """Entry point: serve one side, or export."""
    own = _arguments()
    worker.pin(*own.cores)
    import_tensorflow()
    before = worker.memory("VmRSS")
    config = command_line.with_preset(Config(), "paper")
    config = replace(config, train=replace(config.train, batch=own.batch))
    if own.side == "export":
        export(config, own.folder)
        return
    jobs, flops = SIDES[own.side](config, own)
    worker.serve(jobs, before=before, flops=flops)


def unet_step(config: Config, own: argparse.Namespace) -> Served:
    """A training step of the baseline, and the operations of its convolutions."""
    from benchmarks import convolutions

    step, batch = _unet_step(config, own)
    found = convolutions.of(step.get_concrete_function(batch).graph)
    return {"run": lambda: float(step(batch)[0])}, sum(map(convolutions.flops, found))


def bare_convolutions(config: Config, own: argparse.Namespace) -> Served:
    """The convolutions of that step and nothing else, one by one."""
    from benchmarks import convolutions

    step, batch = _unet_step(config, own)
    found = convolutions.of(step.get_concrete_function(batch).graph)
    return {"run": convolutions.bare(found)}, sum(map(convolutions.flops, found))


def stage_step(number: int) -> Callable[..., Served]:
    """A training step of one of SynergyNet's stages."""
    def side(config: Config, own: argparse.Namespace) -> Served:
        from synergynet_tf.training.stages import STAGES

        step, batch = _step(config, STAGES[number - 1], own)
        return {"run": lambda: float(step(batch)[0])}, 0.0

    return side


def _unet_step(config: Config, own: argparse.Namespace) -> tuple[Callable, object]:
    from synergynet_tf.training.systems import SYSTEMS

    return _step(replace(config, train=replace(config.train, system="unet")), SYSTEMS["unet"].stages[0], own)


def _step(config: Config, stage: object, own: argparse.Namespace) -> tuple[Callable, object]:
    """The trainer's step, and a batch for it."""
    from synergynet_tf.training.determinism import make_deterministic
    from synergynet_tf.training.systems import system_of

    make_deterministic()
    step, _ = step_of(system_of(config).build(config), stage, config)
    return step, batch_of(config, own)


def step_of(model: object, stage: object, config: Config) -> tuple[Callable, object]:
    """A model's training step in a stage, and the optimizer whose variables it works on."""
    from synergynet_tf.training.optimizer import make_optimizer
    from synergynet_tf.training.stages import trainable_variables
    from synergynet_tf.training.steps import make_train_step

    optimizer = make_optimizer(config.train, 100)
    optimizer.build(trainable_variables(model, stage))
    return make_train_step(model, optimizer, stage, config), optimizer


def batch_of(config: Config, own: argparse.Namespace) -> object:
    """A batch for a training step: `own.batch` patches of `own.size` with `own.lesions` each."""
    import tensorflow as tf

    from synergynet_tf.data.transforms import annotate
    from synergynet_tf.structures import Batch

    size, slots = tuple(own.size), config.lesions.max_lesions
    labels = [tf.constant(scenes.lesions(size, own.lesions, seed)) for seed in range(own.batch)]
    noted = [annotate(one, tf.ones(slots, tf.bool), config.lesions.min_voxels) for one in labels]
    image = tf.constant(scenes.image(size, len(config.data.channels), own.batch))
    return Batch(image, tf.stack(labels), *map(tf.stack, zip(*noted)), tf.zeros((own.batch, 2), tf.int32),
                 tf.range(own.batch))


def forward(system: str) -> Callable[..., Served]:
    """One pass over a patch, as a Predictor traces it: for every shape."""
    def side(config: Config, own: argparse.Namespace) -> Served:
        import tensorflow as tf

        from synergynet_tf.training.systems import SYSTEMS

        model, channels = no_more(SYSTEMS[system].build(config), own.detections), len(config.data.channels)
        run = tf.function(lambda image: model(image), input_signature=[tf.TensorSpec((1, None, None, None, channels))])
        image = tf.constant(scenes.image(tuple(own.size), channels))
        return {"run": lambda: run(image)}, 0.0

    return side


def scan(system: str, coverage: str) -> Callable[..., Served]:
    """A whole scan to its mask in memory."""
    def side(config: Config, own: argparse.Namespace) -> Served:
        from synergynet_tf.inference.predictor import Predictor
        from synergynet_tf.training.systems import SYSTEMS

        config = replace(config, infer=replace(config.infer, coverage=coverage, window=tuple(own.size)))
        predictor = Predictor(no_more(SYSTEMS[system].build(config), own.detections), config)
        image = scenes.image(tuple(own.scan), len(config.data.channels))[0]
        return {"run": lambda: predictor.predict_volume(image).mask}, 0.0

    return side


def export(config: Config, folder: Path) -> None:
    """Write unet.npz and ops.npz."""
    from synergynet_tf.models.unet import build_unet

    model, image = build_unet(config), scenes.image(CHECKED, len(config.data.channels))
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:      # scales and offsets too, or an exchanged pair would not show
        variable.assign_add(0.1 * random.standard_normal(variable.shape))
    weights = {variable.path: variable.numpy() for variable in model.trainable_variables}
    np.savez(folder / "unet.npz", image=image, logits=model.logits(image).numpy(), **weights)
    np.savez(folder / "ops.npz", **ops.examples())


def no_more(model: object, count: int) -> object:
    """SynergyNet with at most `count` valid detections: an untrained one is unsure of all and would have as many as may be."""
    detect = getattr(model, "detect", None)
    if detect:
        def few(*given: object) -> object:
            found = detect(*given)
            return found._replace(valid=found.valid & (np.arange(found.valid.shape[1]) < count))

        model.detect = few
    return model


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=sorted([*SIDES, "export"]))
    parser.add_argument("--cores", type=int, nargs="+", required=True)
    parser.add_argument("--size", type=int, nargs=3, default=(128, 160, 128), help="of a patch")
    parser.add_argument("--scan", type=int, nargs=3, default=(144, 184, 152), help="of a brain's box")
    parser.add_argument("--lesions", type=int, default=100)
    parser.add_argument("--detections", type=int, default=256, help="of a patch or a scan, at most")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where `export` writes")
    return parser.parse_args()


SIDES: dict[str, Callable[..., Served]] = {
    "unet-step": unet_step, "convolutions": bare_convolutions, "unet-forward": forward("unet"),
    "synergynet-forward": forward("synergynet"), **{f"stage{number}-step": stage_step(number) for number in (1, 2, 3, 4)},
    "unet-scan": scan("unet", "whole"), "unet-windows": scan("unet", "windows"),
    "synergynet-scan": scan("synergynet", "whole"), "synergynet-windows": scan("synergynet", "windows"),
    "ops": lambda *_: (ops.ours(), 0.0), "numpy": lambda *_: (ops.numpys(), 0.0),
}

if __name__ == "__main__":
    sys.exit(main())
