"""Damaged files give a refusal in one line or an answer, the same by prediction, training and the exported graph."""
import pytest

from synergynet_tf.runtime.processes import peak_memory
from tests.reliability import fuzz

ROOM = 200 * 2 ** 20        # bytes: what hundreds of damaged files may add to the peak of a process


@pytest.mark.parametrize("count", [pytest.param(40, marks=pytest.mark.few), pytest.param(200, marks=pytest.mark.slow)])
def test_damaged_scans(tmp_path, count):
    pytest.importorskip("tensorflow_serving")
    scans = fuzz.Scans(tmp_path)
    scans.judge(8, seed=5)
    before = peak_memory()
    tallies = scans.judge(count, seed=1)
    assert not [failure for tally in tallies for failure in tally.failures]
    assert sum(tally.counts["refused"] for tally in tallies) > count / 4        # the damage is real
    assert peak_memory() - before < ROOM


@pytest.mark.parametrize("count", [pytest.param(40, marks=pytest.mark.few), pytest.param(400, marks=pytest.mark.slow)])
def test_damaged_files_of_ours(tmp_path, count):
    tallies = fuzz.judge_stored(tmp_path, count, seed=1)
    assert not [failure for tally in tallies for failure in tally.failures]
    assert sum(tally.counts["refused"] for tally in tallies) > count / 4
