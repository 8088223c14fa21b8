"""SynergyNet: multiple-sclerosis lesion segmentation in 3D FLAIR brain MRI, in TensorFlow/Keras.

    import synergynet_tf as sn

    network = sn.load("runs/mine")              # or sn.fit(sn.Config(...), "runs/mine")
    result = network.segment("flair.nii.gz")    # .mask, .probability, .lesions; result.save("masks")
    sn.score("lesions.nii.gz", result.mask_image())

What is named here is imported when it is first asked for: this import takes no TensorFlow.
"""
import importlib
import json
import os
import platform
import sys

__version__ = "0.1.0"

# Convolutions by oneDNN. TensorFlow takes them by itself only where the processor has instructions for neural networks (AVX-512
# VNNI and later); on others a training step takes five times as long without them, and nearly three times the memory. TensorFlow
# reads this as it is imported: import synergynet_tf before it.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# Keras, too, reads its settings as it is imported: the backend from the environment, the rest from a file. The networks here are
# of one setting; whose file has another is not asked for it. Where Keras is imported already, `startup.require_keras` looks.
KERAS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


def _fits(folder: str) -> bool:
    """Whether Keras's file in a folder has the settings of `KERAS`, or there is none."""
    try:
        with open(os.path.join(folder, "keras.json"), encoding="utf-8") as file:
            settings = json.load(file)
        return isinstance(settings, dict) and all(
            type(settings.get(name, value)) is type(value) and settings.get(name, value) == value
                                               for name, value in KERAS.items())
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False


if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if not all(_fits(os.path.expanduser(folder)) for folder in (os.environ.get("KERAS_HOME", "~/.keras"), "/tmp/.keras")):
        os.environ["KERAS_HOME"] = os.devnull       # a folder without any file: Keras has its own settings then

_LIBRARY = {"Config": "config", "Network": "workflows.library", "Segmented": "workflows.library", "load": "workflows.library",
            "segment": "workflows.library", "fit": "workflows.library", "score": "workflows.library"}
__all__ = ["__version__", *_LIBRARY]


def __getattr__(name: str) -> object:
    if name in _LIBRARY:
        return getattr(importlib.import_module(f"{__name__}.{_LIBRARY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LIBRARY})
