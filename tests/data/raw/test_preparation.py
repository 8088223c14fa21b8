"""Raw scans to prepared cases: what is written, what is kept of a stopped run, and that one bad case does not stop the others."""
import csv
import dataclasses

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf import prepare
from synergynet_tf.data import layouts, nifti
from synergynet_tf.data.preprocess import load_case
from synergynet_tf.data.raw import bias, cases, preparation, record, registration, skull
from synergynet_tf.data.raw.config import RawConfig
from synergynet_tf.data.raw.grid import MNI, Grid, grid_of
from synergynet_tf.data.raw.store import StepStore, key_of
from synergynet_tf.errors import InputError
from synergynet_tf.storage.readers import Stored
from tests.data.raw import head

LIGHT = RawConfig(align=False, register="none", skull="none", bias=False, resample=False)      # no tool is needed
LIGHT_ARGUMENTS = [f"--steps.{name}={str(value).lower()}" for name, value in dataclasses.asdict(LIGHT).items()]


def forbidden(*_):
    raise AssertionError("was computed again")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """PATIENT/SESSION folder of a head with a tilted T1 and a lesion mask."""
    folder = tmp_path_factory.mktemp("raw") / "anna" / "day1"
    grid, other = head.slices(), head.slices("LPS", (2.0, 2.0, 3.0), (95, 110, 60))
    head.save(folder / "flair.nii.gz", head.view("flair", grid), grid)
    head.save(folder / "t1.nii.gz", head.view("t1", other, seed=1), other)
    lesions = np.zeros(grid.shape, np.uint8)
    lesions[40:47, 20:24, 40:47] = 1
    head.save(folder / "lesions.nii.gz", lesions, grid)
    return folder.parents[1]


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    """The output folder, after every step, of that one case."""
    out = tmp_path_factory.mktemp("prepared")
    assert prepare.main(["--raw", str(out), "--data.path", str(raw)]) == 0
    return out


@pytest.fixture
def stripped(tmp_path):
    """Two plain folders of stripped scans that lie where MNI152's brain does, on slices of their own."""
    grid = head.slices("PSR", (4.0, 4.0, 4.0), (60, 48, 48))
    brain = head.view("brain", grid, np.eye(4), None)
    rng = np.random.default_rng(0)
    for name in ("p1", "p2"):
        noise = rng.normal(100, 5, grid.shape).astype(np.float32)
        head.save(tmp_path / "raw" / name / "flair.nii.gz", (brain > 0.5) * noise, grid)
    return tmp_path / "raw"


def test_the_prepared_case_is_what_training_reads(prepared):
    (case,) = layouts.discover(prepared, channels=("flair", "t1"), require_lesions=True)
    assert (case.name, case.patient, case.session) == ("anna_day1", "anna", "day1")
    flair = nib.load(case.images["flair"])
    assert flair.shape == MNI.shape and np.array_equal(flair.affine, MNI.affine)
    assert head.dice(np.asarray(flair.dataobj) != 0, registration.template_brain()) > 0.92
    assert (prepared / "anna_day1" / "qc.png").stat().st_size > 10_000
    loaded = load_case(case, ("flair", "t1"))
    assert loaded.lesions.any() and np.isfinite(loaded.image).all()
    places = np.array([[0, 40, 0, -40], [-60, 20, -20, -20], [50, 10, -30, 20], [1, 1, 1, 1.0]])
    moved = np.array(record.read(prepared / "anna_day1").flair_to_channel["t1"]) @ places - places
    assert np.linalg.norm(moved, axis=0).max() < 1.5        # mm: the phantom did not move between the two


def test_a_lesion_keeps_its_volume_and_finds_back(raw, prepared):
    folder = prepared / "anna_day1"
    known, truth = record.read(folder), nifti.read_mask(raw / "anna" / "day1" / "lesions.nii.gz")
    carried = nifti.read_mask(folder / "lesions.nii.gz")
    size = np.linalg.det(np.array(known.to_flair)[:3, :3])
    assert carried.array.sum() * size == pytest.approx(truth.array.sum() * np.prod(truth.spacing), rel=0.1)
    own, grid = record.to_own_space(carried.array, grid_of(carried), folder, known)
    assert head.dice(own > 0.5, truth.array) > 0.9
    assert grid.file_affine == pytest.approx(truth.file_affine)


