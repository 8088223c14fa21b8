"""How much memory a process can still take: of the machine, of the group that it runs in, of its own limits (Linux)."""
import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

GB = 2 ** 30
PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def available(share: float = 1.0) -> float | None:
    """Bytes that this process may use in all: what it uses, and a share of what is free for it; None where that is unknown."""
    rooms = [room for room in (_machine(), *_groups(), _address_space()) if room is not None]
    return _of_process("VmRSS") + share * max(min(rooms), 0) if rooms else None


def _machine() -> int | None:
    return _field(PROC / "meminfo", "MemAvailable:")


def _groups() -> Iterator[int]:
    """What the control groups of the process, both versions of them, leave: a container's limit is one."""
    with contextlib.suppress(OSError):
        for line in (PROC / "self/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds == "" or "memory" in kinds.split(","):
                names = ("memory.max", "memory.current") if kinds == "" else ("memory.limit_in_bytes", "memory.usage_in_bytes")
                root = GROUPS if kinds == "" else GROUPS / "memory"
                inside = Path(path.lstrip("/"))
                for folder in (root, *(root / part for part in (inside, *inside.parents) if part != Path("."))):
                    yield from _room(folder, *names)


def _room(folder: Path, limit: str, usage: str) -> Iterator[int]:
    """The room in one group, if it has a limit. Cached files are given up where memory is short, so that they do not count."""
    with contextlib.suppress(OSError, ValueError):
        most, taken = (int((folder / name).read_text()) for name in (limit, usage))     # "max" is no number: no limit
        cached = _field(folder / "memory.stat", "total_inactive_file", 1) or _field(folder / "memory.stat", "inactive_file", 1)
        yield most - taken + (cached or 0)


def _address_space() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit - _of_process("VmSize")


def _of_process(name: str) -> int:
    return _field(PROC / "self/status", f"{name}:") or 0


def _field(path: Path, name: str, unit: int = 1024) -> int | None:
    """A number of a table of the kernel's, in bytes."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in path.read_text().splitlines():
            if line.split()[0] == name:
                return unit * int(line.split()[1])
    return None
