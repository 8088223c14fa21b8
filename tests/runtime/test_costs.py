"""What segmenting a scan took is noted beside its mask, and read from other tools' folders."""
import math
import time

import numpy as np
import pytest

from synergynet_tf.errors import InputError
from synergynet_tf.runtime.costs import FILE, Cost, measured, read
from synergynet_tf.runtime.processes import peak_memory, restart_peak

MEGABYTE = 2 ** 20


def test_a_peak_begins_again():
    np.ones(400 * MEGABYTE, np.uint8)
    before = peak_memory()
    if not restart_peak():
        pytest.skip("the system does not let a process forget its peak")
    assert peak_memory() < before - 300 * MEGABYTE


def test_seconds_and_memory_are_those_of_the_case_alone(tmp_path):
    with measured(tmp_path, "large"):
        np.ones(500 * MEGABYTE, np.uint8)
        time.sleep(0.2)
    with measured(tmp_path, "small"):
        pass
    with pytest.raises(ZeroDivisionError), measured(tmp_path, "failed"):
        print(1 / 0)
    found = read(tmp_path)
    assert found.keys() == {"large", "small"}
    assert 0.2 <= found["large"].seconds < 5 and found["small"].seconds < 0.2
    if not math.isnan(found["large"].peak_gb):
        assert found["large"].peak_gb - found["small"].peak_gb > 0.4
    with measured(tmp_path, "large"):       # once more: the new one counts
        pass
    assert read(tmp_path)["large"].seconds < 0.2 and list(read(tmp_path)) == ["large", "small"]


def test_another_tool_s_table_may_leave_cells_empty(tmp_path):
    assert read(tmp_path) == {}
    (tmp_path / FILE).write_text("\ufeffpeak_gb,case,seconds\n2.5,P1,30\n,P2,1.5\n", encoding="utf-8")
    found = read(tmp_path)
    assert found["P1"] == Cost(30, 2.5) and found["P2"].seconds == 1.5 and math.isnan(found["P2"].peak_gb)


@pytest.mark.parametrize("text, words", [
    ("case,seconds,peak_gb\nP1,fast,2\n", "line 2: seconds is 'fast', but a number is needed"),
    ("case,seconds,peak_gb\nP1,1,-2\n", "line 2: peak_gb is '-2'"), ("case,seconds,peak_gb\nP1,inf,\n", "seconds is 'inf'"),
    ("case,seconds,peak_gb\nP1,1,1\nP1,1,1\n", "line 3: the case is 'P1', but a row a case"),
    ("case,seconds,peak_gb\n,1,1\n", "line 2: the case is ''"), ("case,time\nP1,1\n", "columns case,seconds,peak_gb"),
    ("case,seconds,peak_gb\nP1,1\n", None), ("case,seconds,peak_gb\n\udcff,1,\n", "not a readable table")])
def test_a_table_that_says_something_else_is_refused(tmp_path, text, words):
    (tmp_path / FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    if words is None:
        assert math.isnan(read(tmp_path)["P1"].peak_gb)
    else:
        with pytest.raises(InputError, match=f"{FILE}.*{words}"):
            read(tmp_path)
