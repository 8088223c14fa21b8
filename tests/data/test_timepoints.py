"""The order of a patient's scans in time: by dates, and by all that sessions are called."""
import itertools

import pytest

from synergynet_tf.data.layouts import Case
from synergynet_tf.data.layouts.dates import iso_date
from synergynet_tf.data.timepoints import in_order


def scan(session, date=None):
    return Case(f"P_{session}", "P", session, {}, None, None, date=date)


def ordered(sessions):
    found = in_order([scan(session) for session in sessions])
    return [case.session for case in found.scans], found.doubt


@pytest.mark.parametrize("sessions", [
    "M0 M6 M12", "m00 M06 m12", "1 2 10", "T1 T02 T10", "ses-M6 ses-M12 ses-M120", "baseline M6 M12",
    "ses-baseline ses-M06 ses-M12", "bl fu1 fu2 fu10", "pre post", "first second", "D3 W2 M1 Y1", "6weeks 3mo 1yr", "W4 M6",
    "1.5y 2y", "M6 24M", "2018-12-30 2019-01-02 2019-01-10", "20181230 20190102", "2018_1_9 2018_1_10",
    "20190301T0800 20190301T1400", "20190301_1 20190301_2", "31.12.2018 01.01.2019", "31122018 13012019",
    "13-05-2018 01-06-2018", "05-13-2018 06-01-2018", "scan1_2018 scan2_2019", "ses-20181230 ses-20190102",
    "baseline 2019-03-01 2019-04-01"])
def test_an_order_that_is_certain(sessions):
    sessions = sessions.split()
    for given in itertools.islice(itertools.permutations(sessions), 6):
        assert ordered(given) == (sessions, None)


@pytest.mark.parametrize("sessions", [
    "01.03.2019 05.02.2019",        # the day or the month first
    "010219 020119", "181230 190102",   # which of them is the year
    "old new", "T1 M6", "screening baseline M6", "1_2020 2_2019", "1.9 1.10", "a", "", "01 1", "M6 6M"])
def test_what_cannot_be_known_is_said(sessions):
    sessions = sessions.split() if " " in sessions else [sessions, "b" if sessions else "2"]
    names, doubt = ordered(sessions)
    assert sorted(names) == sorted(sessions)
    assert doubt.startswith("the sessions do not say for certain") and "a manifest's column date" in doubt


def test_dates_go_before_names_and_what_disagrees_is_said():
    by_date = in_order([scan("x", "2019-03-01"), scan("a", "2020-01-01"), scan("m", "2018-01-01T10:30")])
    assert [case.session for case in by_date.scans] == ["m", "x", "a"] and by_date.doubt is None
    other = in_order([scan("M0", "2019-03-01"), scan("M6", "2018-03-01")])
    assert [case.session for case in other.scans] == ["M6", "M0"] and "another order than the sessions" in other.doubt
    some = in_order([scan("M12"), scan("M6", "2018-03-01")])
    assert [case.session for case in some.scans] == ["M6", "M12"] and "1 of 2 scans have no date" in some.doubt
    same = in_order([scan("x", "2019-03-01"), scan("a", "2019-03-01")])
    assert "two scans have one date" in same.doubt


@pytest.mark.parametrize("text, date", [
    ("2019-03-01", "2019-03-01"), ("2019-03-01T10:30", "2019-03-01T10:30:00"), ("2019-03-01 10:30:05.25Z", "2019-03-01T10:30:05"),
    ("2019-02-30", None), ("01.03.2019", None), ("20190301", None), ("n/a", None), ("", None), ("2019-03-01T25:00", None)])
def test_dates_are_read_in_one_form(text, date):
    assert iso_date(text) == date
