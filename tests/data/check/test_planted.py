"""One fault of every kind, planted in a case of its own: each is found, by its kind, file and severity, and nothing else is."""
import csv
import gzip
import pathlib

import numpy as np
import pytest

from synergynet_tf import prepare
from synergynet_tf.config import Config, DataConfig, LesionConfig
from synergynet_tf.data.cache import build_cache
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from tests.data.check.phantoms import (
    AXES,
    BRAIN,
    LAS,
    SHAPE,
    E,
    W,
    clean,
    content,
    edit,
    edit_all,
    filled,
    load,
    put,
    remove,
    shifted,
    snapshot,
    store,
    turned,
    without_codes,
)


def two_forms(folder):
    store(folder / "t2.nii", load(folder, "t2"), qform=shifted(12))


def z_scored(array):
    values = array[array != 0]
    return np.where(array != 0, (array - values.mean()) / values.std(), 0).astype(np.float32)


def levels(array):
    return np.where(array != 0, 50 * (1 + (array > 95) + (array > 105) + (array > 140)), 0).astype(np.int16)


def with_noise(array):
    noise = np.random.default_rng(5).integers(1, 20, array.shape)
    return np.where(array == 0, noise, array).astype(np.int16)


def nan_outside(array):
    return np.where(array == 0, np.nan, array).astype(np.float32)


def head(array):
    """The outermost 10 mm are scalp, the next 8 bone."""
    depth = np.linalg.norm(AXES / (39, 49, 40), axis=-1).T
    return np.where((depth > 0.72) & (depth <= 0.86), array / 10, array).astype(np.float32)


def skew(degrees):
    matrix = np.eye(4)
    matrix[0, 1], matrix[1, 1] = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return matrix


def dark(array):
    return np.where(array > 140, 60, array)


def specks(array):
    """Eight corners of two lesions' cubes, of which none touches another."""
    kept = np.zeros_like(array)
    for x, y, z in np.argwhere(array)[[0, -1]]:
        step = 1 if (x, y, z) == tuple(np.argwhere(array)[0]) else -1
        kept[x:x + 3 * step:2 * step, y:y + 3 * step:2 * step, z:z + 3 * step:2 * step] = 1
    return kept


def grains(array):
    kept = np.zeros_like(array)
    kept[30:50:3, 40:60:3, 40:50:3] = kept[31:50:3, 40:60:3, 40:50:3] = 1
    return kept


def same_scan(folder):
    """The first case's FLAIR, its X axis stored the other way round, compressed."""
    array = load(folder.parent / "C00", "flair")
    affine = LAS @ np.diag([-1, 1, 1, 1.0])
    affine[:3, 3] = LAS[:3, :3] @ [SHAPE[0] - 1, 0, 0]
    store(folder / "flair.nii", array[::-1].copy(), affine)
    (folder / "flair.nii").write_bytes(gzip.compress((folder / "flair.nii").read_bytes(), 1))


def same_mask(folder):
    store(folder / "flair.nii", np.where(load(folder.parent / "C00", "lesions"), 150, load(folder, "flair")))
    store(folder / "lesions.nii", load(folder.parent / "C00", "lesions"))


def same_channel(folder):
    store(folder / "t2.nii", load(folder, "flair"))


def unused(folder):
    store(folder / "t1.nii", load(folder, "t2")[:-1] + 1)


