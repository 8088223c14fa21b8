"""Time to score 40 cases by the full metric set, beside MedPy and MONAI: `python -m benchmarks.evaluation [--cases 40]`.

Needs torch, monai and medpy (`pip install torch monai medpy`) in the environment. The cases are phantom patients; their
predictions are the references, blurred, shifted and noisy, so that some lesions are missed and some are false. Each tool computes
the same numbers, which are compared; what MedPy and MONAI do not have is taken from SciPy and scikit-learn, and both are given
the masks cut to the box that holds all lesions wherever the result is the same. One process, arrays in memory; prints a Markdown
table.
"""
import argparse
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np

from synergynet_tf.config import PhantomConfig
from synergynet_tf.data import nifti
from synergynet_tf.data.phantom import generate_cohort
from synergynet_tf.metrics import lesion, surface, voxel
from synergynet_tf.metrics.average_precision import average_precision
from synergynet_tf.metrics.scores import score_case

SPACING = (1.0, 1.0, 1.0)
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
Numbers = dict[str, float]


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=1, help="of each part and case, of which the median counts")
    parser.add_argument("--phantoms", type=pathlib.Path, help="a folder of phantoms to use; default: they are made")
    given = parser.parse_args(argv)
    tools = {"synergynet_tf": OURS, "MedPy": MEDPY, "MONAI": MONAI}
    seconds = {tool: dict.fromkeys(("all", *parts), 0.0) for tool, parts in tools.items()}
    with tempfile.TemporaryDirectory() as folder:
        if not given.phantoms:
            generate_cohort(pathlib.Path(folder), PhantomConfig(patients=given.cases, seed=7))
        paths = sorted((given.phantoms or pathlib.Path(folder)).glob("*/lesions.nii.gz"))[:given.cases]
        for seed, path in enumerate(paths):
            case = make_case(path, seed)
            results = {tool: time_parts(parts, case, given.repeats, seconds[tool]) for tool, parts in tools.items()}
            for name, value in results["synergynet_tf"].items():
                peers = [results[tool][name] for tool in ("MedPy", "MONAI")]
                np.testing.assert_allclose(peers, value, rtol=1e-5, atol=1e-6, err_msg=f"{path} {name}")
            time_parts({"all": whole}, case, given.repeats, seconds["synergynet_tf"])
    show(seconds, len(paths))


def make_case(path: pathlib.Path, seed: int) -> Arrays:
    """Reference, predicted mask, probability map: [X, Y, Z]."""
    from scipy import ndimage

    reference, rng = nifti.read_mask(path).array, np.random.default_rng(seed)
    shifted = np.roll(reference, rng.integers(-1, 2, 3), (0, 1, 2)).astype(np.float32)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, reference.shape).astype(np.float32), 1.5)
    near = ndimage.binary_dilation(reference, iterations=10)
    score = ndimage.gaussian_filter(shifted, 0.8) + 1.2 * noise * near
    probability = (np.clip(np.round(score * 4096), 0, 4096) / 4096).astype(np.float32)
    return reference, probability > 0.5, probability


def time_parts(parts: dict[str, Callable[..., Numbers]], case: Arrays, repeats: int, seconds: dict[str, float]) -> Numbers:
    """Run each part `repeats` times, add its median to `seconds`, and return all numbers."""
    numbers: Numbers = {}
    for name, part in parts.items():
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            found = part(*case)
            times.append(time.perf_counter() - start)
        seconds[name] += statistics.median(times)
        numbers |= found
    return numbers


def show(seconds: dict[str, dict[str, float]], cases: int) -> None:
    """Print the table; the peers' whole is the sum of their parts."""
    parts = list(OURS)
    for tool in ("MedPy", "MONAI"):
        seconds[tool]["all"] = sum(seconds[tool][name] for name in parts)
    fastest = sum(min(seconds[tool][name] for tool in ("MedPy", "MONAI")) for name in parts)
    print(f"{cases} cases, seconds\n\n| part | {' | '.join(seconds)} |\n|---|{'---:|' * len(seconds)}")
    for name in (*parts, "all"):
        print(f"| {name} | " + " | ".join(f"{values[name]:.1f}" for values in seconds.values()) + " |")
    print(f"\nall, beside the faster peer of each part ({fastest:.1f} s): {seconds['synergynet_tf']['all'] / fastest:.3f}")


def whole(reference: np.ndarray, prediction: np.ndarray, probability: np.ndarray) -> Numbers:
    return {"dsc": score_case(reference, prediction, probability, spacing=SPACING).dsc}


