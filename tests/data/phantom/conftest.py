"""Patients shared by the phantom tests: making one takes seconds."""
import os
from pathlib import Path

import pytest

from synergynet_tf.data.phantom import make_patient


@pytest.fixture(scope="session")
def patient():
    """Two time points of one patient."""
    return make_patient(3, 3, 2)


@pytest.fixture(scope="session")
def real_data():
    """Folder of the public scans, where it is at hand."""
    folder = Path(os.environ.get("SYNERGYNET_DATA", Path(__file__).parents[4] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no public data: {folder} is absent; name it by SYNERGYNET_DATA")
    return folder
