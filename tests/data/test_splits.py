from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synergynet_tf.data import layouts, splits
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError

PAPER = (0.6, 0.2, 0.2)


def case(patient, session="", split=None):
    return Case(f"{patient}_{session}" if session else patient, patient, session, {}, None, split)


def cohort(patients, sessions=1):
    return [case(f"P{p:02d}", f"T{s}") for p in range(patients) for s in range(sessions)]


def patients_of(part):
    return {c.patient for c in part}


@settings(max_examples=60, deadline=None)
@given(patients=st.integers(1, 40), sessions=st.integers(1, 3), seed=st.integers(0, 1000), data=st.data())
def test_patients_stay_whole_and_order_does_not_matter(patients, sessions, seed, data):
    cases = cohort(patients, sessions)
    split = splits.split_cases(cases, PAPER, seed)
    parts = (split.train, split.validation, split.test)
    assert sorted(c.name for part in parts for c in part) == sorted(c.name for c in cases)
    assert sum(len(patients_of(part)) for part in parts) == patients
    assert splits.split_cases(data.draw(st.permutations(cases)), PAPER, seed) == split


@settings(max_examples=200, deadline=None)
@given(patients=st.integers(1, 200), weights=st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 20)))
def test_counts_are_near_the_shares_and_leave_no_requested_part_empty(patients, weights):
    shares = tuple(w / sum(weights) for w in weights)
    counts = splits.counts(patients, shares)
    assert sum(counts) == patients
    requested = sum(share > 0 for share in shares)
    for n, share in zip(counts, shares):
        if share == 0:
            assert n == 0
        elif patients >= requested:
            assert n >= 1
        if min(share * patients for share in shares if share > 0) >= 1:
            assert abs(n - share * patients) < 1


@pytest.mark.parametrize("patients, shares, expected", [
    (1, PAPER, (1, 0, 0)), (2, PAPER, (1, 1, 0)), (3, PAPER, (1, 1, 1)), (4, PAPER, (2, 1, 1)), (5, PAPER, (3, 1, 1)),
    (10, PAPER, (6, 2, 2)), (30, PAPER, (18, 6, 6)), (10, (0.98, 0.01, 0.01), (8, 1, 1)), (2, (0.6, 0.0, 0.4), (1, 0, 1)),
    (9, (1.0, 0.0, 0.0), (9, 0, 0)),
])
def test_counts_worked_by_hand(patients, shares, expected):
    assert splits.counts(patients, shares) == expected


def test_the_seed_matters():
    cases = cohort(20)
    drawn = {tuple(c.name for c in splits.split_cases(cases, PAPER, seed).test) for seed in range(10)}
    assert len(drawn) > 5


def test_a_split_that_the_cases_bring_wins():
    cases = [case("A", split="test"), case("B", split="train"), case("C", split="train")]
    split = splits.split_cases(cases, PAPER, 0)
    assert [c.name for c in split.train] == ["B", "C"]
    assert split.validation == ()
    assert [c.name for c in split.test] == ["A"]


def test_half_a_split_and_one_without_training_are_refused():
    with pytest.raises(InputError, match=r"case A has the split test but case B has none; give every case"):
        splits.split_cases([case("A", split="test"), case("B")], PAPER, 0)
    with pytest.raises(InputError, match="train"):
        splits.split_cases([case("A", split="test")], PAPER, 0)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_saved_split_is_a_manifest_that_reads_back_as_it_is(tmp_path, weighted):
    for patient in range(7):
        (tmp_path / "data" / f"P{patient}_T1").mkdir(parents=True)
        for name in ("flair", "lesions"):
            (tmp_path / "data" / f"P{patient}_T1" / f"{name}.nii.gz").touch()
    found = layouts.discover(tmp_path / "data")
    if weighted:
        found[2] = replace(found[2], weight=2.5, source="a, b")
    split = splits.split_cases(found, PAPER, 3)
    splits.save(split, tmp_path / "manifest.csv")
    again = splits.split_cases(layouts.discover(tmp_path, "manifest"), PAPER, seed=99)
    for part in layouts.SPLITS:
        saved, read = getattr(split, part), getattr(again, part)
        assert [(c.name, c.patient, c.session, c.images, c.lesions, c.weight, c.source) for c in saved] == \
            [(c.name, c.patient, c.session, c.images, c.lesions, c.weight, c.source) for c in read]
    assert ("source" in (tmp_path / "manifest.csv").read_text()) == weighted


@settings(max_examples=60, deadline=None)
@given(patients=st.integers(2, 40), sessions=st.integers(1, 3), seed=st.integers(0, 1000), data=st.data())
def test_folds_test_every_patient_once_and_keep_patients_whole(patients, sessions, seed, data):
    cases, k = cohort(patients, sessions), data.draw(st.integers(2, patients))
    folds = splits.folds(cases, k, PAPER, seed)
    assert len(folds) == k
    tested = [patient for fold in folds for patient in patients_of(fold.test)]
    assert sorted(tested) == sorted(patients_of(cases))
    sizes = [len(patients_of(fold.test)) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    for fold in folds:
        parts = (fold.train, fold.validation, fold.test)
        assert sorted(c.name for part in parts for c in part) == sorted(c.name for c in cases)
        assert sum(len(patients_of(part)) for part in parts) == patients
        rest = patients - len(patients_of(fold.test))
        assert abs(len(patients_of(fold.validation)) - rest / 4) < 1
        assert fold.train and (fold.validation or rest == 1)
    assert splits.folds(data.draw(st.permutations(cases)), k, PAPER, seed) == folds


def test_folds_by_hand():
    folds = splits.folds(cohort(10), 5, PAPER, 0)
    assert [tuple(len(part) for part in (f.train, f.validation, f.test)) for f in folds] == [(6, 2, 2)] * 5
    assert all(patients_of(a.validation) == patients_of(b.test) for a, b in zip(folds, folds[1:] + folds[:1]))
    assert splits.folds(cohort(10), 5, PAPER, 1) != folds
    assert all(f.validation == () for f in splits.folds(cohort(6), 3, (0.8, 0.0, 0.2), 0))


@pytest.mark.parametrize("k", [0, 1, 4])
def test_folds_that_cannot_be_are_refused(k):
    with pytest.raises(InputError, match=rf"data\.folds is {k}, but it must be 2 to the number of patients \(3\)"):
        splits.folds(cohort(3, 2), k, PAPER, 0)


def test_folds_do_not_overrule_a_split():
    with pytest.raises(InputError, match="case A has the split test, but data.folds is 2: empty the manifest's column split"):
        splits.folds([case("A", split="test"), case("B")], 2, PAPER, 0)