def our_voxels(reference: np.ndarray, prediction: np.ndarray, _: np.ndarray) -> Numbers:
    return {"dsc": voxel.dice(reference, prediction), "sn": voxel.sensitivity(reference, prediction),
            "ppv": voxel.positive_predictive_value(reference, prediction),
            "avd": voxel.absolute_volume_difference(reference, prediction)}


def our_surfaces(reference: np.ndarray, prediction: np.ndarray, _: np.ndarray) -> Numbers:
    return surface.surface_distances(reference, prediction, SPACING)._asdict()


def our_lesions(reference: np.ndarray, prediction: np.ndarray, _: np.ndarray) -> Numbers:
    match = lesion.match_lesions(reference, prediction, SPACING)
    numbers = {"ltpr": match.counts.ltpr, "lfpr": match.counts.lfpr}
    for low, high in lesion.SIZE_CLASSES:
        numbers[f"ltpr {low}"] = match.of_size(low, high).counts.ltpr
    return numbers


def our_precision(reference: np.ndarray, _: np.ndarray, probability: np.ndarray) -> Numbers:
    return {"ap": average_precision(reference, probability)}


def medpy_voxels(reference: np.ndarray, prediction: np.ndarray, _: np.ndarray) -> Numbers:
    from medpy.metric import binary

    reference, prediction = cut(reference, prediction)
    return {"dsc": binary.dc(prediction, reference), "sn": binary.recall(prediction, reference),
            "ppv": binary.precision(prediction, reference), "avd": abs(binary.ravd(prediction, reference))}


def medpy_surfaces(reference: np.ndarray, prediction: np.ndarray, _: np.ndarray) -> Numbers:
    from medpy.metric import binary

    reference, prediction = cut(reference, prediction)
    return {"hd95": binary.hd95(prediction, reference, SPACING), "assd": binary.assd(prediction, reference, SPACING)}


def monai_voxels(reference: np.ndarray, prediction: np.ndarray, _: np.ndarray) -> Numbers:
    import torch
    from monai.metrics import get_confusion_matrix

    predicted, truth = (torch.from_numpy(mask)[None, None] for mask in cut(prediction, reference))
    tp, fp, _, fn = get_confusion_matrix(predicted.float(), truth.float())[0, 0].tolist()
    return {"dsc": 2 * tp / (2 * tp + fp + fn), "sn": tp / (tp + fn), "ppv": tp / (tp + fp), "avd": abs(fp - fn) / (tp + fn)}


def monai_surfaces(reference: np.ndarray, prediction: np.ndarray, _: np.ndarray) -> Numbers:
    import torch
    from monai.metrics.utils import get_edge_surface_distance

    predicted, truth = (torch.from_numpy(mask) for mask in (prediction, reference))     # MONAI cuts them itself
    _, distances, _ = get_edge_surface_distance(predicted, truth, spacing=SPACING, symmetric=True)
    pooled = torch.cat(list(distances)).numpy()
    return {"hd95": float(np.percentile(pooled, 95)), "assd": float(pooled.mean(dtype=np.float64))}


def scipy_lesions(reference: np.ndarray, prediction: np.ndarray, _: np.ndarray) -> Numbers:
    from scipy import ndimage

    reference, prediction = cut(reference, prediction)
    structure = ndimage.generate_binary_structure(3, 2)
    labels, n = ndimage.label(reference, structure)
    predicted, m = ndimage.label(prediction, structure)
    met = np.isin(np.arange(1, n + 1), labels[prediction])
    sizes = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    numbers = {"ltpr": met.mean(), "lfpr": 1 - np.isin(np.arange(1, m + 1), predicted[reference]).mean()}
    for low, high in lesion.SIZE_CLASSES:
        inside = (sizes >= low) & (sizes < high)
        numbers[f"ltpr {low}"] = met[inside].mean() if inside.any() else np.nan
    return numbers


def sklearn_precision(reference: np.ndarray, _: np.ndarray, probability: np.ndarray) -> Numbers:
    from sklearn.metrics import average_precision_score

    return {"ap": average_precision_score(reference.ravel(), probability.ravel())}


def cut(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both masks within the box that holds all of both."""
    box = lesion.bounding_box(first | second)
    return first[box], second[box]


OURS = {"voxels": our_voxels, "surfaces": our_surfaces, "lesions": our_lesions, "average precision": our_precision}
MEDPY = {"voxels": medpy_voxels, "surfaces": medpy_surfaces, "lesions": scipy_lesions, "average precision": sklearn_precision}
MONAI = {"voxels": monai_voxels, "surfaces": monai_surfaces, "lesions": scipy_lesions, "average precision": sklearn_precision}

if __name__ == "__main__":
    main()
