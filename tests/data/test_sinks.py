"""Where bytes go: whole files, compressed by suffix; devices, pipes and links stay what they are."""

from __future__ import annotations

import os
import threading

import pytest

from lmtool.data.sinks import open_sink
from lmtool.data.sources import read_chunks
from lmtool.errors import DataError


def write(path, data=b"some bytes\n" * 1000):
    with open_sink(str(path)) as file:
        file.write(data)
    return data


@pytest.mark.parametrize("suffix", ["", ".txt", ".gz", ".bz2", ".xz", ".zst", ".GZ"])
def test_what_is_written_is_read_again(tmp_path, suffix):
    data = write(path := tmp_path / f"file{suffix}")

    assert b"".join(read_chunks(str(path))) == data
    assert (path.stat().st_size < 1000) == (suffix not in ("", ".txt"))


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_the_same_bytes_give_the_same_file(tmp_path, suffix):
    write(tmp_path / f"a{suffix}")
    write(tmp_path / f"b{suffix}")

    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_what_was_there_stays_if_anything_goes_wrong(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")

    def fail():
        with open_sink(str(path)) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_goes_on_leading_to_its_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")

    data = write(tmp_path / "link")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == data


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(path := tmp_path / "pipe")
    writer = threading.Thread(target=write, args=(path, b"through"))
    writer.start()

    assert path.read_bytes() == b"through"
    writer.join()
    assert path.is_fifo()


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match=r"cannot write .*: is a directory"):
        write(tmp_path)
