import dataclasses
import json
import os
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf.config import Config
from synergynet_tf.data import cache, instances, layouts, preprocess
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError

SHAPE = (20, 24, 18)


def write_case(folder, name, seed=0, lesions=True):
    """A ball of a brain and a few lesions in it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    brain = np.linalg.norm(np.indices(SHAPE).T - (9, 11, 8), axis=-1).T <= 7
    arrays = {"flair": np.where(brain, 100 + 10 * rng.standard_normal(SHAPE), 0).astype(np.float32),
              "t2": np.where(brain, 200 + 20 * rng.standard_normal(SHAPE), 0).astype(np.float32),
              "lesions": (brain & (rng.random(SHAPE) < 0.02)).astype(np.uint8)}
    paths = {key: folder / f"{name}_{key}.nii.gz" for key in arrays}
    for key, array in arrays.items():
        nib.save(nib.Nifti1Image(array, np.diag([-1, 1, 1, 1])), paths[key])
    mask = paths.pop("lesions")
    return Case(name, name, "", paths, mask if lesions else None, None)


def config_of(tmp_path, channels=("flair", "t2"), **lesions):
    return Config.from_dict({"data": {"channels": channels, "cache": str(tmp_path / "cache")}, "lesions": lesions})


def folders(tmp_path):
    return sorted(p.name for p in (tmp_path / "cache").iterdir() if p.is_dir())


def stamps(tmp_path):
    return {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.npy")}


def test_what_is_cached_is_what_was_prepared(tmp_path):
    cases = [write_case(tmp_path / "scans", name, seed) for seed, name in enumerate(("B", "A"))]
    config, seen = config_of(tmp_path), []
    cached = cache.build_cache(cases, config, on_case=lambda case: seen.append(case.name))
    assert seen == [c.name for c in cached] == ["B", "A"]
    for case, found in zip(cases, cached):
        loaded = preprocess.load_case(case, ("flair", "t2"))
        labels, table = instances.label_lesions(loaded.lesions, config.lesions, case.name)
        assert isinstance(found.image(), np.memmap)
        assert not found.image().flags.writeable
        assert found.image().dtype == np.float16
        assert found.instances().dtype == np.int16
        np.testing.assert_allclose(found.image(), loaded.image, atol=2e-3)
        np.testing.assert_array_equal(found.instances(), labels)
        for field in ("boxes", "voxels", "is_small"):
            np.testing.assert_array_equal(getattr(found.table, field), getattr(table, field))
            assert getattr(found.table, field).dtype == getattr(table, field).dtype
        assert len(table.voxels) > 3
        assert (found.shape, found.channels, found.has_lesions) == (loaded.brain.shape, ("flair", "t2"), True)
        assert (found.brain_voxels, found.spacing, found.case) == (loaded.brain.sum(), (1.0, 1.0, 1.0), case)


def test_arrays_are_opened_without_compiling(tmp_path, monkeypatch):
    """As many threads open them, and CPython 3.11 cannot compile in two at once."""
    found, = cache.build_cache([write_case(tmp_path, "A")], config_of(tmp_path))
    expected = [np.load(found.folder / f"{name}.npy") for name in ("image", "instances")]
    monkeypatch.setattr("builtins.compile", lambda *_, **__: pytest.fail("compiled"))
    opened = [found.image(), found.instances()]
    monkeypatch.undo()
    for array, stored in zip(opened, expected):
        assert array.dtype == stored.dtype
        np.testing.assert_array_equal(array, stored)


def test_a_case_without_a_mask_has_no_instances(tmp_path):
    found, = cache.build_cache([write_case(tmp_path, "A", lesions=False)], config_of(tmp_path))
    assert not found.has_lesions
    assert not found.instances().any()
    assert found.table.boxes.shape == (0, 6)


def test_nothing_is_prepared_twice(tmp_path):
    case, config = write_case(tmp_path, "A"), config_of(tmp_path)
    cache.build_cache([case], config)
    before = stamps(tmp_path)
    cache.build_cache([dataclasses.replace(case, patient="other")], config)
    assert stamps(tmp_path) == before


@pytest.mark.parametrize("change", ["flair", "t2", "lesions", "no lesions", "channels", "connectivity", "order"])
def test_a_changed_file_or_setting_is_noticed(tmp_path, change):
    case, config = write_case(tmp_path, "A"), config_of(tmp_path)
    first, = cache.build_cache([case], config)
    if change in ("flair", "t2", "lesions"):
        path = case.lesions if change == "lesions" else case.images[change]
        image = nib.load(path)
        array = np.asarray(image.dataobj).copy()
        array[9, 11, 8] = 1 - array[9, 11, 8]
        nib.save(nib.Nifti1Image(array, image.affine), path)
    elif change == "no lesions":
        case = dataclasses.replace(case, lesions=None)
    elif change == "connectivity":
        config = config_of(tmp_path, connectivity=6)
    else:
        config = config_of(tmp_path, channels=("flair",) if change == "channels" else ("t2", "flair"))
    second, = cache.build_cache([case], config)
    assert len(folders(tmp_path)) == 2
    same = (np.array_equal(first.image(), second.image()) and np.array_equal(first.instances(), second.instances())
            and len(first.table.voxels) == len(second.table.voxels))
    assert not same


def test_settings_that_shape_nothing_need_no_new_folder(tmp_path):
    case = write_case(tmp_path, "A")
    first, = cache.build_cache([case], config_of(tmp_path))
    second, = cache.build_cache([case], config_of(tmp_path, small_box_voxels=2))
    assert len(folders(tmp_path)) == 1
    volumes = np.prod(first.table.boxes[:, 3:] - first.table.boxes[:, :3], axis=1)
    np.testing.assert_array_equal(second.table.is_small, volumes < 2)
    assert first.table.is_small.all()
    with pytest.raises(InputError, match=r"case A: \d+ lesions .* lesions\.max_lesions is 2; raise it"):
        cache.build_cache([case], config_of(tmp_path, max_lesions=2))


def flipped(content, rng):
    """The bytes with one bit another."""
    content = bytearray(content)
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(content)


def zeroed(content, rng):
    start = rng.integers(max(len(content) - 64, 1))
    return content[:start] + bytes(min(64, len(content) - start)) + content[start + 64:]


def test_no_damage_goes_unnoticed_and_each_file_is_read_once(tmp_path, monkeypatch, caplog):
    """300 flipped bits, 40 zeroed blocks, bytes added and cut, in every file of a case."""
    case, config, rng = write_case(tmp_path, "A"), config_of(tmp_path), np.random.default_rng(0)
    first, = cache.build_cache([case], config)
    whole = {name: (first.folder / name).read_bytes() for name in ("image.npy", "instances.npy", "case.json")}
    damages = [*[flipped] * 300, *[zeroed] * 40, *[lambda content, rng: content + bytes(rng.integers(1, 200))] * 20,
               *[lambda content, rng: content[:rng.integers(len(content))]] * 40]
    unnoticed = 0
    for damage in damages:
        name = str(rng.choice(list(whole)))
        content = damage(whole[name], rng)
        (first.folder / name).write_bytes(content)
        same = content == whole[name] or name == "case.json" and parsed(content) == parsed(whole[name])
        unnoticed += cache._is_ready(case, first.folder, config) and not same
        (first.folder / name).write_bytes(whole[name])
    assert unnoticed == 0 and len(caplog.records) > 380
    assert "it is prepared anew" in caplog.text
    cache.build_cache([case], config)
    monkeypatch.setattr(cache.zlib, "crc32", lambda *_: pytest.fail("read again"))
    cache.build_cache([case], config)


def parsed(content):
    """What JSON holds: of it a flipped bit may change nothing, as in 1e-5 and 1E-5."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def test_a_damaged_index_is_made_anew(tmp_path):
    case, config = write_case(tmp_path, "A"), config_of(tmp_path)
    for path in (*case.images.values(), case.lesions):
        path.write_bytes(path.read_bytes())
    first, = cache.build_cache([case], config)
    for content in (b"{ damaged", b"", b"[]", b'{"files": {"x": []}, "voxels": {}}', b"\xff"):
        (tmp_path / "cache" / "digests.json").write_bytes(content)
        again, = cache.build_cache([case], config)
        assert again.folder == first.folder


