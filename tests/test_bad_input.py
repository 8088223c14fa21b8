"""What a user can get wrong, through the command: exit status 2 and one line with the file, both values and the remedy."""
import gzip
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf import prepare

SHAPE = (20, 24, 18)
LAS = np.array([[-1, 0, 0, 9], [0, 1, 0, -12], [0, 0, 1, -7], [0, 0, 0, 1.0]])


@pytest.fixture
def cohort(tmp_path):
    """A sound case: brain, two channels, two lesions."""
    folder = tmp_path / "cohort" / "patient01"
    folder.mkdir(parents=True)
    brain = np.linalg.norm(np.indices(SHAPE).T - (9, 11, 8), axis=-1).T <= 7
    noise = np.random.default_rng(0).standard_normal((2, *SHAPE))
    lesions = np.zeros(SHAPE, np.uint8)
    lesions[8:10, 10:12, 8] = lesions[12, 12, 10] = 1
    for name, array in (("flair", np.where(brain, 100 + 9 * noise[0], 0)), ("t2", np.where(brain, 90 + 9 * noise[1], 0)),
                        ("lesions", lesions)):
        store(folder / f"{name}.nii.gz", array)
    return folder.parent


def store(path, array, affine=LAS):
    array = array.astype(np.uint8 if path.name.startswith("lesions") else np.float32)
    nib.save(nib.Nifti1Image(array, affine), path)


def prepared(cohort, *flags):
    """Exit status of prepare on the cohort."""
    return prepare.main(["--data.path", str(cohort), "--data.channels", "[flair,t2]", "--require-lesions",
                         "--data.cache", str(cohort.parent / "cache"), *flags])


def edit(name, change, affine=LAS):
    """A fault: the array of one file changed, or its affine."""
    def apply(cohort):
        path = cohort / "patient01" / f"{name}.nii.gz"
        store(path, change(np.asarray(nib.load(path).dataobj).copy()), affine)
    return apply


def content(name, change):
    """A fault: the bytes of one file changed."""
    def apply(cohort):
        path = cohort / "patient01" / f"{name}.nii.gz"
        path.write_bytes(change(path.read_bytes()))
    return apply


def put(value):
    def change(array):
        array[9, 11, 8] = value
        return array
    return change


def same(array):
    return array


def flip(axis):
    affine = LAS.copy()
    affine[axis, axis] *= -1
    return affine


def shift(mm):
    affine = LAS.copy()
    affine[:3, 3] += mm
    return affine


def corrupt(data):
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0x55 for byte in data[middle:middle + 40]) + data[middle + 40:]


def unknown_type(data):
    """The voxels' type, bytes 70 and 71 of the header, is none that exists."""
    plain = gzip.decompress(data)
    return gzip.compress(plain[:70] + b"\x77\x77" + plain[72:])


def rename(cohort):
    (cohort / "patient01" / "flair.nii.gz").rename(cohort / "patient01" / "scan.nii.gz")
    (cohort / "patient01").rename(cohort / "someone")


def remove(name):
    def apply(cohort):
        (cohort / "patient01" / f"{name}.nii.gz").unlink()
    return apply


def manifest(*rows):
    def apply(cohort):
        (cohort / "manifest.csv").write_text("\n".join(("patient,session,flair,t2,lesions,split", *rows)) + "\n")
    return apply


