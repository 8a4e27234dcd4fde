"""Output of figures: PNG files, and windows if there is a screen."""

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

# GUI toolkits that open windows; notebooks and browsers do not count as a screen here.
WINDOW_SYSTEMS = frozenset({"gtk3", "gtk4", "macosx", "qt", "qt5", "qt6", "tk", "wx"})


def save(figure: Figure, path: str | os.PathLike[str], dpi: float = 150) -> None:
    """Write a figure as a PNG file, atomically.

    Args:
        figure: any Matplotlib figure.
        path: the file, ending in `.png`, in an existing folder; an old file is replaced.
        dpi: dots per inch; at 100, 150 and 200 the pixels of images remain sharp squares.

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
            # Pixels are copied if the zoom is an integer, else resampled smoothly. Matplotlib's "auto" would
            # blur a threefold zoom, and a twofold one that misses 2 by a rounding error.
            zoom = image.axes.get_position().width * figure.get_figwidth() * dpi / image.get_size()[1]
            image.set_interpolation("nearest" if abs(zoom - max(1, round(zoom))) < 1e-6 else "auto")
        with style():
            # Without Matplotlib's version in the file, equal figures give equal bytes.
            figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    finally:
        for image in images:
            image.set_interpolation("auto")
    return buffer.getvalue()


def show(figures: list[Figure]) -> None:
    """Open a window for each figure and wait until all are closed; do nothing without a `window_backend`.

    Args:
        figures: the figures; they can still be saved afterwards.
    """
    backend = window_backend() if figures else None
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
    except Exception as error:  # whatever a toolkit raises: windows are optional, the run must go on
        print(f"digitvae: no windows: {error}", file=sys.stderr)
    finally:
        for figure in figures:
            plt.close(figure)
            FigureCanvasAgg(figure)


def window_backend() -> str | None:
    """Return the name of the backend that opens windows here.

    Returns:
        None without a screen, with a backend that is non-interactive, unknown or does not start, in a remote
        session without a display, and outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return None  # toolkits only run in the main thread
    screen = (os.environ.get("DISPLAY", ""), os.environ.get("WAYLAND_DISPLAY", ""))
    if sys.platform in ("darwin", "win32"):
        if "SSH_CONNECTION" in os.environ:
            return None  # the window would open on a screen that nobody may be looking at
    elif not any(screen):
        return None
    load_matplotlib()
    import matplotlib

    chosen = matplotlib.get_backend(auto_select=False)
    return _probe(chosen, screen)


@lru_cache
def _probe(backend: str | None, screen: tuple[str, str]) -> str | None:
    """Try a backend in a separate process, because a broken toolkit may hang or abort instead of raising.

    Args:
        backend: what the user chose; None lets Matplotlib choose.
        screen: the values of DISPLAY and WAYLAND_DISPLAY; each has its own cached answer.

    Returns:
        The name of the backend, None if it fails or opens no windows.
    """
    from matplotlib.backends.registry import backend_registry

    registry: Any = backend_registry  # it is not annotated

    def opens_windows(name: str) -> bool:
        return registry.resolve_backend(name)[1] in WINDOW_SYSTEMS

    code = "import matplotlib.pyplot as plt; plt.figure(); print(plt.get_backend())"
    try:
        if backend is not None and not opens_windows(backend):
            return None
        trial = subprocess.run(
            [sys.executable, "-P", "-c", code],  # -P: ignore modules in the current folder
            env={**os.environ, "MPLBACKEND": backend or ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=15,
            check=True,
        )
        name = trial.stdout.split()[-1]
        return name if opens_windows(name) else None
    except Exception:  # however a backend fails, there are no windows
        return None
