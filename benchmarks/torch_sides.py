"""PyTorch's and MONAI's sides of benchmarks/speed.py, in an environment that has them (extra `[bench]`).

Each first proves itself: the U-Net has the weights of ours and must give the same logits, crops and pastes must be the same, or
the process ends with an error. Two manners are timed. `eager` is as people write it; `compiled` is the best known to us:
torch.compile, channels_last_3d, inference_mode, the fused Adam, and batch norm in the place of instance norm, which for one image
is the same and several times as fast.
"""
import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import scenes, worker

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-4
NNUNET_PATCH, NNUNET_WIDTHS = (128, 128, 128), (32, 64, 128, 256, 320, 320)

Jobs = dict[str, Callable[[], object]]


def main() -> None:
    """Entry point: serve one side."""
    own = _arguments()
    worker.pin(*own.cores)
    import torch

    torch.set_num_threads(len(own.cores))
    torch.manual_seed(0)
    before = worker.memory("VmRSS")
    worker.serve(SIDES[own.side](own), before=before)


def unet_step(compiled: bool, channels_last: bool) -> Callable[..., Jobs]:
    """Forward, loss, backward, Adam."""
    def side(own: argparse.Namespace) -> Jobs:
        import torch

        from benchmarks.torch_unet import dice_loss

        model = _twin(own, compiled, channels_last)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=compiled)
        image, size = _image(own.size, channels_last), tuple(own.size)
        target = torch.from_numpy((scenes.lesions(size, own.lesions) > 0).astype(np.float32))[None, None]

        def loss(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return dice_loss(model(image), target)

        measured = torch.compile(loss) if compiled else loss

        def step() -> float:
            optimizer.zero_grad(set_to_none=True)
            value = measured(image, target)
            value.backward()
            optimizer.step()
            return value.item()

        return {"run": step}

    return side


def unet_forward(compiled: bool, channels_last: bool) -> Callable[..., Jobs]:
    """One pass over a patch."""
    def side(own: argparse.Namespace) -> Jobs:
        network, image = _network(own, compiled, channels_last), _image(own.size, channels_last)
        return {"run": lambda: network(image)}

    return side


def unet_scan(compiled: bool, channels_last: bool) -> Callable[..., Jobs]:
    """A whole scan to its mask by MONAI's sliding windows."""
    def side(own: argparse.Namespace) -> Jobs:
        from monai.inferers import SlidingWindowInferer

        infer = SlidingWindowInferer(tuple(own.size), sw_batch_size=1, overlap=0.5, mode="gaussian")
        network, image = _network(own, compiled, channels_last), _image(own.scan, channels_last)
        return {"run": _quiet(compiled)(lambda: (infer(image, network) > 0).numpy())}

    return side


def nnunet_window(own: argparse.Namespace) -> Jobs:
    """One window of a network like nnU-Net's 3d_fullres at its default patch, eager as nnU-Net runs it on a processor."""
    import torch
    from monai.networks.nets import DynUNet

    levels = len(NNUNET_WIDTHS)
    network = DynUNet(3, 2, 2, [3] * levels, [1] + [2] * (levels - 1), [2] * (levels - 1), NNUNET_WIDTHS,
                      norm_name=("INSTANCE", {"affine": True})).eval()
    image = _image(NNUNET_PATCH, False)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return network(image)

    return {"run": run}


def _network(own: argparse.Namespace, compiled: bool, channels_last: bool) -> Callable:
    import torch

    model = _twin(own, compiled, channels_last).eval()
    return _quiet(compiled)(torch.compile(model) if compiled else model)


def _quiet(compiled: bool) -> Callable[[Callable], Callable]:
    """What keeps a function from remembering for a gradient."""
    import torch

    return torch.inference_mode() if compiled else torch.no_grad()


def _twin(own: argparse.Namespace, compiled: bool, channels_last: bool) -> "torch.nn.Module":
    """Our U-Net with our weights; RuntimeError if it is not the same function."""
    import torch

    from benchmarks import torch_unet

    with np.load(own.folder / "unet.npz") as file:
        weights = {name: file[name] for name in file.files}
    image, logits = torch_unet.mirrored(weights.pop("image")), torch_unet.mirrored(weights.pop("logits"))
    model = torch_unet.from_keras(weights, "batch" if compiled else "instance")
    model = model.to(memory_format=_format(channels_last))
    counts = sum(value.size for value in weights.values()), sum(value.numel() for value in model.parameters())
    if counts[0] != counts[1]:
        raise RuntimeError(f"our U-Net has {counts[0]} parameters, the twin has {counts[1]}")
    with torch.no_grad():
        compare("logits", model(image.to(memory_format=_format(channels_last))), logits)
    return model


def compare(name: str, made: "torch.Tensor", wanted: "torch.Tensor") -> None:
    """RuntimeError where two tensors differ by more than TOLERANCE of the largest value."""
    error = float((made - wanted).abs().max() / wanted.abs().max().clamp(min=1))
    if not error <= TOLERANCE:
        raise RuntimeError(f"{name}: the twin differs by {error:.1e}, but at most {TOLERANCE:.0e} is the same")
    print(f"{name}: the twin differs by {error:.1e}", file=sys.stderr)


def _format(channels_last: bool) -> "torch.memory_format":
    import torch

    return torch.channels_last_3d if channels_last else torch.contiguous_format


def _image(size: tuple[int, int, int], channels_last: bool, channels: int = 2) -> "torch.Tensor":
    import torch

    image = np.moveaxis(scenes.image(tuple(size), channels), -1, 1)
    return torch.from_numpy(np.ascontiguousarray(image)).to(memory_format=_format(channels_last))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=sorted(SIDES))
    parser.add_argument("--cores", type=int, nargs="+", required=True)
    parser.add_argument("--size", type=int, nargs=3, required=True, help="of a patch")
    parser.add_argument("--scan", type=int, nargs=3, required=True, help="of a brain's box")
    parser.add_argument("--lesions", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="of unet.npz and ops.npz")
    return parser.parse_args()


def operations(channels_last: bool) -> Callable[..., Jobs]:
    """Crop and paste."""
    def side(own: argparse.Namespace) -> Jobs:
        from benchmarks import torch_ops

        with np.load(own.folder / "ops.npz") as file:
            given = {name: file[name] for name in file.files}
        return torch_ops.jobs(given, len(own.cores), _format(channels_last), compare)

    return side


MANNERS = {"eager": (False, False), "eager-last": (False, True), "compiled": (True, True)}      # compiled, channels last
SIDES = {f"{what}-{manner}": make(*how) for manner, how in MANNERS.items()
         for what, make in (("step", unet_step), ("forward", unet_forward), ("scan", unet_scan))}
SIDES |= {"nnunet-window": nnunet_window, "ops": operations(False), "ops-last": operations(True)}

if __name__ == "__main__":
    sys.exit(main())
