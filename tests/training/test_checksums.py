"""What is found of damaged files: by the whole check everything, by the quick one what it promises."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool import checksums
from lmtool.checksums import NAME, SPOTS_NAME, verify_checksums, write_checksums
from lmtool.errors import DataError

SIZE = 1 << 20


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A large file, 1 MiB of the numbers 0 to 250, and two small ones."""
    monkeypatch.setattr(checksums, "QUICK", 2000)
    (tmp_path / "part").mkdir()
    (tmp_path / "large").write_bytes((bytes(range(251)) * (SIZE // 251 + 1))[:SIZE])
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "part/other").write_bytes(b"other")
    write_checksums(tmp_path)
    return tmp_path


def damage(folder, begin, data):
    with (folder / "large").open("r+b") as file:
        file.seek(begin)
        file.write(data)


@pytest.mark.parametrize("quick", [False, True])
def test_what_was_written_passes(folder, quick):
    verify_checksums(folder, quick=quick)


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs sha256sum")
def test_sha256sum_can_check_it(folder):
    assert subprocess.run(["sha256sum", "--check", "--strict", NAME], cwd=folder, capture_output=True).returncode == 0


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", ["large", "small", "part/other", SPOTS_NAME])
def test_a_file_that_is_gone_cut_or_longer_is_named(folder, quick, name):
    data = (folder / name).read_bytes()
    for damaged in (data[:-1], b"", data + b"\n", None):
        (folder / name).unlink()
        if damaged is not None:
            (folder / name).write_bytes(damaged)

        with pytest.raises(DataError, match=name):
            verify_checksums(folder, quick=quick)


@pytest.mark.parametrize("quick", [False, True])
def test_a_file_that_was_added_is_named(folder, quick):
    (folder / "new").touch()

    with pytest.raises(DataError, match="does not list new"):
        verify_checksums(folder, quick=quick)


@pytest.mark.parametrize("quick", [False, True])
def test_a_list_that_is_gone_is_an_error(folder, quick):
    (folder / NAME).unlink()

    with pytest.raises(DataError, match=f"{NAME} cannot be read"):
        verify_checksums(folder, quick=quick)


def test_the_quick_check_reads_small_files_wholly(folder):
    (folder / "small").write_bytes(b"smell")

    with pytest.raises(DataError, match="small is damaged: its checksum"):
        verify_checksums(folder, quick=True)


@pytest.mark.parametrize("spots", ["nothing of the kind\n", "0  5  small\n0  5  elsewhere\n"])
def test_spots_that_nobody_writes_are_damage(folder, spots):
    (folder / SPOTS_NAME).write_text(spots)
    digest = hashlib.sha256(spots.encode()).hexdigest()
    lines = (folder / NAME).read_text().splitlines()
    (folder / NAME).write_text(
        "".join(f"{digest}  {SPOTS_NAME}\n" if SPOTS_NAME in one else f"{one}\n" for one in lines)
    )

    with pytest.raises(DataError, match="is damaged"):
        verify_checksums(folder, quick=True)


@given(begin=st.integers(0, SIZE * 14 // 15 - checksums.SPOT))
@settings(max_examples=30, deadline=None)
def test_the_quick_check_finds_a_gap_of_a_fifteenth(begin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "large").write_bytes(b"\x01" * SIZE)
    spots = checksums._spots(folder / "large")

    damage(folder, begin, bytes(SIZE // 15 + checksums.SPOT))

    assert checksums._spots(folder / "large") != spots


def test_a_single_byte_is_found_by_the_whole_check_and_perhaps_not_by_the_quick_one(folder):
    damage(folder, 5000, b"\xff")  # between the first spot, which ends at 4096, and the second

    verify_checksums(folder, quick=True)
    with pytest.raises(DataError, match="large is damaged: its checksum"):
        verify_checksums(folder)


def test_a_folder_from_before_there_were_spots_is_read_wholly(folder):
    (folder / SPOTS_NAME).unlink()
    lines = (folder / NAME).read_text().splitlines(keepends=True)
    (folder / NAME).write_text("".join(line for line in lines if SPOTS_NAME not in line))
    verify_checksums(folder, quick=True)

    damage(folder, 5000, b"\xff")

    with pytest.raises(DataError, match="large is damaged"):
        verify_checksums(folder, quick=True)
