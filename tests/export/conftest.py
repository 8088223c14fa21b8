"""What the tests of the export share: scans in many forms, exported toys, and their files."""
import gzip
import pathlib

import nibabel as nib
import numpy as np
import pytest

from tests.export.toy import Toy, toy_config


@pytest.fixture(scope="session")
def brain() -> np.ndarray:
    """Intensities [30, 36, 28] in canonical orientation: an ellipsoid with a hole, negative voxels, bright spots, and specks."""
    rng = np.random.default_rng(3)
    axes = np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in (30, 36, 28)), indexing="ij")
    inside = sum(a ** 2 for a in axes) < 1
    values = np.where(inside, 90 + rng.integers(-8, 8, inside.shape), 0)
    for start in ((9, 12, 9), (17, 20, 14), (12, 25, 15)):
        values[tuple(slice(a, a + 4) for a in start)] += 60
    values[14, 15:17, 12] = 0           # a hole
    values[2, 2, 2] = 50                # a speck of dirt
    return values


@pytest.fixture(scope="session")
def make_file(brain, tmp_path_factory):
    """A function that writes the brain as a NIfTI file in some form and gives its path."""
    folder = tmp_path_factory.mktemp("files")

    def make(name: str, dtype: str = "<i2", axes: str = "RAS", scale: tuple[float, float] = (1, 0), form: str = "sform",
             extension: bytes = b"", values: np.ndarray = brain) -> pathlib.Path:
        ornt = nib.orientations.axcodes2ornt(axes)
        there = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), ornt)
        stored = nib.orientations.apply_orientation(values, there)
        affine = _turn() @ np.diag([1.0, 1.1, 0.9, 1.0]) @ nib.orientations.inv_ornt_aff(there, values.shape)
        affine[:3, 3] += (-12.5, 7.25, 30)
        header = nib.Nifti1Header(endianness=dtype[0])
        header.set_data_dtype(dtype)
        image = nib.Nifti1Image(((stored - scale[1]) / scale[0]).astype(dtype), None, header)
        image.header.set_sform(affine, 2 if form == "sform" else 0)
        image.header.set_qform(affine, 1 if form == "qform" else 0)
        image.header.set_slope_inter(*scale)
        image.header["descrip"], image.header["cal_max"] = b"a test", 250
        if extension:
            image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", extension))
        content = image.to_bytes()
        path = folder / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return make


def _turn() -> np.ndarray:
    c, s = np.cos(0.2), np.sin(0.2)
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.fixture(scope="session")
def toy_signatures():
    """The traced signatures of a toy network, with its configuration."""
    from export.settings import Limits
    from export.signatures import Member, Segmenter

    toy, config = Toy(), toy_config()
    limits = Limits(max_side=64, max_voxels=64 ** 3)
    return Segmenter([Member(toy, toy.weights, config)], limits).signatures(), toy, config


@pytest.fixture(scope="session")
def predict(toy_signatures, tmp_path_factory):
    """What `predict` writes for a file: the bytes of its mask, and the summary beside it."""
    from synergynet_tf.inference import outputs
    from synergynet_tf.inference.predictor import Predictor
    from synergynet_tf.workflows.inputs import scan_case

    _, toy, config = toy_signatures
    predictor, out = Predictor(toy, config), tmp_path_factory.mktemp("predicted")

    def run(path: pathlib.Path) -> tuple[bytes, dict]:
        summary = outputs.write_case(out, predictor.predict_case(scan_case(path, None, ["flair"])))
        mask, = out.glob("*_mask.nii.gz")
        content = gzip.decompress(mask.read_bytes())
        mask.unlink()
        return content, summary

    return run


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory) -> pathlib.Path:
    """A bundle of a toy network."""
    pytest.importorskip("tensorflow_serving")
    from export.settings import Limits
    from export.writing import export_networks

    folder = tmp_path_factory.mktemp("bundle")
    who = {"run": "toy", "weights": "best", "sha256": "0" * 64}
    export_networks([(Toy(), toy_config())], [who], folder, "toy", Limits(), [folder / "run"])
    return folder
