"""Checksums of the embedded MNIST files.

This module imports only the standard library and nothing from its package: the build hook of the wheel loads
it by its path, before anything is installed, and rejects damaged data.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple


class Archive(NamedTuple):
    """The expected digests of one embedded gzip file.

    Attributes:
        sha256: hex digest of the gzip file itself.
        md5: hex digest of the unzipped bytes; these are the digests of the original MNIST.
    """

    sha256: str
    md5: str


ARCHIVES: dict[str, Archive] = {
    "train-images-idx3-ubyte.gz": Archive(
        sha256="0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
        md5="6bbc9ace898e44ae57da46a324031adb",
    ),
    "train-labels-idx1-ubyte.gz": Archive(
        sha256="1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
        md5="a25bea736e30d166cdddb491f175f624",
    ),
    "t10k-images-idx3-ubyte.gz": Archive(
        sha256="1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
        md5="2646ac647ad5339dbf082846283269ea",
    ),
    "t10k-labels-idx1-ubyte.gz": Archive(
        sha256="b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
        md5="27ae3e4e09519cfbb04c329615203637",
    ),
}


def verify_archives(folder: Path) -> None:
    """Check that a folder holds the four gzip files, bit for bit.

    Args:
        folder: the folder with the four `.gz` files.

    Raises:
        ValueError: if a file is missing or its sha256 is not the one in `ARCHIVES`.
    """
    for name, archive in ARCHIVES.items():
        path = Path(folder) / name
        if not path.is_file():
            raise ValueError(
                f"Expected the file {name} with sha256={archive.sha256}. Received: no file {path}"
            )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != archive.sha256:
            raise ValueError(
                f"Expected sha256={archive.sha256} for {name}. Received: {path} with sha256={digest}"
            )


def verify_content(name: str, content: bytes) -> None:
    """Check the unzipped bytes of one embedded file.

    Args:
        name: the name of the gzip file, a key of `ARCHIVES`.
        content: its unzipped bytes.

    Raises:
        ValueError: if their md5 is not that of the original MNIST.
    """
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != ARCHIVES[name].md5:
        raise ValueError(
            f"Expected unzipped bytes with md5={ARCHIVES[name].md5} in {name} "
            f"(reinstalling digitvae repairs it). Received: {len(content)} bytes with md5={digest}"
        )