@pytest.mark.parametrize("damage", ["no case.json", "half a case.json", "short image", "no instances", "other shape", "empty"])
def test_a_half_written_or_damaged_folder_is_prepared_again(tmp_path, damage):
    case, config = write_case(tmp_path, "A"), config_of(tmp_path)
    first, = cache.build_cache([case], config)
    image, about = np.array(first.image()), first.folder / "case.json"
    if damage == "no case.json":
        about.unlink()
    elif damage == "half a case.json":
        about.write_text(about.read_text()[:40])
    elif damage == "short image":
        content = (first.folder / "image.npy").read_bytes()
        (first.folder / "image.npy").write_bytes(content[:-100])
    elif damage == "no instances":
        (first.folder / "instances.npy").unlink()
    elif damage == "other shape":
        np.save(first.folder / "instances.npy", np.zeros((2, 2, 2), np.int16))
    else:
        shutil.rmtree(first.folder)
        first.folder.mkdir()
    second, = cache.build_cache([case], config)
    assert second.folder == first.folder
    np.testing.assert_array_equal(second.image(), image)
    assert second.instances().shape == second.shape


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("moment", ["os.fsync", "os.rename"])
def test_an_interrupted_build_leaves_nothing_that_looks_complete(tmp_path, monkeypatch, error, moment):
    case, config = write_case(tmp_path, "A"), config_of(tmp_path)

    def stop(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(moment, stop)
        with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt):
            cache.build_cache([case], config)
    assert folders(tmp_path) == []
    assert len(cache.build_cache([case], config)) == 1


