"""What memory is said to be free: of the machine, of control groups in both versions, of the process's own limits."""
import resource

import pytest

from synergynet_tf.runtime import memory

GB = 2 ** 30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with 8 GB free, of which this process has 1 GB, in a group of the second version that has no limit."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 16777216 kB\nMemAvailable: {8 * 2 ** 20} kB\n")
    (proc / "self/status").write_text(f"VmRSS:\t{2 ** 20} kB\nVmSize:\t{3 * 2 ** 20} kB\n")
    (proc / "self/cgroup").write_text("0::/pod/box\n")
    monkeypatch.setattr(memory, "PROC", proc)
    monkeypatch.setattr(memory, "GROUPS", groups)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return proc, groups


def group(folder, limit, usage, cached, names=("memory.max", "memory.current"), cache="inactive_file"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{cache} {cached}\n")


def test_the_machine(system):
    assert memory.available() == 9 * GB and memory.available(0.5) == 5 * GB
    (system[0] / "meminfo").unlink()
    assert memory.available() is None


def test_the_least_of_all_groups_around(system):
    group(system[1] / "pod/box", "max", 5 * GB, 0)
    assert memory.available() == 9 * GB
    group(system[1] / "pod", 6 * GB, 5 * GB, 2 * GB)
    assert memory.available() == 4 * GB         # 6 - 5, and what of files can be given up, beside its own 1
    group(system[1], 2 * GB, 3 * GB, 0)
    assert memory.available() == 1 * GB


def test_groups_of_the_first_version(system):
    (system[0] / "self/cgroup").write_text("9:name=systemd:/\n4:cpu,memory:/box\n")
    group(system[1] / "memory/box", 4 * GB, 2 * GB, GB, ("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_inactive_file")
    assert memory.available() == 4 * GB


def test_a_limit_of_the_address_space(system, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (5 * GB, resource.RLIM_INFINITY))
    assert memory.available() == 3 * GB


def test_this_machine_says_something():
    assert memory.available() > 2 ** 20
