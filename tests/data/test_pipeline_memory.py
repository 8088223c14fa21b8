"""What the pipeline holds at a time: which files are open, when XLA compiles, when memory goes back."""
import os
import subprocess
import sys
import weakref
from dataclasses import fields

import numpy as np
import pytest

from synergynet_tf.data import pipeline
from tests.conftest import ROOT
from tests.data.small_cases import batches, config, make_case, watched


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    return [make_case(folder, "a", (32, 40, 36), 8), make_case(folder, "b", (30, 44, 33), 5)]


def test_cases_are_opened_only_when_read(cases):
    log = []
    settings = config(train={"batch": 1, "steps_per_epoch": 1})
    dataset = pipeline.training_dataset([watched(case, 0, log) for case in cases], settings, 0)
    assert log == []
    batches(dataset)
    assert log == [1, -1]


def test_no_two_maps_are_open_at_once(cases):
    class Counted(type(cases[0])):
        def image(self):
            volume = super().image()
            self.log.append(weakref.ref(volume._mmap))
            return volume

        def instances(self):
            assert self.log[-1]() is None
            return super().instances()

    case = Counted(**{f.name: getattr(cases[0], f.name) for f in fields(cases[0])})
    object.__setattr__(case, "log", [])
    pipeline.Reader([case], config())(0, np.zeros(3, int), np.zeros((0, 2)))
    assert len(case.log) == 1


def test_what_building_a_dataset_took_is_given_back_before_its_first_block(cases, monkeypatch):
    log = []
    monkeypatch.setattr(pipeline, "give_back", lambda: log.append("given back"))
    dataset = pipeline.training_dataset([watched(case, 0, log) for case in cases], config(train={"batch": 1}), 0, parallel=1)
    assert log == []
    batches(dataset)
    assert log[:2] == ["given back", 1] and log.count("given back") == 1


COMPILING = """
import sys
from pathlib import Path
from tests.data import test_pipeline as shared
from synergynet_tf.data import pipeline
dumped = lambda: sorted(file.name for file in Path(sys.argv[1]).glob("*before_optimizations.txt"))
settings = shared.config(patch={"rotation": 15.0}, augment={"gamma": 1.0})
cases = [shared.make_case(Path(sys.argv[2]), "a", (32, 40, 36), 8)]
dataset = pipeline.training_dataset(cases, settings, 0)
early = dumped()
shared.batches(dataset), shared.batches(pipeline.training_dataset(cases, settings, 1))
print(sum("prepare" in name for name in early), sum("annotate" in name for name in early), dumped() == early)
"""


@pytest.mark.slow
def test_all_is_compiled_before_a_block_is_read_and_once(tmp_path):
    environment = {**os.environ, "XLA_FLAGS": f"--xla_dump_to={tmp_path / 'xla'} --xla_dump_hlo_as_text"}
    done = subprocess.run([sys.executable, "-c", COMPILING, tmp_path / "xla", tmp_path], cwd=ROOT, env=environment,
                          capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1 1 True"]
