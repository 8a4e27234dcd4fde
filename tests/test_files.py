"""Files that are whole or not there."""

from __future__ import annotations

import os
import stat

import pytest

from digitvae.files import written_whole


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
