"""SynergyNet in PyTorch, with the same parameters under the same names, for one volume at a time.

As its U-Net (torch_unet.py) it sees everything mirrored, boxes too: kernels, dense layers and the offsets of boxes are turned
round when the weights are taken over, and anchors lie as they did. It is spared what a training step of ours does beside the
network: the lesions that anchors and RoIs stand for are handed to it.
"""
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import torch_ops
from benchmarks.torch_unet import MIRROR, NAMES, Decoder, Encoder, GlobalHead, dice_loss
from synergynet_tf.config import Config, DetectorConfig

DECODER_STRIDES = (2, 4, 8)         # of d1, d2, d3
MAX_LOG_RATIO = 5.0         # as ops/boxes.py

Tensor = torch.Tensor


class Goal(NamedTuple):
    """What the detector is trained towards: fields of models/targets.RPNTargets and RoITargets; only valid rows."""

    objectness: Tensor      # bool [N]
    counted: Tensor         # bool [N], the anchors that take part
    anchors: Tensor         # int64 [M], the positive ones
    anchor_deltas: Tensor   # float32 [M, 6]
    rois: Tensor            # float32 [R, 6]
    positive: Tensor        # bool [R]
    roi_deltas: Tensor      # float32 [R, 6]


class RPNHead(nn.Module):
    """d1 [1, C, X, Y, Z] -> objectness [N] in the rows of ops/anchors.py, and cells [N / A, width] for `deltas_at`."""

    def __init__(self, inputs: int, config: DetectorConfig):
        super().__init__()
        self.count, width, stride = len(config.anchor_sizes), config.rpn_width, config.stride // DECODER_STRIDES[0]
        self.shared = nn.Conv3d(inputs, width, 3, stride, padding=1)
        self.objectness, self.deltas = nn.Conv3d(width, self.count, 1), nn.Linear(width, 6 * self.count)

    def forward(self, d1: Tensor) -> tuple[Tensor, Tensor]:
        cells = functional.relu(self.shared(d1), inplace=True)
        return self.objectness(cells)[0].permute(1, 2, 3, 0).flatten(), cells[0].permute(1, 2, 3, 0).flatten(0, 2)

    def deltas_at(self, cells: Tensor, rows: Tensor) -> Tensor:
        """Of the anchors in these rows: [K, 6]."""
        every = self.deltas(cells[rows // self.count]).reshape(-1, self.count, 6)
        return every[torch.arange(len(rows), device=rows.device), rows % self.count].float()


class BoxHead(nn.Module):
    """crops [R, C, s, s, s] -> logits [R], deltas [R, 6]."""

    def __init__(self, inputs: int, config: DetectorConfig):
        super().__init__()
        width, self.cells = config.box_width // 4, -(-config.roi_size // 2)
        self.conv0, self.conv1 = nn.Conv3d(inputs, width, 3, padding=1), nn.Conv3d(width, width, 3, 2, padding=1)
        self.dense = nn.Linear(width * self.cells ** 3, config.box_width)
        self.logits, self.deltas = nn.Linear(config.box_width, 1), nn.Linear(config.box_width, 6)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.relu(self.conv1(functional.relu(self.conv0(crops), inplace=True)), inplace=True)
        x = functional.relu(self.dense(x.flatten(1)), inplace=True)
        return self.logits(x)[:, 0].float(), self.deltas(x).float()


class MaskHead(nn.Module):
    """Crops of the three projections added, [K, width, S, S, S] -> logits [K, 1, S, S, S]."""

    def __init__(self, width: int):
        super().__init__()
        self.conv0, self.conv1 = nn.Conv3d(width, width, 3, padding=1), nn.Conv3d(width, width, 3, padding=1)
        self.logits = nn.Conv3d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x, inplace=True)
        for conv in (self.conv0, self.conv1):
            x = functional.relu(conv(x), inplace=True)
        return self.logits(x).float()


class SynergyNet(nn.Module):
    """Both branches; `norm` as in torch_unet."""

    def __init__(self, config: Config, norm: str):
        super().__init__()
        self.config, (_, *widths) = config, config.unet.widths
        detector, mask = config.detector, config.mask
        self.encoder, self.decoder = Encoder(len(config.data.channels), norm), Decoder(norm)
        self.global_head, self.rpn, self.box_head = GlobalHead(norm), RPNHead(widths[0], detector), BoxHead(widths[0], detector)
        self.mask_projections = nn.ModuleDict({f"d{i + 1}": nn.Conv3d(width, mask.width, 1, bias=False)
                                               for i, width in enumerate(widths)})
        self.mask_head = MaskHead(mask.width)

    def loss(self, image: Tensor, lesions: Tensor, goal: Goal) -> Tensor:
        """Stage 4's total of eq. 2, for one patch [1, C, X, Y, Z] and its lesions [1, 1, X, Y, Z], 0 or 1."""
        config, weights, shape = self.config, self.config.loss, image.shape[2:]
        e0, *maps = self._maps(image)
        objectness, cells = self.rpn(maps[0])
        deltas = self.rpn.deltas_at(cells, goal.anchors)
        total = weights.alpha1 * _focal(objectness.float()[goal.counted], goal.objectness[goal.counted], weights.focal_beta)
        total = total + weights.alpha2 * _box_loss(deltas, goal.anchor_deltas)
        logits, deltas = self._refine(maps[0], goal.rois)
        total = total + weights.alpha3 * functional.binary_cross_entropy_with_logits(logits, goal.positive.float())
        total = total + weights.alpha4 * _box_loss(deltas[goal.positive], goal.roi_deltas[goal.positive])
        with torch.no_grad():
            sampled = _scale(_decode(deltas, goal.rois)[goal.positive][:config.mask.rois], config.mask.context)
            masks = _crop(lesions, sampled, config.mask.size, 1)
            proposals = self._propose(objectness, cells, shape, config.detector.train_nms_iou)
            detected = self._detect(proposals, *self._refine(maps[0], proposals), shape, config.detector.train_detections)
            spoken = _scale(detected, config.mask.context)
        patches = self._patches(maps, torch.cat([sampled, spoken]))
        fused = self._fuse(self.global_head(maps[0], e0).float(), patches[len(sampled):], spoken)
        total = total + weights.alpha5 * dice_loss(patches[:len(sampled)], masks)
        return total + weights.alpha6 * dice_loss(fused, lesions)

    def forward(self, image: Tensor, most: int) -> Tensor:
        """Fused logits [1, 1, X, Y, Z] with at most `most` detections."""
        config, shape = self.config, image.shape[2:]
        e0, *maps = self._maps(image)
        proposals = self._propose(*self.rpn(maps[0]), shape, config.detector.infer_nms_iou)
        detected = self._detect(proposals, *self._refine(maps[0], proposals), shape, config.detector.max_detections)[:most]
        spoken = _scale(detected, config.mask.context)
        return self._fuse(self.global_head(maps[0], e0).float(), self._patches(maps, spoken), spoken)

    def _maps(self, image: Tensor) -> list[Tensor]:
        """e0, d1, d2, d3."""
        e0, e1, e2, e3 = self.encoder(image)
        d2 = self.decoder.d2(e3, e2)
        return [e0, self.decoder.d1(d2, e1), d2, e3]

    def _propose(self, objectness: Tensor, cells: Tensor, shape: torch.Size, iou: float) -> Tensor:
        config = self.config.detector
        scores, rows = objectness.float().topk(min(config.pre_nms, len(objectness)))
        reference = _anchors(rows, [n // config.stride for n in shape], config)
        decoded = _clip(_decode(self.rpn.deltas_at(cells, rows), reference), shape)
        return decoded[_suppress(decoded, scores, _at_least_a_voxel(decoded), iou, config.proposals)]

    def _refine(self, d1: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        return self.box_head(_crop(d1, rois, self.config.detector.roi_size, DECODER_STRIDES[0]))

    def _detect(self, proposals: Tensor, logits: Tensor, deltas: Tensor, shape: torch.Size, most: int) -> Tensor:
        config, refined, scores = self.config.detector, _clip(_decode(deltas, proposals), shape), logits.sigmoid()
        confident = (scores >= config.score_threshold) & _at_least_a_voxel(refined)
        return refined[_suppress(refined, scores, confident, config.final_nms_iou, most)]

    def _patches(self, maps: list[Tensor], boxes: Tensor) -> Tensor:
        cells = self.config.mask.size
        projected = [project(level) for project, level in zip(self.mask_projections.values(), maps)]
        return self.mask_head(sum(_crop(level, boxes, cells, stride) for level, stride in zip(projected, DECODER_STRIDES)))

    def _fuse(self, logits: Tensor, patches: Tensor, boxes: Tensor) -> Tensor:
        """Eq. 1."""
        mean, count = torch_ops.paste(patches, boxes, logits.shape[2:])
        gamma = self.config.fusion.gamma
        return torch.where(count > 0, gamma * mean + (1 - gamma) * logits, logits)


def from_keras(weights: Mapping[str, np.ndarray], config: Config, norm: str) -> SynergyNet:
    """The twin of our network, its weights given by the paths of their variables.

    Raises RuntimeError where names or shapes are not the twin's own.
    """
    model, state = SynergyNet(config, norm), {}
    for path, value in weights.items():
        *parts, kind = path.split("/")
        tensor = torch.from_numpy(value)
        if parts == ["rpn", "deltas"]:      # a convolution of side 1 there
            tensor = tensor.reshape(-1, tensor.shape[-1])
            tensor = tensor if kind == "kernel" else tensor[0]
        elif tensor.ndim == 5:              # [x, y, z, in, out] -> [out, in, x, y, z]
            tensor = tensor.permute(4, 3, 0, 1, 2).flip(MIRROR)
        elif parts == ["box_head", "dense"] and kind == "kernel":
            cells = (model.box_head.cells,) * 3
            tensor = tensor.reshape(*cells, -1, tensor.shape[1]).flip(0, 1, 2).permute(3, 0, 1, 2, 4).flatten(0, 3)
        if parts[-1] == "deltas":
            tensor = (tensor.unflatten(-1, (-1, 6)) * torch.tensor([-1.0] * 3 + [1.0] * 3)).flatten(-2)
        if kind == "kernel" and tensor.ndim == 2:
            tensor = tensor.T
        state[".".join([*parts, NAMES[kind]])] = tensor
    model.load_state_dict(state)
    return model


def mirrored_boxes(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Boxes [K, 6] in the mirrored volume."""
    return np.concatenate([shape - boxes[:, 3:], shape - boxes[:, :3]], 1).astype(np.float32)


def mirrored_deltas(deltas: np.ndarray) -> np.ndarray:
    """Of mirrored boxes [K, 6]."""
    return deltas * np.float32([-1] * 3 + [1] * 3)


def mirrored_rows(rows: np.ndarray, grid: tuple[int, ...], sizes: int) -> np.ndarray:
    """Rows of anchors in the mirrored volume."""
    *cell, size = np.unravel_index(rows, (*grid, sizes))
    return np.ravel_multi_index([*(n - 1 - c for n, c in zip(grid, cell)), size], (*grid, sizes))


def _anchors(rows: Tensor, grid: list[int], config: DetectorConfig) -> Tensor:
    count = len(config.anchor_sizes)
    cell, half = rows // count, torch.tensor(config.anchor_sizes, device=rows.device)[rows % count, None] / 2
    place = torch.stack([cell // (grid[1] * grid[2]), cell // grid[2] % grid[1], cell % grid[2]], 1)
    centre = (place + 0.5) * config.stride
    return torch.cat([centre - half, centre + half], 1)


def _decode(deltas: Tensor, reference: Tensor) -> Tensor:
    side = reference[:, 3:] - reference[:, :3]
    centre = (reference[:, :3] + reference[:, 3:]) / 2 + deltas[:, :3] * side
    half = deltas[:, 3:].clamp(max=MAX_LOG_RATIO).exp() * side / 2
    return torch.cat([centre - half, centre + half], 1)


def _scale(boxes: Tensor, factor: float) -> Tensor:
    centre, half = (boxes[:, :3] + boxes[:, 3:]) / 2, factor * (boxes[:, 3:] - boxes[:, :3]) / 2
    return torch.cat([centre - half, centre + half], 1)


def _clip(boxes: Tensor, shape: torch.Size) -> Tensor:
    return torch.minimum(boxes.clamp(min=0), torch.tensor([*shape, *shape], device=boxes.device))


def _at_least_a_voxel(boxes: Tensor) -> Tensor:
    return (boxes[:, 3:] - boxes[:, :3] >= 1).all(1)


def _suppress(boxes: Tensor, scores: Tensor, valid: Tensor, iou: float, most: int) -> Tensor:
    """Indices of the boxes that greedy suppression keeps, best first: what frees what settles in a few rounds over one matrix."""
    order = scores.masked_fill(~valid, -torch.inf).argsort(descending=True, stable=True)
    ordered, free = boxes[order], valid[order]
    low, high = ordered[:, :3], ordered[:, 3:]
    sides = torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)
    shared, volume = sides.clamp(min=0).prod(-1), (high - low).prod(-1)
    overlaps = (shared > iou * (volume[:, None] + volume - shared)).triu(1)
    keep, after = free, free & ~(overlaps & free[:, None]).any(0)
    while not torch.equal(keep, after):
        keep, after = after, free & ~(overlaps & after[:, None]).any(0)
    return order[keep][:most]


def _crop(level: Tensor, boxes: Tensor, cells: int, stride: int) -> Tensor:
    """As ops/crop.py: 0 where a cell's centre lies beyond those of the outermost features."""
    return torch_ops.crop(level, boxes, cells, rows=1, stride=stride, fade=False)


def _focal(logits: Tensor, truth: Tensor, beta: float) -> Tensor:
    margin = torch.where(truth, logits, -logits)
    values = torch.exp(-beta * functional.softplus(margin)) * functional.softplus(-margin)
    return values.sum() / truth.sum().clamp(min=1)


def _box_loss(made: Tensor, wanted: Tensor) -> Tensor:
    return functional.smooth_l1_loss(made, wanted, reduction="sum") / max(len(made), 1)
