"""Sound cases for the tests of a check, and the means to spoil them."""
import hashlib

import nibabel as nib
import numpy as np

SHAPE = (84, 104, 86)
LAS = np.diag([-1.4, 1.4, 1.4, 1.0])
AXES = np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2
BRAIN = (np.linalg.norm(AXES / (39, 49, 40), axis=-1) <= 1).T
E, W = "error", "warning"


def clean(folder, seed):
    """A case without a fault: an ellipsoid brain of 880 ml at 1.4 mm, two channels, bright lesions; none is like another's."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 9, (2, *SHAPE)).astype(np.float32)
    lesions = np.zeros(SHAPE, np.uint8)
    for place in ((30, 40, 40), (50, 60, 50), (35, 65, 35)):
        x, y, z = place + rng.integers(-4, 5, 3)
        lesions[x:x + 3, y:y + 3, z:z + 3] = 1
    folder.mkdir(parents=True)
    for name, base, bright, extra in (("flair", 100, 60, noise[0]), ("t2", 90, 40, noise[1])):
        store(folder / f"{name}.nii", np.where(BRAIN, base + bright * lesions + extra, 0).astype(np.int16))
    store(folder / "lesions.nii", lesions)


def store(path, array, affine=LAS, qform=None):
    image = nib.Nifti1Image(array.astype(array.dtype if array.dtype != bool else np.uint8), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine if qform is None else qform, 1)
    nib.save(image, path)


def load(folder, name):
    return np.asarray(nib.load(folder / f"{name}.nii").dataobj)


def edit(name, change, affine=LAS):
    def plant(folder):
        store(folder / f"{name}.nii", change(load(folder, name)), affine)
    return plant


def edit_all(change=lambda array: array, affine=LAS, names=("flair", "t2", "lesions")):
    def plant(folder):
        for name in names:
            edit(name, change, affine)(folder)
    return plant


def content(name, change):
    def plant(folder):
        path = folder / f"{name}.nii"
        path.write_bytes(change(path.read_bytes()))
    return plant


def remove(name):
    return lambda folder: (folder / f"{name}.nii").unlink()


def put(value):
    def change(array):
        array = array.astype(np.float32)
        array[42, 52, 43] = value
        return array
    return change


def filled(array, start, value):
    array = array.copy()
    array[start] = value
    return array


def shifted(mm):
    affine = LAS.copy()
    affine[0, 3] += mm
    return affine


def turned(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.eye(4)
    turn[:2, :2] = (c, -s), (s, c)
    return turn @ LAS


def without_codes(data):
    """qform_code and sform_code, bytes 252 to 255 of the header, are 0: what is left is the spacing."""
    return data[:252] + bytes(4) + data[256:]


def snapshot(folder):
    return {path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"")
            for path in sorted(folder.rglob("*"))}


def sound(tmp_path, cases=2):
    for seed in range(cases):
        clean(tmp_path / "cohort" / f"patient0{seed}", seed)
    return tmp_path / "cohort"
