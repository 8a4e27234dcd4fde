"""The machine: the cores that this process may use, and the instructions of its processor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

_PROCESS_GROUPS, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_CPU_INFO = Path("/proc/cpuinfo")
# Values of ONEDNN_MAX_CPU_ISA, under which oneDNN has no products in bfloat16, or computes them in float32.
_WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2")
_SLOW_BFLOAT16 = ("AVX512_CORE", "AVX512_CORE_VNNI")


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity, or the quota of a control group if less."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas()])))


def cpu_flags() -> set[str]:
    """Return the instruction sets of the processor by Linux' names; empty where they are not told."""
    lines = _read(_CPU_INFO).splitlines()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def tensorflow_bfloat16() -> Literal["fast", "slow", "fatal"]:
    """Return how TensorFlow multiplies in bfloat16 here: with instructions for it, slowly, or not at all.

    TensorFlow leaves these products to oneDNN wherever the processor has AVX-512. Where oneDNN is limited to
    older instructions, it has no such products, and the process ends with its error.
    """
    flags, limit = cpu_flags(), os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return "slow"
    if "avx512f" in flags and limit in _WITHOUT_BFLOAT16:
        return "fatal"
    return "fast" if "avx512_bf16" in flags and limit not in _SLOW_BFLOAT16 else "slow"


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
