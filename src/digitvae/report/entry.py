"""One evaluated run, as the report takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1
"""The version of the evaluation's schema that this package reads."""

PROTOCOLS = {
    "dynamic": "dynamically binarized bits",
    "grey-256": "256 grey levels",
    "grey-density": "a density of grey pixels",
    "samples": "images alone, without likelihoods",
}
"""What the nats of each protocol are of."""


@dataclass(frozen=True)
class ReportEntry:
    """A run and what is known about it.

    Attributes:
        name: what the run is called, usually its folder's name; any text.
        evaluation: the object of `evaluation.json`, version 1. Parts that are null or missing are left out.
        config: the object of the run's `config.json`; missing parts are left out.
        pictures: figures, or the bytes of PNG files, by name and in the order of display. Names such as
            "samples" or "nll_curve" get a title and an explanation; others are shown under their own name.

    Raises:
        ValueError: the evaluation has another schema version, or a protocol that does not exist.
    """

    name: str
    evaluation: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Figure | bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        version = self.evaluation.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ValueError(
                f"Expected an evaluation of schema version {SCHEMA_VERSION}. "
                f"Received: schema_version={version} of {self.name}"
            )
        if self.protocol not in PROTOCOLS:
            raise ValueError(
                f"Expected a protocol among {', '.join(PROTOCOLS)}. "
                f"Received: protocol={self.protocol} of {self.name}"
            )

    @property
    def protocol(self) -> Any:
        """What the nats are of; a key of `PROTOCOLS`."""
        return self.evaluation.get("protocol")

    @property
    def data(self) -> str:
        """What identifies the data: their hash, or their name where the hash is missing."""
        return str(self.config.get("data_sha256") or self.data_name)

    @property
    def data_name(self) -> str:
        """What the config calls the data."""
        return str(self.settings.get("data", "unknown data"))

    @property
    def settings(self) -> Mapping[str, Any]:
        """The run's settings, empty where they are not known."""
        return self.config.get("config") or {}

    def get(self, path: str) -> Any:
        """Look up a part of the evaluation.

        Args:
            path: keys joined by dots, such as "test.nll".

        Returns:
            The part, None where it or one above it is null or missing.
        """
        part: Any = self.evaluation
        for key in path.split("."):
            part = part.get(key) if isinstance(part, Mapping) else None
        return part


Numbered = tuple[int, ReportEntry]
"""A run and its place in the report: two runs may have the same name."""


def grouped(
    entries: Iterable[Numbered], key: Callable[[ReportEntry], Any]
) -> list[tuple[Any, list[Numbered]]]:
    """Collect the entries with the same key, in the order in which keys come first."""
    groups: dict[Any, list[Numbered]] = {}
    for i, entry in entries:
        groups.setdefault(key(entry), []).append((i, entry))
    return list(groups.items())
