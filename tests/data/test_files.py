"""What appears on disk appears whole."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmtool.errors import DataError
from lmtool.files import atomic_folder, lock, recover_folder, write_atomic


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_folder_appears_at_the_end_or_not_at_all(tmp_path):
    with atomic_folder(tmp_path / "new") as folder:
        (folder / "file").write_text("x")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new" / "file").read_text() == "x"

    def fail(error):
        with atomic_folder(tmp_path / "other") as folder:
            (folder / "file").write_text("x")
            raise error

    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error):
            fail(error)
    assert os.listdir(tmp_path) == ["new"]


def test_what_is_there_is_only_replaced_if_that_is_wanted(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "old").write_text("x")

    with (
        pytest.raises(DataError, match=r"cannot write .*there: directory not empty"),
        atomic_folder(tmp_path / "there"),
    ):
        pass
    assert os.listdir(tmp_path / "there") == ["old"]

    with atomic_folder(tmp_path / "there", replace=True) as folder:
        (folder / "new").write_text("x")
    assert os.listdir(tmp_path / "there") == ["new"]
    assert os.listdir(tmp_path) == ["there"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "there").mkdir()

    with atomic_folder(tmp_path / "there") as folder:
        (folder / "new").write_text("x")

    assert os.listdir(tmp_path / "there") == ["new"]


def test_leftovers_of_killed_processes_are_removed_those_of_living_ones_are_not(tmp_path):
    with atomic_folder(tmp_path / "new") as folder:
        prefix = folder.name.removesuffix(f"{os.getpid()}.tmp")
    dead, living = tmp_path / f"{prefix}{dead_process()}.tmp", tmp_path / f"{prefix}{os.getppid()}.tmp"
    dead.mkdir()
    living.mkdir()

    with atomic_folder(tmp_path / "new", replace=True):
        pass

    assert not dead.exists()
    assert living.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_line_with_a_hint(tmp_path, number):
    def fill():
        raise OSError(number, os.strerror(number))

    with pytest.raises(DataError, match=r"^cannot write .*new: ") as caught, atomic_folder(tmp_path / "new"):
        fill()

    assert "free some space" in str(caught.value.hint)
    assert os.listdir(tmp_path) == []


def test_a_file_is_written_whole_and_leaves_nothing_else(tmp_path):
    write_atomic(tmp_path / "a", "one")
    write_atomic(tmp_path / "a", b"two")

    assert (tmp_path / "a").read_text() == "two"
    with pytest.raises(DataError, match="cannot write"):
        write_atomic(tmp_path / "no-folder" / "a", "x")
    assert os.listdir(tmp_path) == ["a"]


def test_a_lock_keeps_others_out_until_it_is_left(tmp_path):
    code = (
        "import sys; from pathlib import Path; from lmtool.files import lock\nwith lock(Path(sys.argv[1])): print('in')"
    )
    with lock(tmp_path / "lock"):
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
        )
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=1)

    assert other.communicate(timeout=300)[0] == "in\n"
    assert not (tmp_path / "lock").exists()


def test_of_many_only_one_at_a_time_has_a_lock_though_its_file_comes_and_goes(tmp_path):
    code = """
import sys
from pathlib import Path
from lmtool.files import lock, recover_folder
folder = Path(sys.argv[1])
for _ in range(200):
    with lock(folder / "lock"):
        number = int((folder / "number").read_text())
        (folder / "number").write_text(str(number + 1))
"""
    (tmp_path / "number").write_text("0")

    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]

    assert [process.wait(timeout=300) for process in processes] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "600"  # none of 3 x 200 additions was lost
    assert os.listdir(tmp_path) == ["number"]


def test_a_signal_between_two_renames_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "old").write_text("x")
    rename = Path.rename

    def interrupted(path, target):
        if target == tmp_path / "there" and "old" not in path.name:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "there", replace=True):
        pass

    assert os.listdir(tmp_path) == ["there"]
    assert os.listdir(tmp_path / "there") == ["old"]


def test_the_leftover_file_of_a_killed_process_is_removed(tmp_path):
    with atomic_folder(tmp_path / "a") as folder:
        leftover = tmp_path / f"{folder.name.removesuffix(f'{os.getpid()}.tmp')}{dead_process()}.tmp"
    (tmp_path / "a").rmdir()
    leftover.write_text("half")

    write_atomic(tmp_path / "a", "whole")

    assert os.listdir(tmp_path) == ["a"]


def test_the_leftover_of_a_process_that_had_our_number_is_removed(tmp_path):
    # as of the first process of a container that was killed and started again
    with atomic_folder(tmp_path / "new") as folder:
        leftover = folder.name
    (tmp_path / leftover).mkdir()

    with atomic_folder(tmp_path / "new", replace=True):
        pass

    assert os.listdir(tmp_path) == ["new"]


def test_a_folder_whose_replacement_was_killed_half_way_is_put_back(tmp_path):
    (tmp_path / ".model.host-123.tmp").mkdir()
    (tmp_path / ".model.host-123.tmp.old.tmp").mkdir()
    (tmp_path / ".model.host-123.tmp.old.tmp" / "weights").write_text("good")

    recover_folder(tmp_path / "model")

    assert os.listdir(tmp_path) == ["model"]
    assert (tmp_path / "model" / "weights").read_text() == "good"
