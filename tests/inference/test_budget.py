"""The coverage that a memory budget leaves: as much as fits, never more, and a clear word where nothing does."""
import dataclasses
import json
import math
import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import Config, UNetConfig
from synergynet_tf.errors import InputError
from synergynet_tf.inference import budget, coverage
from synergynet_tf.inference.budget import GB, fitting, fitting_free, peak, sizes
from synergynet_tf.inference.coverage import Windows
from synergynet_tf.inference.predictor import Predictor

ROOT = pathlib.Path(__file__).parents[2]
BRAIN = (144, 176, 141)


def needed(size, config=None, shape=BRAIN):
    config = config or Config()
    return peak(config, shape, coverage.covering(shape, size, config.infer.overlap))


def whole_of(shape):
    return tuple(coverage.whole_size(shape).numpy().tolist())


@pytest.fixture(scope="module")
def every():
    """What each coverage of the brain takes, the whole first."""
    return [needed(size) for size in sizes(BRAIN)]


def test_sizes_go_from_the_whole_brain_to_the_smallest_cube_by_its_longest_side():
    found = list(sizes((70, 100, 64)))
    assert found == [(72, 104, 64), (72, 96, 64), (72, 88, 64), (72, 80, 64), (72, 72, 64), (64, 72, 64), (64, 64, 64)]
    assert list(sizes((10, 20, 30))) == [(16, 24, 32)]


def test_the_whole_brain_where_it_fits_to_the_byte(every):
    assert fitting(Config(), BRAIN, every[0]).infer.coverage == "whole"
    assert fitting(Config(), BRAIN, every[0] - 1).infer.coverage == "windows"


@pytest.mark.parametrize("share", np.linspace(0, 1, 9))
def test_the_first_windows_that_fit_are_taken(every, share):
    least, memory = min(every), min(every) + share * (every[0] - 1 - min(every))
    chosen, windows = fitting(Config(), BRAIN, memory)
    assert windows.size.numpy().tolist() == list(chosen.window) and least <= memory
    assert chosen.coverage == "windows" and needed(chosen.window) <= memory
    larger = [size for size in sizes(BRAIN) if math.prod(size) > math.prod(chosen.window)]
    assert all(needed(size) > memory for size in larger)


def test_more_memory_never_gives_smaller_windows(every):
    chosen = [fitting(Config(), BRAIN, memory) for memory in np.linspace(min(every), 1.1 * every[0], 30)]
    voxels = [math.prod(windows.size.numpy().tolist()) for _, windows in chosen]
    assert voxels == sorted(voxels) and len(set(voxels)) > 5


def test_what_else_is_asked_for_stays(every):
    config = dataclasses.replace(Config(), infer=dataclasses.replace(Config().infer, overlap=0.25, threshold=0.4))
    for memory in (every[0] - 1, every[0]):
        chosen = fitting(config, BRAIN, memory).infer
        assert (chosen.overlap, chosen.threshold) == (0.25, 0.4)


def test_the_error_names_a_budget_that_works():
    with pytest.raises(InputError, match=r"--memory-budget is 0\.5 GB, but a volume of 144x176x141 voxels takes") as error:
        fitting(Config(), BRAIN, 0.5 * GB)
    smallest = float(re.search(r"takes ([\d.]+) GB", str(error.value)).group(1))
    assert fitting(Config(), BRAIN, smallest * GB).infer.coverage == "windows"
    with pytest.raises(InputError):
        fitting(Config(), BRAIN, (smallest - 0.1) * GB)


def test_wider_networks_larger_scans_and_more_windows_take_more():
    wide = dataclasses.replace(Config(), unet=UNetConfig(widths=(32, 32, 64, 128)))
    one, two, three = (Windows(tf.zeros([count, 3], tf.int32), tf.constant([64, 64, 64])) for count in (1, 2, 3))
    assert peak(wide, BRAIN, one) > peak(Config(), BRAIN, one)
    assert peak(Config(), (200, 200, 200), one) > peak(Config(), BRAIN, one)
    assert peak(Config(), BRAIN, three) > peak(Config(), BRAIN, two)


