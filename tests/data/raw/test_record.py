"""What `prepare --raw` keeps: read whole, or named, or made again."""
import dataclasses
import json

import numpy as np
import pytest

from synergynet_tf.data.raw import record
from synergynet_tf.data.raw.record import Record
from synergynet_tf.data.raw.store import StepStore
from synergynet_tf.errors import InputError
from synergynet_tf.storage.readers import Stored
from tests.damage import damaged, mangled

EYE = np.eye(4).tolist()
OWN = Record("k", "anna", "1", None, {"flair": "flair.nii.gz"}, {"flair": {"path": "x", "digest": "d"}},
             {"shape": [1, 2, 3], "affine": EYE, "axes": ["R", "A", "S"]}, {"skull": "template"}, {"SimpleITK": "2"},
             EYE, None, {"t1": EYE}, {"register": 1.5})


def check(folder, count):
    record.write(folder, OWN)
    path, refused = folder / record.FILE, 0
    whole = path.read_bytes()
    contents = [*damaged(whole, count), *(json.dumps(v).encode() for v in mangled(dataclasses.asdict(OWN), count))]
    for content in contents:
        path.write_bytes(content)
        try:
            found = record.read(folder)
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}: not a readable record") and "\n" not in str(error)
            assert record.known(folder) is None
        else:
            assert np.linalg.inv(found.to_flair).shape == (4, 4) and found.files["flair"]
    assert refused > count


def test_a_record_comes_back(tmp_path):
    assert record.read(tmp_path) is None
    record.write(tmp_path, OWN)
    assert record.read(tmp_path) == OWN == record.known(tmp_path)


@pytest.mark.few
def test_a_damaged_record_is_named(tmp_path):
    check(tmp_path, 60)


@pytest.mark.slow
def test_a_damaged_record_is_named_1000_times(tmp_path):
    check(tmp_path, 1000)


@pytest.mark.parametrize(("field", "value"), [
    ("files", {"flair": "../../flair.nii.gz"}), ("files", {}), ("to_flair", [[0.0] * 4] * 4), ("to_flair", [[1.0]]),
    ("format", 2),
    ("source_grid", {"shape": [1, 2, 3]}), ("flair_to_channel", {"t1": EYE[:3]}), ("patient", None)])
def test_a_record_that_cannot_be_used_is_named(tmp_path, field, value):
    (tmp_path / record.FILE).write_text(json.dumps(dataclasses.asdict(OWN) | {field: value}))
    with pytest.raises(InputError, match="prepare the case again"):
        record.read(tmp_path)


def test_a_damaged_step_is_computed_again(tmp_path):
    wanted = {"matrix": Stored("f", (4, 4))}
    StepStore(tmp_path).get("x", "k", lambda: {"matrix": np.eye(4)}, wanted)
    whole = (tmp_path / "x-k.npz").read_bytes()
    for content in damaged(whole, 60):
        (tmp_path / "x-k.npz").write_bytes(content)
        found = StepStore(tmp_path).get("x", "k", lambda: {"matrix": np.eye(4)}, wanted)
        np.testing.assert_array_equal(found["matrix"], np.eye(4))
    np.savez(tmp_path / "x-k.npz", matrix=np.full((4, 4), np.nan))
    np.testing.assert_array_equal(StepStore(tmp_path).get("x", "k", lambda: {"matrix": np.eye(4)}, wanted)["matrix"], np.eye(4))