ALL = [(W, "orientation", name) for name in ("flair", "t2", "lesions")]
SPACING = [(W, "spacing", name) for name in ("flair", "t2", "lesions")]
FAULTS = {
    "truncated": (content("t2", lambda data: data[:-500]), [(E, "file", "t2")]),
    "no FLAIR to read": (content("flair", lambda data: b"a photograph"), [(E, "file", "flair")]),
    "absent": (remove("t2"), [(E, "file", "")]),
    "grid of T2": (edit("t2", lambda a: a[:, :-1]), [(E, "grid", "t2")]),
    "grid of the mask": (edit("lesions", lambda a: a[:-2]), [(E, "grid", "lesions")]),
    "affine of T2": (edit("t2", lambda a: a, shifted(3)), [(E, "affine", "t2")]),
    "affine of the mask": (edit("lesions", lambda a: a, LAS @ np.diag([-1, 1, 1, 1])), [(E, "affine", "lesions")]),
    "no orientation": (lambda folder: [content(name, without_codes)(folder) for name in ("flair", "t2", "lesions")], ALL),
    "two orientations": (two_forms, [(W, "orientation", "t2")]),
    "tilted": (edit_all(affine=turned(30)), ALL),
    "axes exchanged": (edit_all(lambda a: a.transpose(1, 0, 2)), [(W, "orientation", "flair")]),
    "spacing": (edit_all(affine=np.diag([-1.5, 1.5, 1.5, 1])), [(W, "spacing", "flair")]),
    "NaN": (edit("flair", put(np.nan)), [(E, "intensities", "flair")]),
    "infinite": (edit("t2", put(-np.inf)), [(E, "intensities", "t2")]),
    "all 0": (edit("flair", np.zeros_like), [(E, "intensities", "flair")]),
    "T2 all 0": (edit("t2", np.zeros_like), [(E, "intensities", "t2")]),
    "constant": (edit("flair", lambda a: 7 * (a != 0).astype(np.int16)), [(E, "intensities", "flair")]),
    "z-scored": (edit("flair", z_scored), [(W, "intensities", "flair")]),
    "negative": (edit("t2", lambda a: np.where(a != 0, a - 85, 0)), [(W, "intensities", "t2")]),
    "few values": (edit("flair", levels), [(E, "intensities", "flair")]),
    "few values of T2": (edit("t2", levels), [(E, "intensities", "t2")]),
    "background": (edit("flair", lambda a: a - 1024), [(W, "intensities", "flair")]),
    "background of T2": (edit("t2", lambda a: a + 50), [(W, "intensities", "t2")]),
    "background NaN": (edit("flair", nan_outside), [(W, "intensities", "flair")]),
    "outlier": (edit("flair", put(1e6)), [(W, "intensities", "flair")]),
    "outliers": (edit("t2", lambda a: filled(a, np.s_[40:52, 50:62, 40:52], 32000)), [(E, "intensities", "t2")]),
    "metres": (edit_all(affine=np.diag([-0.0014, 0.0014, 0.0014, 1])), SPACING),
    "microns": (edit_all(affine=np.diag([-1400, 1400, 1400, 1.0])), SPACING),
    "thick slices": (edit_all(lambda a: a[:, :, ::3], np.diag([-1.4, 1.4, 4.2, 1])), [(E, "spacing", "flair")]),
    "skewed": (edit_all(affine=LAS @ skew(2)), [(E, "file", name) for name in ("flair", "t2", "lesions")]),
    "skull and noise": (edit("flair", with_noise), [(E, "brain", "flair"), (W, "brain", "t2")]),
    "skull by its size": (edit_all(affine=np.diag([-2, 2, 2, 1.0])), [(E, "brain", "flair"), (W, "spacing", "flair")]),
    "skull by its layers": (edit("flair", head), [(E, "brain", "flair")]),
    "T2 with its skull": (edit("t2", with_noise), [(W, "brain", "t2")]),
    "small": (edit_all(affine=np.diag([-0.8, 0.8, 0.8, 1])), [(W, "brain", "flair")]),
    "cut at its face": (edit_all(lambda a: a[:, :, 13:]), [(W, "brain", "flair")]),
    "cut within": (edit_all(lambda a: filled(a, np.s_[:, :, 72:], 0)), [(W, "brain", "flair")]),
    "half of T2": (edit("t2", lambda a: filled(a, np.s_[:35], 0)), [(W, "brain", "t2")]),
    "labels": (edit("lesions", put(2)), [(E, "mask", "lesions")]),
    "fractions": (edit("lesions", put(0.3)), [(E, "mask", "lesions")]),
    "outside": (edit("lesions", lambda a: filled(a, np.s_[:5, :5, :5], 1)), [(W, "mask", "lesions")]),
    "of the brain": (edit("lesions", lambda a: BRAIN), [(W, "mask", "lesions")]),
    "empty": (edit("lesions", np.zeros_like), [(W, "lesions", "lesions")]),
    "too many": (edit("lesions", grains), [(E, "lesions", "lesions")]),
    "specks": (edit("lesions", specks), [(W, "lesions", "lesions")]),
    "dark": (edit("flair", dark), [(W, "lesions", "lesions")]),
    "same scan": (same_scan, [(W, "duplicate", "flair")]),
    "same mask": (same_mask, [(W, "duplicate", "lesions")]),
    "same channel": (same_channel, [(W, "duplicate", "t2")]),
    "another channel": (unused, [(W, "grid", "t1"), (W, "intensities", "t1")]),
}


def write_manifest(folder, rows):
    (folder / "manifest.csv").write_text("patient,session,flair,t2,lesions,t1,split\n" + "\n".join(rows) + "\n")
    return folder / "manifest.csv"


