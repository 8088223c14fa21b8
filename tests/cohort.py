"""Small data for tests: a cohort to train on within seconds, a configuration for it, a patch of known lesions."""
import pathlib

import numpy as np

TINY = {
    "patch": {"size": [32, 32, 32], "rotation": 10.0},
    "unet": {"widths": [4, 4, 8, 8]},
    "lesions": {"max_lesions": 16},
    "detector": {"rpn_width": 8, "pre_nms": 64, "proposals": 16, "rois": 16, "roi_size": 4, "box_width": 16, "max_detections": 8,
                 "train_detections": 8},
    "mask": {"size": 8, "width": 4, "window": 24, "rois": 8},
    "train": {"epochs": [1, 1, 1, 1], "steps_per_epoch": 2},
}


def write_tiny_run(folder: pathlib.Path, seed: int = 0, **settings):
    """A run's folder with the best checkpoint of a network of random weights, and an average of them, which is another.

    The seed decides the weights. Settings are groups of a configuration, beside TINY. Returns the folder.
    """
    import keras

    from synergynet_tf.config import Config
    from synergynet_tf.models.synergynet import build_synergynet
    from synergynet_tf.training import checkpoint

    keras.utils.set_random_seed(seed)       # else the weights are those of whichever tests came before
    config = Config.from_dict(TINY | settings)
    model = build_synergynet(config)
    average = [np.asarray(value) * 1.25 for value in checkpoint.named_weights(model).values()]
    checkpoint.save(folder / "best.npz", model, config, checkpoint.Progress(4, 1), average=average)
    return folder


def write_tiny_cohort(folder: pathlib.Path, patients: int, seed: int = 0) -> pathlib.Path:
    """Write `patients` scans of 40x44x36 voxels (an ellipsoid brain, a few bright cubes as lesions) and their manifest."""
    import nibabel as nib

    folder.mkdir(parents=True, exist_ok=True)
    rows = ["patient,session,flair,t2,lesions,split"]
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    for patient in range(patients):
        rng = np.random.default_rng((seed, patient))
        axes = np.meshgrid(*(np.linspace(-1.05, 1.05, n) for n in (40, 44, 36)), indexing="ij")
        brain = sum(a ** 2 for a in axes) < 1
        lesions = np.zeros(brain.shape, np.uint8)
        for _ in range(4):
            start, size = rng.integers(10, 24, 3), rng.integers(2, 6, 3)
            lesions[tuple(slice(a, a + n) for a, n in zip(start, size))] = 1
        lesions &= brain
        flair = np.where(brain, 100 + rng.normal(0, 5, brain.shape) + 60 * lesions, 0)
        t2 = np.where(brain, 80 + rng.normal(0, 5, brain.shape) + 40 * lesions, 0)
        for name, volume in (("flair", flair.astype(np.float32)), ("t2", t2.astype(np.float32)), ("lesions", lesions)):
            nib.save(nib.Nifti1Image(volume, affine), folder / f"P{patient}_{name}.nii.gz")
        rows.append(f"P{patient},1,P{patient}_flair.nii.gz,P{patient}_t2.nii.gz,P{patient}_lesions.nii.gz,")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(rows) + "\n")
    return manifest


def make_batch(samples: int, lesions: bool = True):
    """A Batch of `samples` patches of 32x32x32 voxels with 16 label slots; without lesions if asked for."""
    import tensorflow as tf

    from synergynet_tf.structures import Batch

    rng = np.random.default_rng(1)
    instances = np.zeros((samples, 32, 32, 32), np.int32)
    boxes = np.zeros((samples, 16, 6), np.float32)
    valid, ignore = np.zeros((samples, 16), bool), np.zeros((samples, 16), bool)
    spans = {0: ((4, 5, 6), (9, 9, 11)), 1: ((14, 14, 14), (29, 28, 27)), 2: ((28, 2, 2), (29, 3, 3)),
             4: ((5, 22, 20), (9, 27, 25))}
    for slot, (low, high) in spans.items() if lesions else ():
        instances[:, low[0]:high[0], low[1]:high[1], low[2]:high[2]] = slot + 1
        boxes[:, slot] = (*low, *high)
        (valid if slot in (0, 4) else ignore)[:, slot] = True
    image = rng.normal(size=(samples, 32, 32, 32, 1)) + 3 * (instances[..., None] > 0)
    return Batch(tf.constant(image, tf.float32), tf.constant(instances), tf.constant(boxes), tf.constant(valid),
                 tf.constant(ignore), tf.constant(np.tile([[7, 11]], (samples, 1)), tf.int32), tf.range(samples))
