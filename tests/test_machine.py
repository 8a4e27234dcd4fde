"""The cores that this process may use, and what its processor can do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from digitvae import machine

QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Returns a maker of what Linux says: groups of the process, their files, cores of its affinity."""

    def make(groups, files, affinity=range(8)):
        (tmp_path / "cgroup").write_text(groups)
        for name, text in files.items():
            path = tmp_path / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(machine, "_PROCESS_GROUPS", tmp_path / "cgroup")
        monkeypatch.setattr(machine, "_GROUPS", tmp_path / "fs")
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(affinity), raising=False)

    return make


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "300000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "350000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "1600000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/a/b\n", {"cpu.max": "max 100000", "a/cpu.max": "200000 100000", "a/b/cpu.max": "4 1"}, 2),
        ("0::/docker/0123\n", {"cpu.max": "200000 100000"}, 2),
        ("4:memory:/a\n1:cpu,cpuacct:/a\n0::/\n", {f"cpu/a/{QUOTA}": "-1", f"cpu/a/{PERIOD}": "100000"}, 8),
        ("1:cpuacct,cpu:/a\n", {f"cpu/a/{QUOTA}": "400000", f"cpu/a/{PERIOD}": "100000"}, 4),
        ("1:cpuacct:/a\n", {f"cpu/a/{QUOTA}": "400000", f"cpu/a/{PERIOD}": "100000"}, 8),
    ],
)
def test_cores_are_those_of_the_affinity_and_the_quotas(system, groups, files, cores):
    system(groups, files)
    assert machine.usable_cores() == cores


def test_the_affinity_counts_where_it_is_less(system):
    system("0::/\n", {"cpu.max": "300000 100000\n"}, affinity=[5, 6])
    assert machine.usable_cores() == 2


def test_without_an_affinity_all_cores_count(system, monkeypatch):
    system("", {})
    monkeypatch.delattr(os, "sched_getaffinity")
    assert machine.usable_cores() == os.cpu_count()


def test_a_process_held_to_one_core_has_one(environment):
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    code += "from digitvae.machine import usable_cores; print(usable_cores())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_the_flags_of_the_processor_are_read(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    monkeypatch.setattr(machine, "_CPU_INFO", info)
    assert {"avx2", "avx512_bf16"} <= machine.cpu_flags()
    monkeypatch.setattr(machine, "_CPU_INFO", Path("absent"))
    assert machine.cpu_flags() == set()


@pytest.mark.parametrize(
    ("flags", "variables", "expected"),
    [
        ("avx2 avx512f avx512_bf16", {}, "fast"),
        ("avx2 avx512f avx512_bf16", {"ONEDNN_MAX_CPU_ISA": "all"}, "fast"),
        ("avx2 avx512f avx512_bf16", {"ONEDNN_MAX_CPU_ISA": "avx512_core"}, "slow"),
        ("avx2 avx512f avx512_bf16", {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "fatal"),
        ("avx2 avx512f avx512_bf16", {"TF_ENABLE_ONEDNN_OPTS": "0"}, "slow"),
        ("avx2 avx512f avx512_bf16", {"TF_ENABLE_ONEDNN_OPTS": "0", "ONEDNN_MAX_CPU_ISA": "AVX2"}, "slow"),
        ("avx2 avx512f", {}, "slow"),
        ("avx2", {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "slow"),
    ],
)
def test_products_in_bfloat16_need_processor_and_settings(monkeypatch, flags, variables, expected):
    for name in ("ONEDNN_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(machine, "cpu_flags", lambda: set(flags.split()))
    assert machine.tensorflow_bfloat16() == expected


def test_tensorflow_multiplies_in_bfloat16_wherever_that_is_not_said_to_be_fatal(python, tmp_path):
    code = "import tensorflow as tf; x = tf.ones((32, 32), 'bfloat16'); print(float((x @ x)[0, 0]))"
    settings = [
        {"ONEDNN_MAX_CPU_ISA": "AVX2", "TF_ENABLE_ONEDNN_OPTS": "0"},
        {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "TF_ENABLE_ONEDNN_OPTS": "1"},
    ]
    for variables in settings:
        done = python("-c", code, cwd=tmp_path, **variables)
        assert done.stdout == "32.0\n", done.stderr