def test_what_another_command_finished_first_is_kept(tmp_path):
    case, config = write_case(tmp_path, "A"), config_of(tmp_path)
    first, = cache.build_cache([case], config)
    before = stamps(tmp_path)
    cache._build(case, first.folder, config)        # as a command that looked before the folder was there
    assert stamps(tmp_path) == before
    assert folders(tmp_path) == [first.folder.name]


def test_what_a_killed_command_left_is_swept_up_and_nothing_of_others(tmp_path):
    """Of our names, and locked by nobody; other programs' temporary folders are theirs."""
    root = tmp_path / "cache"
    for name in (".synergynet-0123456789ab.tmp", ".x.tmp", ".0123456789abcdef0123456789abcdef.tmp"):
        (root / name).mkdir(parents=True)
        (root / name / "image.npy").write_bytes(b"x")
        os.utime(root / name, (0, 0))
    cache.build_cache([], config_of(tmp_path))
    assert folders(tmp_path) == [".0123456789abcdef0123456789abcdef.tmp", ".x.tmp"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk can be made by root alone")
def test_a_full_disk_is_called_one(tmp_path):
    case, disk = write_case(tmp_path, "A"), tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        config = Config.from_dict({"data": {"cache": str(disk / "cache")}})
        with pytest.raises(InputError, match=r"cannot be written \(the disk is full\); name a folder with room as data\.cache"):
            cache.build_cache([case], config)
        assert not [path for path in (disk / "cache").iterdir() if path.is_dir()]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_processes_give_what_one_gives(tmp_path):
    cases = [write_case(tmp_path / "scans", name, seed) for seed, name in enumerate("AB")]
    alone = cache.build_cache(cases, config_of(tmp_path / "alone"), workers=1)
    together = cache.build_cache(cases, config_of(tmp_path / "together"), workers=2)
    for a, b in zip(alone, together):
        assert a.folder.name == b.folder.name
        for file in ("image.npy", "instances.npy", "case.json"):
            assert (a.folder / file).read_bytes() == (b.folder / file).read_bytes()
    bad = write_case(tmp_path / "scans", "C")
    bad.images["t2"].write_bytes(bad.images["t2"].read_bytes()[:50])
    with pytest.raises(InputError, match=r"C_t2\.nii\.gz: truncated"):
        cache.build_cache([*cases, bad], config_of(tmp_path / "together"), workers=2)


def test_where_the_cache_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_root(Config()) == tmp_path / "synergynet_tf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_root(Config()) == tmp_path / ".cache" / "synergynet_tf"
    assert cache.cache_root(config_of(tmp_path)) == tmp_path / "cache"


def test_a_cache_that_cannot_be_made_is_named(tmp_path):
    case = write_case(tmp_path, "A")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match=r"cache: cannot be made or written .*data\.cache"):
        cache.build_cache([case], config_of(tmp_path))


def test_whatever_fails_in_a_case_names_it(tiny_config, monkeypatch):
    monkeypatch.setattr(cache, "load_case", lambda *_: 1 // 0)
    with pytest.raises(InputError, match="case P0_1: ZeroDivisionError: .*this was not foreseen: please report it"):
        cache.build_cache(layouts.discover(tiny_config.data.path), tiny_config, workers=1)
