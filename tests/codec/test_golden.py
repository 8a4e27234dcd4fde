"""Archives of earlier versions, and the same bytes on what looks like other processors."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest

from digitvae.codec import decompress, read_codec_model, write
from digitvae.codec.shards import encoded
from digitvae.machine import cpu_flags

GOLDEN = Path(__file__).parent / "golden"

# Same images, same model, same bytes; a large product of matrices and many images, so that libraries use what
# kernels and threads they have.
SCRIPT = """
import hashlib, sys
import numpy as np
from digitvae.codec import read_codec_model
from digitvae.codec.shards import decoded, encoded
images = np.load(sys.argv[1] + "/images.npy")
for name in ("grey", "bits"):
    model = read_codec_model(f"{sys.argv[1]}/{name}.npz")
    some = np.resize(images, (700, 9, 13))
    if name == "bits":
        some = np.where(some > 127, 255, 0).astype("uint8")
    kept, content, _ = encoded(model, some)
    assert (decoded(model, 700, kept, content) == some).all()
    print(name, kept, hashlib.sha256(content).hexdigest())
"""


def images_of(name):
    images = np.load(GOLDEN / "images.npy")
    return images if name == "grey" else np.where(images > 127, 255, 0).astype("uint8")


@pytest.mark.parametrize("name", ["grey", "bits"])
def test_archives_of_earlier_versions_are_read_and_written_alike(name, monkeypatch):
    monkeypatch.setattr("digitvae.codec.archive._ZLIB_LEVEL", 0)
    model, images = read_codec_model(GOLDEN / f"{name}.npz"), images_of(name)
    content = (GOLDEN / f"{name}.dvc").read_bytes()
    np.testing.assert_array_equal(decompress(content, model), images)
    file = io.BytesIO()
    assert write(file, [images], model, {"labels": list(range(len(images)))}).coded == len(images)
    assert file.getvalue() == content


def test_how_many_images_are_computed_at_once_changes_nothing(monkeypatch):
    model, images = read_codec_model(GOLDEN / "grey.npz"), images_of("grey")
    expected = encoded(model, images)
    for pixels in (1, 117 * 3, 1 << 24):
        monkeypatch.setattr("digitvae.codec.network._CHUNK_PIXELS", pixels)
        assert encoded(model, images) == expected


EXPECTED = "1ea2f5a09b68a099ce96fdfc90918ad3493022046f3f83c31f6a35d9411b2367"
"""SHA-256 of what the script prints."""

# One core of a processor without AVX-512, without AVX2, and two of this one.
DISGUISES = [
    {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"},
    {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "2", "NPY_DISABLE_CPU_FEATURES": "old"},
    {"OPENBLAS_CORETYPE": "Zen", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
]
# OpenBLAS believes that the processor has what it is told, and would end by an illegal instruction.
if {"avx512f", "avx512vl"} <= cpu_flags():
    DISGUISES.append({"OPENBLAS_CORETYPE": "SkylakeX", "OPENBLAS_NUM_THREADS": "2"})


def test_the_bytes_are_the_same_on_what_looks_like_other_processors(python, tmp_path):
    from numpy._core import _multiarray_umath as numpy

    old = " ".join(name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__[name])
    outputs = set()
    for disguise in [{}, *DISGUISES]:
        variables = {key: old if value == "old" else value for key, value in disguise.items()}
        done = python("-c", SCRIPT, GOLDEN, cwd=tmp_path, **variables)
        assert done.returncode == 0, done.stderr
        outputs.add(done.stdout)
    assert len(outputs) == 1, outputs
    assert hashlib.sha256(outputs.pop().encode()).hexdigest() == EXPECTED
