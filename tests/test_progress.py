"""Progress bars: on a terminal alone, gone at the end, and in nobody's way."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys

import pytest

from digitvae import progress
from digitvae.building import build
from digitvae.progress import progress_bar, progress_shown
from digitvae.runs import Run

fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))

COMMAND = """
import os, signal, sys
# A job in the background of a shell inherits that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
import digitvae.progress
from digitvae.cli import main
from digitvae.light import LightVAE
digitvae.progress.DELAY = -1
if sys.argv.pop(1) == "interrupted":
    decoded, calls = LightVAE._decoded, []
    def _decoded(self, z):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return decoded(self, z)
    LightVAE._decoded = _decoded
sys.exit(main())
"""


@pytest.fixture(scope="module")
def plain_run(tiny, tmp_path_factory):
    """The run folder of a tiny model of digits."""
    run = Run.create(tiny(architecture="dense"), (28, 28), "", tmp_path_factory.mktemp("plain") / "run")
    run.save_model(build(run.config, (28, 28)))
    return run.folder


def on_terminal(environment, folder, *arguments):
    """Run a command whose stderr is a terminal; return its exit code, stdout and stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            read = os.read(ours, 4096)
        except OSError:  # Linux' way to say that the other end was closed
            break
        if not read:
            break
        shown += read
    os.close(ours)
    out = process.communicate()[0].decode()
    return process.returncode, out, shown.decode()


def left(shown):
    """Return the lines that stay on a terminal."""
    lines = []
    for line in shown.replace("\r\n", "\n").split("\n"):
        text = ""
        for part in line.split("\r"):
            text = part + text[len(part) :]
        lines.append(text.rstrip())
    return [line for line in lines if line]


def test_a_bar_counts_and_goes(environment, plain_run, tmp_path):
    code, out, shown = on_terminal(
        environment, tmp_path, "finished", "reconstruct", plain_run, "mnist:0-999", "-o", "r.npz"
    )
    assert (code, out) == (0, "Written: r.npz\n")
    assert re.search(r"encoding:  26%.* 256/1000 ", shown)
    assert re.search(r"decoding:  26%.* 256/1000 ", shown)
    assert left(shown) == []


def test_nobody_has_to_see_it(environment, plain_run, tmp_path):
    arguments = ("finished", "generate", plain_run, "-n", "1000", "--no-progress-bar", "-o", "r.npz")
    assert on_terminal(environment, tmp_path, *arguments) == (0, "Written: r.npz\n", "")


@pytest.mark.parametrize("output", ["r.npz", "digits/"])
def test_an_interrupt_leaves_neither_bar_nor_file(environment, plain_run, tmp_path, output):
    code, out, shown = on_terminal(
        environment, tmp_path, "interrupted", "generate", plain_run, "-n", "2000", "-o", output
    )
    assert (code, out) == (130, "")
    assert "decoding:" in shown
    assert left(shown) == ["digitvae: interrupted"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("inside", "wanted", "terminal", "expected"),
    [
        (True, False, True, True),
        (False, True, True, True),
        (False, False, True, False),
        (True, True, False, False),
    ],
)
def test_who_asks_for_a_bar_gets_it_on_a_terminal(monkeypatch, capsys, inside, wanted, terminal, expected):
    monkeypatch.setattr(progress, "DELAY", -1)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with progress_shown(inside), progress_bar(3, "counting", " sheep", wanted) as bar:
        bar.update(2)
        bar.set_description("resting")
        bar.update()
    shown = capsys.readouterr().err
    assert ("counting" in shown and "resting" in shown and "2/3" in shown) == expected
    assert bool(shown) == expected


def test_what_is_done_at_once_needs_no_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_shown(), progress_bar(3, "counting", " sheep") as bar:
        bar.update(3)
    assert capsys.readouterr().err == ""
