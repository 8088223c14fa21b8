"""PyTorch's side of benchmarks/gpu.py: the twins of our networks on a GPU, in the manners of benchmarks/torch_sides.py."""
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import torch_unet
from benchmarks.torch_synergynet import Goal, from_keras, mirrored_boxes, mirrored_deltas, mirrored_rows
from benchmarks.torch_unet import mirrored
from synergynet_tf.config import Config

LOSS_TOLERANCE, LOGITS_TOLERANCE = 1e-3, 1e-3     # in full float32: a few proposals of equal scores may differ

torch.backends.cudnn.benchmark = True


class Twin:
    """A system's network in PyTorch, its task, and the jobs to be timed.

    Args:
        task: of benchmarks/gpu.py.
        manner: "eager", "eager-last" (channels last), or "compiled" (that too, and batch norm in the place of instance norm).

    Raises:
        RuntimeError: it is not the same function as ours.
    """

    def __init__(self, system: str, task: Any, manner: str):
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._format = torch.contiguous_format if manner == "eager" else torch.channels_last_3d
        self._config, norm = task.config, "batch" if manner == "compiled" else "instance"
        weights = _weights(task.variables)
        model = from_keras(weights, self._config, norm) if system == "synergynet" else torch_unet.from_keras(weights, norm)
        self._model = model.to(self._device, memory_format=self._format)
        self._patch, self._scan = (self._on_host(mirrored(image)) for image in (task.image, task.scan))
        lesions = (task.given["batch instances"] > 0).astype(np.float32)[..., None]
        self._lesions, self._most = self._on_host(mirrored(lesions)), int(task.given["detections"])
        self._goal = _goal(task.given, self._config, self._device) if system == "synergynet" else None
        self._prove(task)
        self._optimizer = torch.optim.Adam(self._model.parameters(), self._config.train.learning_rate, fused=manner == "compiled")
        if manner == "compiled":
            for part in self._parts():
                part.compile()

    def job(self, name: str) -> Callable[[], Any]:
        """A step, which returns its loss, or a scan, which takes its mask to the host and returns its logits for `on_host`."""
        if name == "scan":
            return self._segment
        return lambda: self._step(name == "step-bfloat16")

    def _step(self, bfloat16: bool) -> float:
        self._optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16):
            loss = self._loss()
        loss.backward()
        self._optimizer.step()
        return loss.item()

    def _loss(self) -> torch.Tensor:
        image, lesions = (self._to_device(one) for one in (self._patch, self._lesions))
        if self._goal is None:
            return self._config.loss.alpha6 * torch_unet.dice_loss(self._model(image).float(), lesions)
        return self._model.loss(image, lesions, self._goal)

    @torch.inference_mode()
    def _segment(self) -> torch.Tensor:
        image = self._to_device(self._scan)
        logits = (self._model(image) if self._goal is None else self._model(image, self._most))[0, 0]
        (logits.sigmoid() > self._config.infer.threshold).cpu()
        return logits

    def _prove(self, task: Any) -> None:
        _tf32(False)
        with torch.no_grad():
            errors = {"loss": task.error("step", self._loss()), "logits": task.error("scan", on_host(self._segment()))}
        if errors["loss"] > LOSS_TOLERANCE or errors["logits"] > LOGITS_TOLERANCE:
            raise RuntimeError(f"the twin differs: {errors}, but at most {LOSS_TOLERANCE}, {LOGITS_TOLERANCE} is the same")
        _tf32(True)

    def _parts(self) -> list[torch.nn.Module]:
        """What is compiled: all that has no shapes that depend on values."""
        model = self._model
        if self._goal is None:
            return [model]
        return [model.encoder, model.decoder.d2, model.decoder.d1, model.global_head, model.rpn, model.box_head, model.mask_head]

    def _on_host(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.contiguous(memory_format=self._format)
        return tensor.pin_memory() if self._device.type == "cuda" else tensor

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._device, non_blocking=True)


def on_host(logits: torch.Tensor) -> np.ndarray:
    """Logits of a mirrored scan as ours are: float32 [X, Y, Z]."""
    return logits.flip(0, 1, 2).cpu().numpy()


def _tf32(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed


def _weights(variables: Any) -> dict[str, np.ndarray]:
    """Of the network alone: the optimizer's variables come after it, and have names without its parts'."""
    parts = ("encoder", "decoder", "global_head", "rpn", "box_head", "mask_projections", "mask_head")
    with np.load(variables) as file:
        named = {name.split(" ", 1)[1]: value for name, value in file.items()}
    return {path: value for path, value in named.items() if path.split("/")[0] in parts}


def _goal(given: dict[str, np.ndarray], config: Config, device: torch.device) -> Goal:
    """Valid rows alone, mirrored."""
    instances, sizes = given["batch instances"][0], len(config.detector.anchor_sizes)
    grid = tuple(n // config.detector.stride for n in instances.shape)
    by_row = {name: np.flip(given[f"anchors {name}"].reshape(*grid, sizes), (0, 1, 2)).ravel()
              for name in ("objectness", "valid")}
    held, rois = given["anchors indices_valid"], given["rois valid"]
    values = Goal(by_row["objectness"] > 0, by_row["valid"],
                  mirrored_rows(given["anchors indices"][held], grid, sizes), mirrored_deltas(given["anchors deltas"][held]),
                  mirrored_boxes(given["rois boxes"][rois], instances.shape), given["rois positive"][rois],
                  mirrored_deltas(given["rois deltas"][rois]))
    return Goal(*(torch.from_numpy(np.ascontiguousarray(value)).to(device) for value in values))
