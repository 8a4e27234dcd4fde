"""Progress bars on stderr: on a terminal alone, and only for what takes longer than a moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

DELAY = 1.0
"""Seconds before a bar appears; its library, which takes long to import, is not needed before."""


class Bar:
    """A bar that moves with `update`, and goes when its block ends."""

    def __init__(self, total: int, description: str, unit: str, shown: bool):
        self._options: dict[str, Any] = {"total": total, "desc": description, "unit": unit, "leave": False}
        self._shown, self._began, self._done = shown, time.monotonic(), 0
        self._bar: tqdm | None = None

    def update(self, count: int = 1) -> None:
        """Say that so many more are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._shown and time.monotonic() - self._began > DELAY:
            from tqdm import tqdm

            self._bar = tqdm(initial=self._done, dynamic_ncols=True, **self._options)

    def set_description(self, description: str) -> None:
        """Say what is done now."""
        self._options["desc"] = description
        if self._bar is not None:
            self._bar.set_description(description)

    def close(self) -> None:
        """Take the bar away, so that the next line begins where it stood."""
        self._shown = False
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


_shown: ContextVar[bool] = ContextVar("progress", default=False)


@contextmanager
def progress_shown(wanted: bool = True) -> Iterator[None]:
    """Show the bars of everything inside of the block."""
    token = _shown.set(wanted)
    try:
        yield
    finally:
        _shown.reset(token)


def progress_bar(total: int, description: str, unit: str, wanted: bool = False) -> Bar:
    """Return a bar on stderr.

    Args:
        total: how many there are to do.
        description: what is done.
        unit: of what, with a space before it.
        wanted: whether to show it outside of `progress_shown` too; never where stderr is no terminal.
    """
    return Bar(total, description, unit, (wanted or _shown.get()) and sys.stderr.isatty())