FILES = "patient01/flair.nii.gz,patient01/t2.nii.gz,patient01/lesions.nii.gz"
GRID = ["the affine is [", "flair.nii.gz has [", "mm apart"]
FAULTS = {
    **{f"{name}, axis {axis} flipped": (edit(name, same, flip(axis)), [f"{name}.nii.gz", *GRID, "axes LAS", "flipped"])
       for name in ("t2", "lesions") for axis in range(3)},
    "FLAIR flipped": (edit("flair", same, flip(0)), ["t2.nii.gz", *GRID, "axes RAS", "flipped"]),
    **{f"{name} shifted": (edit(name, same, shift(mm)), [f"{name}.nii.gz", *GRID, "shifted", "resample"])
       for name, mm in (("t2", (0, 0, 0.5)), ("lesions", (1, 0, 0)))},
    **{f"{name}, another shape": (edit(name, lambda a: a[:, :-1]), [f"{name}.nii.gz", "20 x 23 x 18", "20 x 24 x 18", "resample"])
       for name in ("t2", "lesions")},
    "FLAIR with NaN": (edit("flair", put(np.nan)), ["flair.nii.gz", "1 voxels are NaN or Inf", "(9, 11, 8)", "replace them"]),
    "T2 with Inf": (edit("t2", put(-np.inf)), ["t2.nii.gz", "1 voxels are NaN or Inf", "(9, 11, 8)", "-inf"]),
    "truncated gzip": (content("flair", lambda data: data[:len(data) // 2]), ["flair.nii.gz", "truncated", "replace"]),
    "truncated by its last byte": (content("t2", lambda data: data[:-1]), ["t2.nii.gz", "truncated", "replace"]),
    "truncated inside": (content("t2", lambda data: gzip.compress(gzip.decompress(data)[:-10])),
                         ["t2.nii.gz", "truncated", f"{352 + 4 * 8640 - 10} bytes", f"asks for {352 + 4 * 8640}", "replace"]),
    "corrupt gzip": (content("flair", corrupt), ["flair.nii.gz", "corrupt", "replace"]),
    "a wrong checksum": (content("lesions", lambda data: data[:-8] + b"\0\0\0\0" + data[-4:]), ["lesions.nii.gz", "corrupt"]),
    "not NIfTI": (content("t2", lambda data: b"a photograph"), ["t2.nii.gz", "not a NIfTI file", "convert"]),
    "empty file": (content("t2", lambda data: b""), ["t2.nii.gz", "not a NIfTI file"]),
    "a damaged header": (content("t2", unknown_type), ["t2.nii.gz", "header is damaged", "replace"]),
    "four axes": (edit("flair", lambda a: np.stack([a, a], axis=-1)),
                  ["flair.nii.gz", "4 axes (20 x 24 x 18 x 2)", "has 3", "extract"]),
    "a mask of three values": (edit("lesions", put(2)), ["lesions.nii.gz", "3 values (0, 1, 2)", "threshold"]),
    "no brain": (edit("flair", np.zeros_like), ["flair.nii.gz", "no brain", "all 8640 voxels are 0", "skull-stripped"]),
    "a constant FLAIR": (edit("flair", lambda a: 5.0 * (a != 0)), ["flair.nii.gz", "every voxel in the brain is 5"]),
    "no T2": (remove("t2"), ["case patient01", "channel t2 is missing", "flair", "data.channels"]),
    "no mask": (remove("lesions"), ["case patient01", "no lesion mask", "add it"]),
    "no case": (rename, ["cohort", "no case found", "manifest", "open_ms", "mslesseg"]),
    "two cases of one name": (manifest(f"A,,{FILES},", f"A,,{FILES},"), ["two cases are named A", "flair.nii.gz", "session"]),
    "a file that is not there": (manifest("A,,gone.nii.gz,patient01/t2.nii.gz,,"), ["case A", "gone.nii.gz", "does not exist"]),
    "an unknown split": (manifest(f"A,,{FILES},dev"), ["case A", "'dev'", "train, validation, test"]),
    "a patient in two splits": (manifest(f"A,1,{FILES},train", f"A,2,{FILES},test"),
                                ["patient A", "A_1", "train", "A_2", "test"]),
}


def one_line(capfd):
    shown = capfd.readouterr()
    lines = shown.err.splitlines()
    assert len(lines) == 1, shown.err
    assert shown.out == ""
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_one_line_names_file_values_and_remedy(cohort, capfd, fault):
    apply, fragments = FAULTS[fault]
    apply(cohort)
    assert prepared(cohort) == 2
    line = one_line(capfd)
    for fragment in fragments:
        assert fragment in line, line


@pytest.mark.parametrize("flags, fragments", [
    (["--data.path", "/absent/cohort"], ["/absent/cohort", "no such file or folder", "data.path"]),
    (["--data.layout", "dicom"], ["data.layout", "'dicom'", "open_ms"]),
    (["--data.cache", "/dev/null/cache"], ["/dev/null/cache", "cannot be made or written", "data.cache"]),
    (["--lesions.max_lesions", "1"], ["case patient01", "2 lesions", "lesions.max_lesions is 1", "raise it"]),
    (["--data.channels", "[t2]"], ["data.channels", "flair"]),
])
def test_flags_that_cannot_be_used(cohort, capfd, flags, fragments):
    assert prepared(cohort, *flags) == 2
    line = one_line(capfd)
    for fragment in fragments:
        assert fragment in line, line


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(cohort, capfd):
    locked = cohort.parent / "cache"
    locked.mkdir(mode=0o500)
    assert prepared(cohort) == 2
    assert "cache: cannot be made or written" in one_line(capfd)


def test_no_path_at_all(capfd):
    assert prepare.main([]) == 2
    assert "--data.path" in one_line(capfd)


def test_the_sound_cohort_is_listed(cohort, capfd):
    assert prepared(cohort) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    row = next(line for line in shown.out.splitlines() if "patient01" in line).split()
    brain = np.count_nonzero(np.asarray(nib.load(cohort / "patient01" / "flair.nii.gz").dataobj))
    assert row == ["patient01", "15", "x", "15", "x", "15", "1", "x", "1", "x", "1", str(brain), "2", "2", "0.01"]


def test_a_cohort_without_masks_is_listed_too(cohort, capfd):
    remove("lesions")(cohort)
    assert prepare.main(["--data.path", str(cohort), "--data.cache", str(cohort.parent / "cache")]) == 0
    assert capfd.readouterr().out.splitlines()[3].split()[-3:] == ["-", "-", "-"]


def test_the_command_itself(cohort):
    shown = subprocess.run([sys.executable, "-m", "synergynet_tf.prepare", "--data.path", str(cohort / "nowhere")],
                           capture_output=True, text=True, cwd=prepare.__file__.rsplit("/", 2)[0])
    assert shown.returncode == 2
    assert shown.stderr == f"error: {cohort / 'nowhere'}: no such file or folder; check data.path\n"
