"""The checksums of the embedded files, used as the build hook uses them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from digitvae.data import checksums
from digitvae.data.checksums import ARCHIVES, verify_archives, verify_content

FOLDER = Path(checksums.__file__).parent / "files"


def test_embedded_files_are_the_originals():
    verify_archives(FOLDER)
    assert sorted(path.name for path in FOLDER.glob("*.gz")) == sorted(ARCHIVES)


def test_canonical_digests():
    assert ARCHIVES["train-images-idx3-ubyte.gz"].md5 == "6bbc9ace898e44ae57da46a324031adb"
    assert ARCHIVES["t10k-images-idx3-ubyte.gz"].md5 == "2646ac647ad5339dbf082846283269ea"


def test_loads_by_path_with_the_standard_library_alone():
    script = (
        "import importlib.util, pathlib, sys\n"
        f"spec = importlib.util.spec_from_file_location('checksums', {checksums.__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        f"module.verify_archives(pathlib.Path({str(FOLDER)!r}))\n"
        "assert not {'numpy', 'digitvae'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-I", "-c", script], check=True)


@pytest.fixture
def copies(tmp_path):
    """A folder with copies of the four archives."""
    for name in ARCHIVES:
        shutil.copy(FOLDER / name, tmp_path / name)
    return tmp_path


def test_missing_archive_is_refused(copies, refused):
    (copies / "t10k-labels-idx1-ubyte.gz").unlink()
    with refused(ValueError, "t10k-labels-idx1-ubyte.gz", "no file"):
        verify_archives(copies)


def test_damaged_archive_is_refused(copies, refused):
    path = copies / "train-labels-idx1-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with refused(ValueError, path, hashlib.sha256(content).hexdigest(), ARCHIVES[path.name].sha256):
        verify_archives(copies)


def test_wrong_content_is_refused(refused):
    name = "t10k-labels-idx1-ubyte.gz"
    with refused(ValueError, name, "Received: 3 bytes", ARCHIVES[name].md5, "reinstalling digitvae"):
        verify_content(name, b"abc")
    with refused(ValueError, name, "Received: 10008 bytes"):
        verify_content(name, bytes(10_008))
