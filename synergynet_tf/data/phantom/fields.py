"""Smooth random fields and free-form maps: cubic B-splines on a coarse lattice, summed element by element.

No matrix product is used: its summation order may change with the number of threads, and a seed must give the same bytes.
"""
import numpy as np


def lattice_shape(shape: tuple[int, ...], spacing: float) -> tuple[int, ...]:
    """Number of lattice nodes per axis that a volume of `shape` voxels needs: node j lies at voxel (j - 1) * spacing."""
    return tuple(int((n - 1) // spacing) + 4 for n in shape)


def _weights(start: int, stop: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """First node, int [n], and the four cubic B-spline weights, float32 [4, n], of the voxels start..stop-1 of an axis."""
    u = np.arange(start, stop) / spacing
    first = np.floor(u).astype(np.intp)
    t = u - first
    w = np.stack([(1 - t) ** 3, 3 * t ** 3 - 6 * t ** 2 + 4, -3 * t ** 3 + 3 * t ** 2 + 3 * t + 1, t ** 3]) / 6
    return first, w.astype(np.float32)


def spline(nodes: np.ndarray, spacing: float, box: tuple[slice, ...]) -> np.ndarray:
    """Evaluate a cubic B-spline at the voxels of a box.

    nodes: float32 [A, B, C], values on the lattice; affine functions of the position are reproduced exactly.
    spacing: voxels between nodes. box: three slices with start and stop. Returns float32 of the box's shape.
    """
    result = np.asarray(nodes, np.float32)
    for axis in (2, 1, 0):      # the long copies come last, along the contiguous axes
        first, w = _weights(box[axis].start, box[axis].stop, spacing)
        shape = [1, 1, 1]
        shape[axis] = -1
        total = np.take(result, first, axis=axis) * w[0].reshape(shape)
        for k in (1, 2, 3):
            term = np.take(result, first + k, axis=axis)
            term *= w[k].reshape(shape)
            total += term
        result = total
    return result


def enlarge(coarse: np.ndarray, factor: int, shape: tuple[int, ...]) -> np.ndarray:
    """A map sampled at every `factor`-th voxel (`volume[::factor, ...]`), smoothly brought back to `shape`; float32."""
    return spline(np.pad(coarse, ((1, 3),) * 3, mode="edge"), factor, tuple(slice(0, n) for n in shape))


def random_field(rng: np.random.Generator, shape: tuple[int, ...], spacing: float) -> np.ndarray:
    """A smooth Gaussian field, float32 of `shape`, mean 0 and about unit variance, correlated over about `spacing` voxels."""
    nodes = rng.standard_normal(lattice_shape(shape, spacing), dtype=np.float32)
    field = spline(nodes, spacing, tuple(slice(0, n) for n in shape))
    field *= np.float32(0.479 ** -1.5)      # a cubic B-spline keeps 151/315 of the variance along an axis, averaged over a cell
    return field
