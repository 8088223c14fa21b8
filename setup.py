"""Which packages there are; pyproject.toml has the rest. `tuning` and `export` lie at the top of the repository and are installed
inside synergynet_tf."""
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

setup(version=VERSION, packages=packages, package_dir=package_dir,
      package_data={"synergynet_tf": ["py.typed", "config/presets/*.yaml", "report/templates/*", "weights/*.*"],
                    "synergynet_tf.export": ["templates/*"]})
