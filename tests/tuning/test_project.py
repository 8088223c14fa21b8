"""Which search a folder holds: read whole, or named."""
import json

import pytest

from synergynet_tf.errors import InputError
from tests.damage import damaged, mangled
from tuning.project import IDENTITY, begun

SEARCH = {"space": {"gamma": [0.0, 1.0]}, "oracle": "random", "warm_start": None, "config": {"train": {"seed": 0}}}


def test_the_same_search_goes_on_and_another_is_named(tmp_path):
    assert not begun(tmp_path, SEARCH)
    (tmp_path / IDENTITY).write_text(json.dumps(SEARCH))
    assert begun(tmp_path, SEARCH)
    with pytest.raises(InputError, match="train.seed 0, but now it is 1"):
        begun(tmp_path, SEARCH | {"config": {"train": {"seed": 1}}})


def test_damage_is_named(tmp_path):
    path, refused = tmp_path / IDENTITY, 0
    whole = json.dumps(SEARCH)
    for content in [*damaged(whole.encode(), 100), *(json.dumps(value).encode() for value in mangled(SEARCH, 100))]:
        path.write_bytes(content)
        try:
            assert begun(tmp_path, SEARCH)
        except InputError as error:
            refused += 1
            assert str(tmp_path) in str(error) and "\n" not in str(error)
    assert refused > 100
