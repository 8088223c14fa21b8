"""Crops and pastes by PyTorch's grid_sample, compared with ours and then timed.

Its kernel for volumes works on as many rows of a batch at a time as there are cores, and its gradient is one volume a row. So
the boxes are dealt out over as many rows as there are cores, all of the same volume, which is not copied.
"""
import functools
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from benchmarks import ops

Tensor = torch.Tensor


def jobs(given: dict[str, np.ndarray], cores: int, kept: torch.memory_format,
         compare: Callable[[str, Tensor, Tensor], None]) -> dict[str, Callable]:
    """The crops and pastes of `ops.examples`, each forward and with its gradient, out of a map in the memory format `kept`.

    Raises as `compare` where results differ.
    """
    arrays = {name: torch.from_numpy(value) for name, value in given.items()}
    made: dict[str, Callable] = {}
    for cells in ops.CROPS:
        name = f"crop{cells}"
        run = functools.partial(crop, boxes=arrays[f"boxes{cells}"], cells=cells, rows=cores)
        level = arrays["map"].permute(0, 4, 1, 2, 3).contiguous(memory_format=kept)
        made[name], made[f"{name} backward"] = functools.partial(_forward, run, level), functools.partial(_backward, run, level)
        compare(name, made[name]().permute(0, 2, 3, 4, 1), arrays[name])
        compare(f"{name} gradient", made[f"{name} backward"]().permute(0, 2, 3, 4, 1), arrays[f"{name} gradient"])
    patches = arrays["patches"].permute(0, 4, 1, 2, 3).contiguous()

    def run(patches: Tensor) -> Tensor:
        return paste(patches, arrays[f"boxes{ops.PATCH}"], ops.VOLUME)[0]

    made["paste"], made["paste backward"] = functools.partial(_forward, run, patches), functools.partial(_backward, run, patches)
    compare("paste", made["paste"]()[None, ..., None], arrays["paste"])
    compare("paste gradient", made["paste backward"]().permute(0, 2, 3, 4, 1), arrays["paste gradient"])
    return made


def crop(level: Tensor, boxes: Tensor, cells: int, rows: int, stride: int = ops.STRIDE, fade: bool = True) -> Tensor:
    """level [1, C, X, Y, Z], boxes [N, 6] in voxels -> [N, C, s, s, s], N a multiple of `rows`.

    Beyond the centres of the outermost features the level fades to 0, or without `fade` is 0, as in ops/crop.py.
    """
    sides = torch.tensor(level.shape[2:], device=level.device)
    centre = (torch.arange(cells, device=level.device) + 0.5) / cells
    place = (boxes[:, :3, None] + (boxes[:, 3:] - boxes[:, :3])[..., None] * centre) / stride             # [N, 3, s]
    place = 2 * place / sides[:, None] - 1
    grid = _lattice(place).reshape(rows, -1, cells, cells, 3)
    crops = functional.grid_sample(level.expand(rows, -1, -1, -1, -1), grid, align_corners=False)
    crops = crops.reshape(rows, level.shape[1], -1, cells, cells, cells).transpose(1, 2).flatten(0, 1)
    return crops if fade else crops * _all_three(place.abs() <= 1 - 1 / sides[:, None])[:, None]


def paste(patches: Tensor, boxes: Tensor, volume: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """patches [N, 1, s, s, s], boxes [N, 6] in voxels -> their mean over each voxel [X, Y, Z], or 0, and their number.

    The window is the largest box, not a fixed one: its size need not be known before the run here.
    """
    low, high = boxes[:, :3], boxes[:, 3:]
    window = int(torch.ceil((high - low).max())) + 1
    sides = torch.tensor(volume, device=boxes.device)
    first = torch.minimum(torch.ceil(low - 0.5).long().clamp(min=0), sides - window)
    voxel = first[..., None] + torch.arange(window, device=boxes.device)                                    # [N, 3, W]
    inside = (voxel + 0.5 >= low[..., None]) & (voxel + 0.5 < high[..., None])
    place = 2 * (voxel + 0.5 - low[..., None]) / (high - low)[..., None] - 1
    values = functional.grid_sample(patches, _lattice(place), padding_mode="border", align_corners=False)[:, 0]
    x, y, z = voxel.unbind(1)
    rows = (x[:, :, None, None] * sides[1] + y[:, None, :, None]) * sides[2] + z[:, None, None, :]
    held = _all_three(inside)
    rows, values = rows[held], values[held]
    empty = torch.zeros(volume, device=boxes.device).flatten()
    total, count = empty.index_add(0, rows, values), empty.index_add(0, rows, torch.ones_like(values))
    return (total / count.clamp(min=1)).reshape(volume), count.reshape(volume)


def _all_three(inside: Tensor) -> Tensor:
    """bool [N, 3, s] along x, y, z -> [N, s, s, s], where all three hold."""
    x, y, z = inside.unbind(1)
    return x[:, :, None, None] & y[:, None, :, None] & z[:, None, None, :]


def _lattice(place: Tensor) -> Tensor:
    """Places along x, y, z [N, 3, s] -> grid_sample's grid [N, s, s, s, 3], which names the last axis first."""
    x, y, z = place.unbind(1)
    shape = (len(x), x.shape[1], y.shape[1], z.shape[1])
    x, y, z = x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]
    return torch.stack([axis.expand(shape) for axis in (z, y, x)], -1)


def _forward(run: Callable, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return run(x)


def _backward(run: Callable, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(run(x).square().sum(), x)[0]