def test_nothing_is_done_twice(raw, prepared, monkeypatch):
    (case,) = cases.find(raw)[0]
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*")}
    for part, step in ((registration, "to_template"), (registration, "to_flair"), (bias, "log_field"), (skull, "brain")):
        monkeypatch.setattr(part, step, forbidden)
    preparation.prepare_case(case, prepared / case.name, RawConfig())
    assert before == {path: path.stat().st_mtime_ns for path in prepared.rglob("*")}
    moved = dataclasses.replace(case, split="test")
    assert preparation.prepare_case(moved, prepared / case.name, RawConfig()).split == "test"


def test_a_stopped_run_goes_on_where_it_was(raw, prepared, tmp_path, monkeypatch):
    (case,) = cases.find(raw)[0]
    matrices = {"register": np.array(record.read(prepared / case.name).template_to_flair), "align": np.eye(4)}
    with monkeypatch.context() as stopped:
        stopped.setattr(registration, "to_template", lambda *_: matrices["register"])
        stopped.setattr(registration, "to_flair", lambda *_: matrices["align"])
        stopped.setattr(bias, "log_field", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            preparation.prepare_case(case, tmp_path / case.name, RawConfig())
    assert record.read(tmp_path / case.name) is None
    for part, step in ((registration, "to_template"), (registration, "to_flair"), (skull, "brain")):
        monkeypatch.setattr(part, step, forbidden)
    monkeypatch.setattr(bias, "log_field", lambda scan, _: np.zeros((2, 2, 2), np.float32))
    assert preparation.prepare_case(case, tmp_path / case.name, RawConfig()).files["t1"] == "t1.nii.gz"


@pytest.mark.parametrize("scale, brain, said", [
    (1.2, None, r"no brain found: .* overlap by 0.\d+ \(Dice\).* another --steps.skull"),
    (1.0, lambda scans, _: scans.volumes["flair"].array > 10, "the brain was not found; try --steps.skull deepbet"),
], ids=["the registration went astray", "a head was taken for a brain"])
def test_a_brain_that_was_not_found_is_noticed(raw, prepared, tmp_path, monkeypatch, scale, brain, said):
    (case,) = cases.find(raw)[0]
    affine = np.array(record.read(prepared / case.name).template_to_flair) @ np.diag([scale, scale, scale, 1])
    monkeypatch.setattr(registration, "to_template", lambda *_: affine)
    monkeypatch.setattr(skull, "brain", brain or skull.brain)
    with pytest.raises(InputError, match=f"flair.nii.gz: .*{said}"):
        preparation.prepare_case(case, tmp_path / case.name, RawConfig(align=False, bias=False))
    assert record.known(tmp_path / case.name) is None and not list((tmp_path / case.name).glob("*.nii.gz"))


def test_the_rigid_way_keeps_the_brain_s_size(raw, prepared, tmp_path, monkeypatch):
    (case,) = cases.find(raw)[0]
    affine = np.array(record.read(prepared / case.name).template_to_flair)
    monkeypatch.setattr(registration, "to_template", lambda *_: affine)
    known = preparation.prepare_case(case, tmp_path / case.name, RawConfig(register="rigid", align=False, bias=False))
    own, brain = nifti.read_mask(tmp_path / case.name / record.OWN_BRAIN), nifti.read(tmp_path / case.name / "flair.nii.gz")
    assert np.linalg.det(np.array(known.to_flair)[:3, :3]) == pytest.approx(1)
    assert np.count_nonzero(brain.array) == pytest.approx(own.array.sum() * np.prod(own.spacing), rel=0.02)


@pytest.mark.parametrize(("background", "note"), [(np.nan, "nan; taken as 0"), (-1024, "-1024; taken as 0")])
def test_a_constant_background_is_taken_as_0_and_noted(stripped, tmp_path, background, note):
    """What a reconstruction leaves outside its field of view is no intensity."""
    case = cases.find(stripped)[0][0]
    preparation.prepare_case(case, tmp_path / "plain", LIGHT)
    image = nib.load(case.images["flair"])
    array = np.asarray(image.dataobj)
    moved = np.where(array == 0, background, array + (0 if np.isnan(background) else background)).astype(np.float32)
    path = head.save(tmp_path / "flair.nii.gz", moved, Grid(array.shape, image.affine))
    other = dataclasses.replace(case, images={"flair": path})
    assert note in preparation.prepare_case(other, tmp_path / "other", LIGHT).notes[0]
    plain, settled = (np.asarray(nib.load(tmp_path / name / "flair.nii.gz").dataobj) for name in ("plain", "other"))
    np.testing.assert_allclose(settled, plain, rtol=1e-4)


def test_without_resampling_all_stays_on_the_flair_s_grid(stripped, tmp_path):
    case = cases.find(stripped)[0][0]
    preparation.prepare_case(case, tmp_path / "out", LIGHT)
    given, written = nifti.read(case.images["flair"]), nifti.read(tmp_path / "out" / "flair.nii.gz")
    nifti.check_same_grid(given, written)
    brain = written.array != 0
    np.testing.assert_allclose(written.array[brain], given.array[brain], rtol=1e-4)


def test_bad_cases_are_listed_and_the_others_go_on(stripped, tmp_path, capsys):
    grid = head.slices("PSR", (4.0, 4.0, 4.0), (60, 48, 48))
    head.save(stripped / "no_flair" / "t1.nii.gz", np.ones(grid.shape, np.float32), grid)
    head.save(stripped / "four_axes" / "flair.nii.gz", np.ones((8, 8, 8, 5), np.float32), grid)
    (stripped / "torn").mkdir()
    (stripped / "torn" / "flair.nii.gz").write_bytes((stripped / "p1" / "flair.nii.gz").read_bytes()[:5000])
    head.save(stripped / "empty" / "flair.nii.gz", np.zeros(grid.shape, np.float32), grid)
    out = tmp_path / "out"
    assert prepare.main(["--raw", str(out), "--data.path", str(stripped), "--workers", "1", *LIGHT_ARGUMENTS]) == 2
    lines = capsys.readouterr().err.splitlines()
    for name, reason in {"no_flair": "no FLAIR", "four_axes": "4 axes", "torn": "truncated", "empty": "no brain"}.items():
        assert sum(name in line and reason in line for line in lines) == 1, (name, lines)
    assert "4 of 6 raw scans could not be prepared: empty, four_axes, no_flair, torn" in lines[-1]
    assert [case.name for case in layouts.discover(out)] == ["p1", "p2"]
    assert (out / "p1" / "qc.png").stat().st_size > 10_000


def test_two_processes_write_what_one_writes(stripped, tmp_path):
    for workers in (1, 2):
        for _, result in preparation.prepare_cases(cases.find(stripped)[0], tmp_path / str(workers), LIGHT, workers):
            assert not isinstance(result, InputError)
    for name in ("p1", "p2"):
        one, two = ((tmp_path / workers / name / "flair.nii.gz").read_bytes() for workers in "12")
        assert one == two


def test_a_manifest_s_patients_stay_together(stripped, tmp_path):
    with open(stripped / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([["patient", "session", "flair", "split"], ["eve", "1", "p1/flair.nii.gz", "train"],
                                    ["eve", "2", "p2/flair.nii.gz", "train"]])
    for case, result in preparation.prepare_cases(cases.find(stripped)[0], tmp_path / "out", LIGHT):
        assert result.patient == "eve", case
    preparation.write_manifest(tmp_path / "out")
    found = layouts.discover(tmp_path / "out")
    assert [(case.patient, case.session, case.split) for case in found] == [("eve", "1", "train"), ("eve", "2", "train")]


def test_a_step_is_computed_once_and_again_when_damaged(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.arange(3)}

    for expected in (1, 1):
        np.testing.assert_array_equal(StepStore(tmp_path).get("x", "k", compute, {"a": Stored("i", (3,))})["a"], [0, 1, 2])
        assert len(calls) == expected
    (tmp_path / "x-k.npz").write_bytes(b"PK\x03\x04 torn")
    StepStore(tmp_path).get("x", "k", compute, {"a": Stored("i", (3,))})
    assert len(calls) == 2
    store = StepStore(tmp_path)
    store.get("x", "other", compute, {"a": Stored("i", (3,))})
    store.drop_unused()
    assert [path.name for path in tmp_path.iterdir()] == ["x-other.npz"]
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1}) != key_of({"a": 2, "b": [2]})


@pytest.mark.parametrize("field", ["skull", "register"])
def test_an_unknown_way_is_refused(field):
    with pytest.raises(InputError, match=f"steps.{field} is 'best'"):
        RawConfig(**{field: "best"})
