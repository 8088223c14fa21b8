"""The served graph and `predict` say the same of damaged files: verdict, mask, notes."""
import pytest

from synergynet_tf.inference.predictor import Predictor
from tests.export import agreement


@pytest.fixture(scope="module")
def sound(make_file) -> list[bytes]:
    forms = {"plain.nii": {}, "float.nii": {"dtype": "<f4", "axes": "LPS"}, "extended.nii": {"extension": b"what a scanner says"},
             "big.nii": {"dtype": ">i2", "form": "qform", "scale": (0.5, 8)}, "none.nii": {"dtype": "<u1", "form": "none"}}
    return [make_file(name, **form).read_bytes() for name, form in forms.items()]


def disagreements(toy_signatures, sound: list[bytes], folder, count: int, seed: int) -> list[str]:
    """Of `count` damaged files, what the two say differently."""
    signatures, *network = toy_signatures
    predictor, found = Predictor(*network), []
    for i, (damage, content) in enumerate(agreement.damaged(sound, count, seed)):
        said = agreement.compare(signatures, predictor, folder, flair=content)
        if said:
            found.append(f"file {i} of seed {seed}, {damage}: {said}")
    return found


def test_sound_files_are_taken(toy_signatures, sound, tmp_path):
    predictor = Predictor(*toy_signatures[1:])
    for content in sound:
        assert agreement.by_graph(toy_signatures[0], flair=content).refused is None
        assert agreement.compare(toy_signatures[0], predictor, tmp_path, flair=content) is None


def test_damaged_files(toy_signatures, sound, tmp_path):
    assert disagreements(toy_signatures, sound, tmp_path, 40, seed=0) == []