def row(name, patient=None, session="", split="train", folder=None, t1=""):
    files = (f"{folder or name}/{file}.nii" for file in ("flair", "t2", "lesions"))
    return ",".join((patient or name, session, *files, t1, split))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The cohort of faults after a check: exit status, rows by case, and the folder that the check wrote."""
    folder = tmp_path_factory.mktemp("faults")
    clean(folder / "C00", 0)
    rows, names = [row("C00")], {}
    for seed, (title, (plant, _)) in enumerate(FAULTS.items(), start=1):
        name = names[title] = f"C{seed:02d}"
        clean(folder / name, seed)
        plant(folder / name)
        rows.append(row(name, t1=f"{name}/t1.nii" if title == "another channel" else ""))
    for number in (1, 2):
        clean(folder / f"T{number}", 90 + number)
    rows += [row("T1", "T", "1"), row("T2", "T", "2", "test")]
    clean(folder / "U", 93)
    rows.append(row("U", split="dev"))
    manifest = write_manifest(folder, rows)
    before = snapshot(folder)
    cache, out = folder.with_name("cache"), tmp_path_factory.mktemp("out")
    status = prepare.main(["--check", "--data.path", str(manifest), "--data.channels", "[flair,t2]", "--out", str(out),
                           "--data.cache", str(cache), "--lesions.max_lesions", "60", "--require-lesions"])
    assert snapshot(folder) == before
    assert not cache.exists()
    found = {}
    with open(out / "check.csv", newline="") as file:
        for line in csv.DictReader(file):
            found.setdefault(line["case"], []).append(line)
    return status, found, out, names


def keys(lines):
    return sorted((line["severity"], line["check"], line["file"]) for line in lines)


@pytest.mark.parametrize("title", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(planted, title):
    _, found, _, names = planted
    assert keys(found.get(names[title], [])) == sorted(FAULTS[title][1])


def test_a_training_refuses_what_a_check_calls_an_error_and_nothing_else(planted, tmp_path):
    _, found, out, names = planted
    config = Config(data=DataConfig(channels=("flair", "t2"), cache=str(tmp_path)), lesions=LesionConfig(max_lesions=60))
    folder = pathlib.Path(found[names["dark"]][0]["path"]).parents[1]
    disagree = {}
    for title, name in names.items():
        files = {channel: folder / name / f"{channel}.nii" for channel in ("flair", "t2", "lesions")}
        case = Case(name, name, "", files, files.pop("lesions"), None)
        refused = None
        try:
            build_cache([case], config)
        except InputError as error:
            refused = str(error)
        if (refused is not None) != any(line["severity"] == E for line in found.get(name, ())):
            disagree[title] = refused
    assert disagree == {}


def test_the_clean_case_has_no_row_and_the_splits_theirs(planted):
    status, found, _, _ = planted
    assert status == 2
    assert "C00" not in found and "T_1" not in found
    assert keys(found["T_2"]) == keys(found["U"]) == [(E, "split", "")]
    assert "T_1 is in train but T_2 in test" in found["T_2"][0]["problem"]
    assert "" not in found


@pytest.mark.parametrize("title, fragments", [
    ("grid of T2", ["84 x 103 x 86", "flair has 84 x 104 x 86", "resample"]), ("NaN", ["1 voxels are NaN or Inf"]),
    ("affine of the mask", ["axes RAS", "flair has", "flipped"]), ("affine of T2", ["3 mm apart", "shifted"]),
    ("cut at its face", ["flat at the bottom", "at the volume's face"]), ("cut within", ["at the top", "within the volume"]),
    ("too many", ["lesions.max_lesions is 60", "raise it"]), ("labels", ["3 values (0, 1, 2)"]),
    ("same scan", ["the same voxels as flair of C00 (patient C00)"]), ("same channel", ["the same voxels as flair: keep one"]),
    ("absent", ["t2.nii does not exist"]), ("tilted", ["30 degrees"]), ("of the brain", ["covers 100 % of the brain"]),
    ("background", ["background is -1024", "taken as 0"]), ("empty", ["mask is empty"]),
    ("metres", ["0.0014 x 0.0014 x 0.0014: metres", "1.4 x 1.4 x 1.4 mm"]), ("microns", ["microns", "1.4 x 1.4 x 1.4 mm"]),
    ("skewed", ["2.0 degrees off right angles", "resample"]), ("outlier", ["1 voxel above", "the highest is 1e+06"]),
    ("outliers", ["1728 of the brain's", "highest 32000"]), ("skull by its size", ["2562 ml", "2400 ml", "prepare --raw"]),
    ("skull by its layers", ["a dark layer", "prepare --raw"]), ("thick slices", ["1.4 x 1.4 x 4.2 mm", "0.4 to 3 mm"]),
    ("few values", ["only 4 different values", "label map"]),
])
def test_a_row_says_what_and_where(planted, title, fragments):
    _, found, _, names = planted
    lines = found[names[title]]
    text = " ".join(line["problem"] for line in lines)
    for fragment in fragments:
        assert fragment in text, text
    for line in lines:
        assert not line["file"] or line["path"].endswith(f"{names[title]}/{line['file']}.nii")


def test_the_sheet_has_a_page_for_every_24_cases(planted):
    _, found, out, names = planted
    pages = sorted(path.name for path in out.iterdir())
    count = -(-(len(names) + 4) // 24)
    assert pages == [*(f"check-{i}-of-{count}.png" for i in range(1, count + 1)), "check.csv"]
    for page in pages[:-1]:
        assert (out / page).read_bytes().startswith(b"\x89PNG")
