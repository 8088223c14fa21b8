"""`predict --report`: scans of a patient over time, and inputs that could not be segmented."""
import hashlib

from tests.test_predict import call, names, run, write_scan  # noqa: F401 - run is a fixture


def test_scans_whose_order_in_time_is_not_certain_are_named(run, tmp_path, capsys):        # noqa: F811
    rows = ["patient,session,flair,date"]
    for seed, session in enumerate(("old", "new")):
        write_scan(tmp_path / f"{session}.nii.gz", seed=seed)
        rows.append(f"P,{session},{session}.nii.gz,")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    assert call(run, tmp_path / "out", "--report", tmp_path / "m.csv") == 0
    assert "P: the sessions do not say for certain which is the earlier, and were taken so: new, old" in capsys.readouterr().err
    (tmp_path / "m.csv").write_text("\n".join([rows[0], rows[1] + "2019-01-02", rows[2] + "2020-01-02"]))
    assert call(run, tmp_path / "dated", "--report", tmp_path / "m.csv") == 0
    assert capsys.readouterr().err == ""
    assert "old → new" in (tmp_path / "dated/report/cases/P-timeline.html").read_text(encoding="utf-8")
    (tmp_path / "m.csv").write_text(rows[0] + "\n" + rows[1] + "1.2.2019")
    assert call(run, tmp_path / "bad", tmp_path / "m.csv") == 2
    assert "m.csv, line 2: the date is '1.2.2019', but it must be like 2019-03-01" in capsys.readouterr().err


def test_a_report_of_two_scans_of_a_patient(run, tmp_path, capsys):        # noqa: F811
    for session in "12":
        write_scan(tmp_path / "scans" / f"{session}.nii.gz")
    (tmp_path / "scans/manifest.csv").write_text("patient,session,flair\nP,1,1.nii.gz\nP,2,2.nii.gz\n")
    assert call(run, tmp_path / "out", tmp_path / "scans/manifest.csv", "--report") == 0
    report = tmp_path / "out/report"
    assert str(report / "index.html") in capsys.readouterr().out
    assert {path.stem for path in (report / "cases").glob("*.html")} == {"P_1", "P_2", "P-timeline"}
    index = (report / "index.html").read_text(encoding="utf-8")
    assert "1 → 2" in index and hashlib.sha256(b"weights").hexdigest() in index


def test_a_report_leaves_out_what_could_not_be_segmented(run, tmp_path):        # noqa: F811
    good, bad = write_scan(tmp_path / "a.nii.gz"), tmp_path / "b.nii.gz"
    bad.write_bytes(b"broken")
    assert call(run, tmp_path / "out", good, bad, "--report") == 2
    assert names(tmp_path / "out/report/cases") == ["a.html"]
