"""What a run was trained on, by content: records, what differs, and what must lie apart."""
import dataclasses
import gzip
import json
import os

import numpy as np
import pytest

from synergynet_tf.data import identity, nifti
from synergynet_tf.data.identity import Digests
from synergynet_tf.data.splits import Split
from synergynet_tf.errors import InputError
from tests.data.test_cache import write_case


@pytest.fixture
def split(tmp_path):
    a, b, c = (write_case(tmp_path / "scans", name, seed) for seed, name in enumerate("ABC"))
    return Split((a,), (b,), (c,))


@pytest.fixture
def digests(tmp_path):
    return Digests(tmp_path / "digests.json")


def record(split):
    return identity.record_of(split, ("flair",))


def test_a_record_comes_back_as_it_was_and_damage_is_noticed(split, digests, tmp_path):
    before = identity.record_of(split, ("flair", "t2"), digests.of)
    assert identity.read(tmp_path) is None
    identity.write(tmp_path, before, "/data")
    assert identity.read(tmp_path) == (before, "/data")
    assert before["A"]["files"].keys() == {"flair", "t2", "lesions"}
    path = tmp_path / identity.FILE
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"data\.json: not a readable record of a run's data .*restore it, or remove it"):
            identity.read(tmp_path)


def test_every_difference_is_named(split, tmp_path):
    before = record(split)
    a, b, c = split.train[0], split.validation[0], split.test[0]
    assert list(identity.differences(before, record(split))) == []
    new = dataclasses.replace(a, name="N", patient="N")
    changed = {
        "A: split is test, but was train": Split((), (b,), (a, c)), "C is gone": Split((a,), (b,), ()),
        "N is new": Split((a, new), (b,), (c,)),
        "A: patient is X, but was A": Split((dataclasses.replace(a, patient="X"),), (b,), (c,)),
        "A: weight is 2, but was 1.0": Split((dataclasses.replace(a, weight=2),), (b,), (c,)),
        "A: lesions is gone": Split((dataclasses.replace(a, lesions=None),), (b,), (c,)),
        "A: lesions2 is new": Split((dataclasses.replace(a, lesions2=a.lesions),), (b,), (c,)),
        "B: flair has another content": Split((a,), (dataclasses.replace(b, images=a.images),), (c,)),
        "B: lesions has another content": Split((a,), (dataclasses.replace(b, lesions=a.lesions),), (c,))}
    for said, now in changed.items():
        with pytest.raises(InputError, match=f"run: the data changed since the run began: .*{said}.*: restore them, or take"):
            identity.require_same(tmp_path / "run", before, record(now))
    other_test = Split((a,), (b,), (dataclasses.replace(c, images=a.images),))      # no network has seen it
    assert list(identity.differences(before, record(other_test))) == []


def test_a_file_swapped_for_one_of_its_size_and_time_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "SETTLED_NS", 0)
    path, other = tmp_path / "a", tmp_path / "b"
    for file, content in ((path, b"one"), (other, b"two")):
        file.write_bytes(content)
        os.utime(file, (10 ** 9, 10 ** 9))
    digests = Digests(tmp_path / "index.json")
    first = digests.of(path)
    digests.save()
    os.replace(other, path)
    assert Digests(tmp_path / "index.json").of(path) != first
    path.write_bytes(b"six")
    os.utime(path, (10 ** 9, 10 ** 9))
    assert Digests(tmp_path / "index.json").of(path) not in (first, digests.of(tmp_path / "index.json"))


def test_the_index_spares_reading_and_a_young_file_is_not_kept(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    young = Digests(tmp_path / "index.json")
    young.of(path)
    young.save()
    assert not (tmp_path / "index.json").exists()       # it may change again within one tick of its clock
    monkeypatch.setattr(identity, "SETTLED_NS", 0)
    digests = Digests(tmp_path / "index.json")
    known = digests.of(path)
    digests.save()
    monkeypatch.setattr(identity, "digest", lambda _: pytest.fail("read again"))
    assert Digests(tmp_path / "index.json").of(path) == known
    content = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(content | {"files": {str(path): [0, "lie"]}}))
    monkeypatch.undo()
    assert Digests(tmp_path / "index.json").of(path) == known


def test_one_scan_under_two_names_in_two_parts_is_refused(split, digests, tmp_path):
    """However it is packed."""
    identity.require_apart(split, digests)
    a, b, c = split.train[0], split.validation[0], split.test[0]
    packed = tmp_path / "packed.nii"
    packed.write_bytes(gzip.decompress(a.images["flair"].read_bytes()))
    twin = dataclasses.replace(c, name="D", patient="D", images={"flair": packed})
    with pytest.raises(InputError, match="case A is in train and case D in test, but their FLAIR scans are the same"):
        identity.require_apart(Split((a,), (b,), (twin,)), digests)
    identity.require_apart(Split((a, twin), (b,), (c,)), digests)
    visit = dataclasses.replace(c, patient="A")
    with pytest.raises(InputError, match="case A is in train and case C in test, but they are of one patient"):
        identity.require_apart(Split((a,), (b,), (visit,)), digests)


def test_scans_that_cannot_be_read_are_for_others_to_name(split, digests):
    for case in (split.train[0], split.test[0]):
        case.images["flair"].write_bytes(b"no scan")
    identity.require_apart(split, digests)


def test_voxels_are_read_once(split, digests, tmp_path, monkeypatch):
    identity.require_apart(split, digests)
    digests.save()
    monkeypatch.setattr(nifti, "read", lambda *_, **__: pytest.fail("read again"))
    identity.require_apart(split, Digests(tmp_path / "digests.json"))


def test_what_a_run_was_trained_on_is_known_by_patient_and_by_scan(split, tmp_path, caplog):
    a, b, c = split.train[0], split.validation[0], split.test[0]
    assert identity.trained_on(tmp_path, Split((b,), (), (a,))) == []       # no record
    identity.write(tmp_path, record(split), None)
    assert identity.trained_on(tmp_path, split) == []
    renamed, visit = dataclasses.replace(a, name="X", patient="X"), dataclasses.replace(c, patient="A")
    assert identity.trained_on(tmp_path, Split((b,), (renamed,), (visit,))) == ["X", "C"]
    identity.warn_of_known(tmp_path, split)
    assert not caplog.records
    identity.warn_of_known(tmp_path, Split((b,), (renamed,), ()))
    assert "was trained on cases by which it is judged here: X; put them into train" in caplog.text
