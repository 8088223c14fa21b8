"""SynergyNet: multiple-sclerosis lesion segmentation in 3D FLAIR brain MRI, in TensorFlow/Keras."""
__version__ = "0.1.0"
