"""The machine: the cores that this process may use, and the instructions of its processor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_PROCESS_GROUPS, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_CPU_INFO = Path("/proc/cpuinfo")


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity, or the quota of a control group if less."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas()])))


def cpu_flags() -> set[str]:
    """Return the instruction sets of the processor by Linux' names; empty where they are not told."""
    lines = _read(_CPU_INFO).splitlines()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _quotas() -> Iterator[float]:
    """Yield how many cores each control group of this process allows, in both versions of the interface."""
    for line in _read(_PROCESS_GROUPS).splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            root, files = _GROUPS, ["cpu.max"]
        elif "cpu" in controllers.split(","):
            root, files = _GROUPS / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        # The groups above count too, and a container may see its own group as the root.
        path = PurePosixPath(group.lstrip("/"))
        for folder in (path, *path.parents):
            numbers = " ".join(_read(root / folder / name) for name in files).split()
            if len(numbers) == 2 and numbers[0] not in ("max", "-1"):
                yield int(numbers[0]) / int(numbers[1])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
