"""Files that are whole or not there."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from digitvae.files import DiskFull, folder_written_whole, read_json, written_whole


def test_the_file_appears_only_at_the_end_and_nothing_else_stays(tmp_path):
    path = tmp_path / "numbers.csv"
    with written_whole(path) as temporary:
        temporary.write_text("1")
        assert not path.exists()
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".csv"
    assert path.read_text() == "1"
    assert os.listdir(tmp_path) == ["numbers.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, error):
    path = tmp_path / "numbers.csv"
    path.write_text("old")

    def fail():
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["numbers.csv"]


def test_a_file_is_replaced_and_readable_as_any_other(tmp_path):
    path, plain = tmp_path / "a.json", tmp_path / "b.json"
    path.write_text("old")
    plain.write_text("")
    with written_whole(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_new_file_replaces_none(tmp_path):
    path = tmp_path / "a.json"
    with written_whole(path, new=True) as temporary:
        temporary.write_text("first")
    for _ in range(2):
        with pytest.raises(FileExistsError), written_whole(path, new=True) as temporary:
            temporary.write_text("second")
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["a.json"]


def test_folders_that_are_missing_or_files_are_errors(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("absent", "file"):
        with pytest.raises(OSError, match=folder), written_whole(tmp_path / folder / "a.json"):
            pass


def test_a_target_that_is_a_folder_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"), written_whole(tmp_path / "taken") as temporary:
        temporary.write_text("x")
    assert os.listdir(tmp_path) == ["taken"]


KILLED = """
import os, sys
from digitvae.files import written_whole
with written_whole(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), 9)
    sys.stdin.read()
"""


@pytest.fixture
def writer(environment):
    """Starts a process that writes a file; it dies in the middle, or lives on until its input is closed."""

    def start(path, end):
        command = [sys.executable, "-c", KILLED, str(path), end]
        process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return process, process.stdout.readline().strip()

    return start


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path, writer):
    path = tmp_path / "a.json"
    process, temporary = writer(path, "killed")
    process.communicate()
    assert process.returncode == -9
    assert os.path.exists(temporary)
    with written_whole(tmp_path / "other.json") as other:
        other.write_text("x")
    assert os.path.exists(temporary)  # of another file
    with written_whole(path) as own:
        own.write_text("whole")
    assert sorted(os.listdir(tmp_path)) == ["a.json", "other.json"]


def test_what_a_living_writer_writes_stays(tmp_path, writer):
    path = tmp_path / "a.json"
    process, temporary = writer(path, "lives")
    with written_whole(path) as own:
        own.write_text("first")
    assert path.read_text() == "first"
    assert os.path.exists(temporary)
    process.communicate()
    assert process.returncode == 0
    assert path.read_text() == "half"
    assert os.listdir(tmp_path) == ["a.json"]


def test_no_other_thread_sees_another_umask(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask of the whole process was changed"))
    with written_whole(tmp_path / "a.json") as temporary:
        temporary.write_text("x")


def test_the_file_is_flushed_through_a_handle_that_may_write(tmp_path, monkeypatch):
    flushed = []

    def fsync(handle):
        os.write(handle, b"")  # fails on a handle that only reads
        flushed.append(os.fstat(handle).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    with written_whole(tmp_path / "a.json") as temporary:
        temporary.write_text("four")
    assert flushed == [4]


@pytest.mark.parametrize("write", ["text", "arrays"])
def test_a_full_disk_is_said_with_the_space_that_is_needed(small_disk, write):
    path = small_disk / "a.npz"
    path.write_bytes(b"old")

    def fill():
        with written_whole(path, size=3_000_001) as temporary:
            if write == "text":
                temporary.write_bytes(bytes(3_000_001))
            else:
                np.savez(temporary, zeros=np.zeros(3_000_001, np.uint8))

    with pytest.raises(DiskFull) as caught:
        fill()
    assert re.fullmatch(
        rf"Expected at least 3,001 kB of free disk space for {re.escape(str(path))}. "
        r"Received: 2,0\d\d kB \(No space left on device\)",
        str(caught.value),
    )
    assert path.read_bytes() == b"old"
    assert os.listdir(small_disk) == ["a.npz"]


def test_a_file_above_the_limit_of_the_process_is_said(tmp_path, python):
    code = """
