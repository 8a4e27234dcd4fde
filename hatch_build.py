"""The build hook: a package with damaged data is never built, not even for an editable install."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class VerifiedData(BuildHookInterface):
    """Checks the embedded files before anything is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Verify the sha256 of every embedded archive, and that the classifier is whole.

        Args:
            version: "standard" or "editable"; both are checked.
            build_data: what hatchling is about to build; left as it is.

        Raises:
            ValueError: an archive is missing or not the original, or the classifier is missing or damaged.
        """
        data = Path(self.root, "src", "digitvae", "data")
        # By its path: the package itself cannot be imported before it and what it needs are installed.
        spec = importlib.util.spec_from_file_location("checksums", data / "checksums.py")
        checksums = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(checksums)
        checksums.verify_archives(data / "files")
        _verify_classifier(data / "files" / "classifier.keras")


def _verify_classifier(path: Path) -> None:
    # Training again makes another file, so there is no fixed checksum; but the file is a zip with its own.
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        damaged = str(error)
    if damaged is not None:
        raise ValueError(f"Expected a whole classifier file. Received: {path} ({damaged})")
