"""Where figures go: into PNG files, and onto the screen if there is one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitvae.figures.canvas import load_matplotlib, style
from digitvae.files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# GUI toolkits that open windows of their own; notebooks and browsers do not count as a screen here.
WINDOW_SYSTEMS = frozenset({"gtk3", "gtk4", "macosx", "qt", "qt5", "qt6", "tk", "wx"})


def save(figure: Figure, path: str | os.PathLike[str], dpi: float = 150) -> None:
    """Write a figure as a PNG file, completely or not at all.

    Args:
        figure: any Matplotlib figure.
        path: the file, ending in `.png`, in a folder that exists; an old file is replaced.
        dpi: dots per inch; at 100, 150 and 200 the pixels of the images stay sharp squares.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if the path does not end in `.png`.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise ValueError(f"Expected a path that ends in .png. Received: path={os.fspath(path)!r}")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"Expected a path in a folder that exists. Received: path={os.fspath(path)!r}"
        )
    content = png(figure, dpi)
    with written_whole(target) as temporary:
        temporary.write_bytes(content)


def png(figure: Figure, dpi: float = 150) -> bytes:
    """Return a figure as the bytes of a PNG file, the same whatever the user's settings of Matplotlib.

    Args:
        figure: any Matplotlib figure.
        dpi: dots per inch.
    """
    images = [image for axes in figure.axes for image in axes.images]
    images = [image for image in images if image.get_interpolation() in ("auto", "antialiased")]
    buffer = io.BytesIO()
    try:
        for image in images:
            # Images that are enlarged by a whole number keep their pixels; others are resampled smoothly.
            # Matplotlib's own "auto" would blur a threefold enlargement, and a twofold one that misses 2 by a
            # rounding error.
            zoom = image.axes.get_position().width * figure.get_figwidth() * dpi / image.get_size()[1]
            image.set_interpolation("nearest" if abs(zoom - max(1, round(zoom))) < 1e-6 else "auto")
        with style():
            # Without the version of Matplotlib in it, the same figure gives the same bytes.
            figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    finally:
        for image in images:
            image.set_interpolation("auto")
    return buffer.getvalue()


def can_show() -> bool:
    """Tell whether windows can be opened here.

    Returns:
        False without a screen, with a non-interactive or unknown backend, with a backend that does not start,
        in a remote session without a display, and outside the main thread.
    """
    return _window_backend() is not None


def show(figures: list[Figure]) -> None:
    """Open a window for each figure and wait until all are closed; do nothing where `can_show` is False.

    Args:
        figures: what to show; they can still be saved afterwards.
    """
    backend = _window_backend() if figures else None
    if backend is None:
        return
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    try:
        plt.switch_backend(backend)
        with style():
            for figure in figures:
                plt.figure(figure)
            plt.show(block=True)
    except Exception as error:  # whatever a toolkit raises: windows are a courtesy, the run must go on
        print(f"digitvae: no windows: {error}", file=sys.stderr)
    finally:
        for figure in figures:
            plt.close(figure)
            FigureCanvasAgg(figure)


def _window_backend() -> str | None:
    """Name the backend that opens windows here, None if there is none."""
    if threading.current_thread() is not threading.main_thread():
        return None  # toolkits run in the main thread alone
    screen = (os.environ.get("DISPLAY", ""), os.environ.get("WAYLAND_DISPLAY", ""))
    if sys.platform in ("darwin", "win32"):
        if "SSH_CONNECTION" in os.environ:
            return None  # the window would open, and wait, on a screen that nobody looks at
    elif not any(screen):
        return None
    load_matplotlib()
    import matplotlib

    chosen = matplotlib.get_backend(auto_select=False)
    return _probe(chosen, screen)


@lru_cache
def _probe(backend: str | None, screen: tuple[str, str]) -> str | None:
    """Try a backend in a process of its own, because a broken toolkit may hang or abort instead of raising.

    Args:
        backend: what the user chose; None lets Matplotlib choose.
        screen: the values of DISPLAY and WAYLAND_DISPLAY, here so that an answer is remembered for each.

    Returns:
        The name of the backend that made a figure, None if it failed or opens no windows.
    """
    from matplotlib.backends.registry import backend_registry

    registry: Any = backend_registry  # it has no annotations

    def opens_windows(name: str) -> bool:
        return registry.resolve_backend(name)[1] in WINDOW_SYSTEMS

    code = "import matplotlib.pyplot as plt; plt.figure(); print(plt.get_backend())"
    try:
        if backend is not None and not opens_windows(backend):
            return None
        trial = subprocess.run(
            [sys.executable, "-P", "-c", code],  # -P: no module of the current folder gets in the way
            env={**os.environ, "MPLBACKEND": backend or ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=15,
            check=True,
        )
        name = trial.stdout.split()[-1]
        return name if opens_windows(name) else None
    except Exception:  # a backend may fail in any way, and each of them means: no windows
        return None
