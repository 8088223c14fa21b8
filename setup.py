"""Packaging. `tuning` and `export` lie at the top of the repository and are installed inside synergynet_tf."""
import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "synergynet_tf/__init__.py").read_text(encoding="utf-8")).group(1)
NESTED = {name: f"synergynet_tf.{name}" for name in ("tuning", "export")}

packages = find_packages(include=["synergynet_tf", "synergynet_tf.*"])
package_dir = {}
for folder, installed in NESTED.items():
    inside = find_packages(where=folder)
    packages += [installed, *(f"{installed}.{name}" for name in inside)]
    package_dir[installed] = folder

setup(
    name="synergynet-tf",
    version=VERSION,
    description="SynergyNet: multiple-sclerosis lesion segmentation in 3D FLAIR brain MRI, in TensorFlow/Keras",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=packages,
    package_dir=package_dir,
    package_data={"synergynet_tf": ["presets/*.yaml", "report/templates/*"]},
    install_requires=[
        "tensorflow>=2.15,<2.22",
        "numpy", "scipy", "nibabel", "nilearn", "scikit-learn", "connected-components-3d",
        "keras-tuner", "jsonargparse[signatures]>=4.49", "rich", "matplotlib", "jinja2", "tensorboard",
    ],
    extras_require={
        "prepare": ["SimpleITK>=2.3,<3"],
        "deepbet": ["SimpleITK>=2.3,<3", "deepbet>=1.0,<2"],        # brings PyTorch
        "test": ["pytest", "pytest-xdist", "hypothesis", "medpy", "ruff"],
        "bench": ["torch==2.13.0", "monai>=1.6", "torchio>=1.2", "medpy"],       # what the benchmarks compare with
        "cluster": ["ray>=2.9,<3"],
        "serving": ["tensorflow-serving-api>=2.15,<2.22", "grpcio"],
    },
)
