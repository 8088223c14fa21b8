"""The residual U-Net of synergynet_tf/models/unet.py in PyTorch, with the same parameters under the same names.

It sees the mirrored image with mirrored kernels. A strided convolution over an even side pads behind in TensorFlow and in front
in PyTorch; mirrored, the two are the same network and neither pays for padding of its own.
"""
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

WIDTHS = (16, 32, 64, 128)
NAMES = {"kernel": "weight", "scale": "weight", "offset": "bias", "bias": "bias"}     # Keras -> PyTorch
MIRROR = (2, 3, 4)          # the spatial axes of an image as of a kernel


class Unit(nn.Module):
    """Convolution, normalisation and, if asked for, ReLU."""

    def __init__(self, inputs: int, width: int, norm: str, stride: int = 1, activation: bool = True):
        super().__init__()
        self.conv = nn.Conv3d(inputs, width, 3, stride, padding=1, bias=False)
        # of a batch of one the batch's statistics are the instance's
        self.norm = {"instance": lambda: nn.InstanceNorm3d(width, affine=True),
                     "batch": lambda: nn.BatchNorm3d(width, track_running_stats=False)}[norm]()
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x))
        return functional.relu(x, inplace=True) if self.activation else x


class Block(nn.Module):
    """Two units beside a shortcut."""

    def __init__(self, inputs: int, width: int, norm: str, stride: int = 1):
        super().__init__()
        self.unit0, self.unit1 = Unit(inputs, width, norm, stride), Unit(width, width, norm, activation=False)
        self.project = nn.Conv3d(inputs, width, stride, stride, bias=False) if stride > 1 or inputs != width else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.unit1(self.unit0(x)) + self.project(x), inplace=True)


class Join(Block):
    """A block of two maps, the coarse one brought to the width and every cell of it repeated 2x2x2."""

    def __init__(self, coarse: int, width: int, norm: str):
        super().__init__(2 * width, width, norm)
        self.up = nn.Conv3d(coarse, width, 1, bias=False)

    def forward(self, coarse: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        repeated = functional.interpolate(self.up(coarse), scale_factor=2, mode="nearest")
        return super().forward(torch.cat([repeated, skip], 1))


class Encoder(nn.Module):
    def __init__(self, channels: int, norm: str):
        super().__init__()
        for i, (inputs, width) in enumerate(zip((channels, *WIDTHS), WIDTHS)):
            self.add_module(f"e{i}", Block(inputs, width, norm, stride=2 if i else 1))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for block in self.children():
            x = block(x)
            maps.append(x)
        return maps


class Decoder(nn.Module):
    def __init__(self, norm: str):
        super().__init__()
        _, width1, width2, width3 = WIDTHS
        self.d2, self.d1 = Join(width3, width2, norm), Join(width2, width1, norm)

    def forward(self, e1: torch.Tensor, e2: torch.Tensor, e3: torch.Tensor) -> torch.Tensor:
        return self.d1(self.d2(e3, e2), e1)


class GlobalHead(nn.Module):
    def __init__(self, norm: str):
        super().__init__()
        width0, width1, *_ = WIDTHS
        self.d0 = Join(width1, width0, norm)
        self.logits = nn.Conv3d(width0, 1, 1)

    def forward(self, d1: torch.Tensor, e0: torch.Tensor) -> torch.Tensor:
        return self.logits(self.d0(d1, e0))


class UNet(nn.Module):
    """image [B, C, X, Y, Z] -> logits [B, 1, X, Y, Z]. `norm` is "instance" or "batch", which for one image is the same."""

    def __init__(self, channels: int, norm: str):
        super().__init__()
        self.encoder, self.decoder, self.global_head = Encoder(channels, norm), Decoder(norm), GlobalHead(norm)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        e0, *rest = self.encoder(image)
        return self.global_head(self.decoder(*rest), e0)


def dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """losses/segmentation.py of a batch of volumes."""
    probability, axes = torch.sigmoid(logits), (1, 2, 3, 4)
    total = (probability.square() + target.square()).sum(axes)
    return (1 - (2 * (probability * target).sum(axes) + 1e-6) / (total + 1e-6)).mean()


def from_keras(weights: Mapping[str, np.ndarray], norm: str) -> UNet:
    """The twin of a Keras U-Net.

    Args:
        weights: by the path of the Keras variable. Raises RuntimeError where names or shapes are not the twin's own.
    """
    state = {}
    for path, value in weights.items():
        *parts, kind = path.split("/")
        tensor = torch.from_numpy(value)
        if kind == "kernel":        # [x, y, z, in, out] -> [out, in, x, y, z]
            tensor = tensor.permute(4, 3, 0, 1, 2).flip(MIRROR)
        state[".".join([*parts, NAMES[kind]])] = tensor
    model = UNet(state["encoder.e0.unit0.conv.weight"].shape[1], norm)
    model.load_state_dict(state)
    return model


def mirrored(volume: np.ndarray) -> torch.Tensor:
    """[B, X, Y, Z, C] as this network has it: [B, C, X, Y, Z], mirrored."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(volume, -1, 1))).flip(MIRROR)
