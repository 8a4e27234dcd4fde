"""Memory grows with the images themselves and what is made of them, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

COMMAND = """
import pathlib, re
from digitvae.cli import main
code = main()
status = pathlib.Path("/proc/self/status").read_text()
print(code, re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is read as Linux tells it")
@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        (["generate", "MODEL", "-n", "COUNT", "-o", "a.npz"], 1800),
        (["generate", "MODEL", "-n", "COUNT", "--pixels", "sample", "-o", "a.npz"], 1800),
        (["encode", "MODEL", "IMAGES", "-o", "a.npz"], 1600),
        (["reconstruct", "MODEL", "IMAGES", "-o", "a.npz"], 2600),
        (["classify", "MODEL", "IMAGES", "-o", "a.csv"], 2500),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_memory_for_each_image(python, labelled, tmp_path, arguments, most):
    # Bytes for an image of 784: what was measured and less than an image more, so that another copy is seen.
    peaks = []
    for count in (10_000, 40_000):
        np.save(tmp_path / "images.npy", np.zeros((count, 28, 28), "uint8"))
        places = {"MODEL": labelled, "COUNT": count, "IMAGES": "images.npy"}
        done = python("-c", COMMAND, *(places.get(part, part) for part in arguments), cwd=tmp_path)
        code, peak = done.stdout.splitlines()[-1].split()
        assert code == "0", done.stderr
        peaks.append(1024 * int(peak))
    assert (peaks[1] - peaks[0]) / 30_000 < most