import resource
from digitvae.files import written_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
with written_whole("a.json") as temporary:
    temporary.write_bytes(bytes(6000))
"""
    done = python("-c", code, cwd=tmp_path)
    assert "DiskFull: Expected at least 5 kB of free disk space for a.json." in done.stderr
    assert "(File too large)" in done.stderr
    assert os.listdir(tmp_path) == []


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "device.json").symlink_to("/dev/null")
    (tmp_path / "good.json").write_text('{"a": 1}')
    assert read_json(tmp_path / "good.json") == {"a": 1}
    for path in (tmp_path, tmp_path / "device.json"):
        with pytest.raises(OSError, match="no regular file"):
            read_json(path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "absent.json")


# Folders


@pytest.mark.parametrize("present", [False, True])
def test_a_folder_appears_only_at_the_end_and_nothing_else_stays(tmp_path, present):
    path = tmp_path / "digits"
    if present:
        path.mkdir()
    with folder_written_whole(path) as temporary:
        (temporary / "a.png").write_text("a")
        (temporary / "b.png").write_text("b")
        assert not (path / "a.png").exists()
    assert sorted(os.listdir(path)) == ["a.png", "b.png"]
    assert os.listdir(tmp_path) == ["digits"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("present", [False, True])
def test_a_failure_in_a_folder_leaves_nothing_behind(tmp_path, error, present):
    path = tmp_path / "digits"
    if present:
        path.mkdir()

    def fail():
        with folder_written_whole(path) as temporary:
            (temporary / "a.png").write_text("a")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.rglob("*")) == ([path] if present else [])


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "note").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("digits", "file"):
        with pytest.raises(FileExistsError, match=name), folder_written_whole(tmp_path / name):
            pass
    assert (tmp_path / "digits" / "note").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["digits", "file"]


def test_a_folder_that_a_killed_writer_left_is_removed(tmp_path):
    code = KILLED.replace("written_whole", "folder_written_whole").replace("temporary.write_text", "print")
    arguments = [sys.executable, "-c", code, str(tmp_path / "digits"), "killed"]
    subprocess.run(arguments, stdout=subprocess.DEVNULL, check=False)
    assert len(os.listdir(tmp_path)) == 1
    with folder_written_whole(tmp_path / "digits") as temporary:
        (temporary / "a.png").write_text("a")
    assert os.listdir(tmp_path) == ["digits"]


def test_folders_in_a_folder_are_written_with_it(tmp_path):
    for path in (tmp_path / "new", tmp_path / "empty"):
        if path.name == "empty":
            path.mkdir()
        with folder_written_whole(path) as temporary:
            (temporary / "deep" / "er").mkdir(parents=True)
            (temporary / "deep" / "er" / "a.txt").write_text("a")
        assert (path / "deep" / "er" / "a.txt").read_text() == "a"
    assert sorted(os.listdir(tmp_path)) == ["empty", "new"]


def test_a_folder_is_replaced_where_that_is_allowed(tmp_path):
    path = tmp_path / "digits"
    path.mkdir()
    (path / "old").mkdir()
    (path / "old" / "a").write_text("old")
    with folder_written_whole(path, replaces=lambda folder: folder == path) as temporary:
        (temporary / "a").write_text("new")
        assert (path / "old" / "a").read_text() == "old"
    assert os.listdir(path) == ["a"]
    assert os.listdir(tmp_path) == ["digits"]


@pytest.mark.parametrize("fails", ["the block", "the exchange"])
def test_a_folder_that_is_not_replaced_in_the_end_stays(tmp_path, monkeypatch, fails):
    path = tmp_path / "digits"
    path.mkdir()
    (path / "a").write_text("old")
    rename = Path.rename

    def second_fails(self, target):
        if fails == "the exchange" and target == path and (self / "a").read_text() == "new":
            raise OSError("broken")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)

    def replace():
        with folder_written_whole(path, replaces=lambda folder: True) as temporary:
            (temporary / "a").write_text("new")
            if fails == "the block":
                raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        replace()
    assert (path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["digits"]


def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for text in ("first", "second"):
        with folder_written_whole(tmp_path / "link", replaces=lambda folder: True) as temporary:
            (temporary / "a").write_text(text)
        assert (tmp_path / "real" / "a").read_text() == text
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]