def test_a_predictor_covers_each_volume_as_it_fits(every):
    memory = needed((96, 96, 96), shape=(96, 96, 96))
    predictor = Predictor(lambda image: None, Config(), memory)
    infer, windows = predictor.coverage_of((96, 96, 96))
    assert infer.coverage == "whole" and [tensor.numpy().tolist() for tensor in windows] == [[[0, 0, 0]], [96, 96, 96]]
    with pytest.raises(InputError, match="memory-budget"):
        predictor.coverage_of((400, 400, 400))
    assert len(Predictor(lambda image: None, Config(), every[0] - 1).coverage_of(BRAIN).windows.starts) > 1
    assert len(Predictor(lambda image: None, Config()).coverage_of(BRAIN).windows.starts) == 1


def test_what_is_free_is_taken_as_it_is_asked_for_or_in_the_largest_windows_that_fit(every):
    whole, large = every[0], (144, 144, 144)
    ask = {name: dataclasses.replace(Config(), infer=dataclasses.replace(Config().infer, coverage=name, window=large))
           for name in ("whole", "windows", "centre")}
    for config in ask.values():
        assert fitting_free(config, BRAIN, 2 * whole).infer == config.infer
    assert fitting_free(ask["whole"], BRAIN, whole - 1).infer == fitting(Config(), BRAIN, whole - 1).infer
    smaller = fitting_free(ask["windows"], BRAIN, needed(large) - 1).infer
    assert smaller.coverage == "windows" and math.prod(smaller.window) < 144 ** 3 and needed(smaller.window) < needed(large)
    for config in ask.values():
        with pytest.raises(InputError, match=r"144x176x141 voxels takes \d\.\d GB at least, but there are 0\.5 GB for it; end"):
            fitting_free(config, BRAIN, 0.5 * GB)


def test_a_predictor_takes_windows_where_too_little_is_free_and_says_so(monkeypatch, caplog):
    image, config = np.ones((96, 96, 96, 1), np.float32), Config()
    loaded = types.SimpleNamespace(image=image, brain=image[..., 0] > 0, case=None,
                                   grid=types.SimpleNamespace(path="a.nii.gz", spacing=(1, 1, 1)))
    predictor = Predictor(lambda image: None, config, share=0.5)
    shares = []
    monkeypatch.setattr(Predictor, "_merged", lambda *_: types.SimpleNamespace())
    monkeypatch.setattr("synergynet_tf.inference.predictor.available",
                        lambda share: shares.append(share) or needed((96, 96, 96), shape=(96, 96, 96)) - 1)
    assert predictor.predict_loaded(loaded).config.infer.coverage == "windows" and shares == [0.5]
    assert re.search(r"a.nii.gz: too little memory is free to segment it in one pass, \d.\d GB at most; segmented in \d+ windows",
                     caplog.text)
    assert Predictor(lambda image: None, config).coverage_of((96, 96, 96)).infer == config.infer and len(shares) == 1


def test_the_words_for_the_log():
    assert budget.described(Config(), BRAIN, budget.as_asked(Config(), BRAIN).windows).startswith("in one pass, ")
    placed = coverage.covering(BRAIN, (96, 96, 96), 0.5)
    assert re.fullmatch(r"in 12 windows of 96x96x96 voxels, \d\.\d GB at most", budget.described(Config(), BRAIN, placed))


# Every proposal becomes a detection: no trained network leaves more to paste and to merge.
MEASURE = """
import dataclasses, json, sys
import numpy as np
from synergynet_tf.config import Config
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.models.synergynet import build_synergynet
from synergynet_tf.runtime.processes import peak_memory
shape, memory = tuple(json.loads(sys.argv[1])), float(sys.argv[2])
config = Config()
config = dataclasses.replace(config, detector=dataclasses.replace(config.detector, score_threshold=0.0))
predictor = Predictor(build_synergynet(config), config, memory)
image = np.random.default_rng(0).normal(size=(*shape, 1)).astype(np.float32)
for _ in range(2):
    predictor.predict_volume(image).mask
print(peak_memory(), len(predictor.coverage_of(shape).windows.starts))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "share"), [((96, 112, 96), 1.0), ((144, 176, 136), 0.8)])
def test_a_process_stays_within_its_budget(shape, share):
    """And comes near to what is estimated, or scans that fit would be cut into windows."""
    whole = needed(whole_of(shape), shape=shape)
    shown = subprocess.run([sys.executable, "-c", MEASURE, json.dumps(shape), str(share * whole)], cwd=ROOT, check=True,
                           capture_output=True, text=True)
    taken, count = map(int, shown.stdout.split()[-2:])
    assert (0.65 if share == 1 else 0) * whole <= taken <= share * whole
    assert (count == 1) == (share == 1)
