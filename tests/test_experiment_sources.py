"""The experiment command on data of several sources."""
import json
import shutil

from synergynet_tf import experiment
from synergynet_tf.config import Config
from synergynet_tf.workflows.comparing import make_folds
from tests.cohort import write_tiny_cohort
from tests.test_experiment import read


def test_a_mix_of_sources_has_a_block_for_each_and_keeps_its_split_and_weights(tmp_path, caplog):
    parts = {"a": (2, "train"), "b": (1, "validation"), "c": (2, "test"), "d": (1, "test")}
    (tmp_path / "tool").mkdir()
    for seed, (name, (patients, _)) in enumerate(parts.items()):
        write_tiny_cohort(tmp_path / name, patients, seed)
        for patient in range(patients):
            shutil.copy(tmp_path / name / f"P{patient}_lesions.nii.gz", tmp_path / "tool" / f"{name}-P{patient}_1.nii.gz")
    (tmp_path / "tool/times.csv").write_text("case,seconds,peak_gb\nc-P0_1,30,2\nc-P1_1,40,3\nd-P0_1,50,\nX,1,1\n")
    rows = [f"{name},{name},{split},{2 if name == 'a' else ''},{'far' if name == 'd' else 'near'}"
            for name, (_, split) in parts.items()]
    (tmp_path / "mix.csv").write_text("\n".join(["path,patient,split,weight,source", *rows]) + "\n")
    out = tmp_path / "out"
    given = ["--data", str(tmp_path / "mix.csv"), "--out", str(out), "--systems", "lpa",
             "--data.cache", str(tmp_path / "cache"), "--predictions", f"tool={tmp_path / 'tool'}"]
    assert experiment.main(given) == 0
    assert [(row["patient"], row["split"], row["weight"], row["source"]) for row in read(out / "fold0/manifest.csv")] == [
        ("a-P0", "train", "2.0", "near"), ("a-P1", "train", "2.0", "near"), ("b-P0", "validation", "", "near"),
        ("c-P0", "test", "", "near"), ("c-P1", "test", "", "near"), ("d-P0", "test", "", "far")]
    assert [(row["Source"], row["System"]) for row in read(out / "tables/table.csv")] == [
        (source, name) for source in ("far", "near", "all sources") for name in ("lpa", "tool")]
    assert [(row["Time, s"], row["Memory, GB"]) for row in read(out / "tables/table.csv") if row["System"] == "tool"] == [
        ("50.0", ""), ("35.0", "3.0"), ("40.0", "3.0")]
    assert "times.csv: 1 row is of no test case: X" in caplog.text
    assert {row["case"]: row["source"] for row in read(out / "scores/tool/scores.csv") if row["row"] == "case"} == {
        "c-P0_1": "near", "c-P1_1": "near", "d-P0_1": "far"}
    stored = json.loads((out / "scores/lpa/scores.json").read_text())["cases"]
    assert [case["source"] for case in stored] == ["near", "near", "far"]
    index = (out / "report/index.html").read_text(encoding="utf-8")
    assert "lpa, tool on 3 test cases of far, near, one split." in index and "all sources" in index
    (tmp_path / "tool/d-P0_1.nii.gz").unlink()
    assert experiment.main(given) == 0      # a tool that was run on one source alone
    assert [(row["Source"], row["System"]) for row in read(out / "tables/table.csv")] == [
        ("far", "lpa"), ("near", "lpa"), ("near", "tool"), ("all sources", "lpa")]
    assert caplog.text.count("tool has no prediction for 1 source, and is left out there: far") == 1
    assert "files belong to no case" not in caplog.text
    (tmp_path / "mix.csv").write_text((tmp_path / "mix.csv").read_text().replace(",far", ",near"))
    again, = make_folds(Config.from_dict({"data": {"path": given[1], "cache": str(tmp_path / "cache")}}), out)
    assert {case.source for case in again.split.test} == {"near"}       # another name for a source is no change of the data
