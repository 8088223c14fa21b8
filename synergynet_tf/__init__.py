"""SynergyNet: multiple-sclerosis lesion segmentation in 3D FLAIR brain MRI, in TensorFlow/Keras."""
import os
import platform

__version__ = "0.1.0"

# Convolutions by oneDNN. TensorFlow takes them by itself only where the processor has instructions for neural networks (AVX-512
# VNNI and later); on others a training step takes five times as long without them, and nearly three times the memory. TensorFlow
# reads this as it is imported: import synergynet_tf before it.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
