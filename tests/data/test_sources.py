"""Names to files, and files to bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys

import pytest
import zstandard

from lmtool.data import sources
from lmtool.data.sources import Source, bytes_read, expand, format_suffix, read_chunks
from lmtool.errors import DataError

SUFFIXES = frozenset({".txt", ".jsonl"})
COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "": bytes,
}
TEXT = "春眠不覺曉\nline\n".encode() * 5000


def names(specs):
    return [source.name for source in expand(specs, SUFFIXES)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.txt", "a.txt", "c.jsonl.xz", "d.bin", ".hidden.txt", "sub/e.txt.gz", ".git/f.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_files_keep_their_order_globs_and_folders_are_sorted(folder):
    assert names(["b.txt", "a.txt"]) == ["b.txt", "a.txt"]
    assert names(["*.txt"]) == ["a.txt", "b.txt"]
    assert names(["**/*.txt*"]) == ["a.txt", "b.txt", "sub/e.txt.gz"]
    assert names(["."]) == ["a.txt", "b.txt", "c.jsonl.xz", "sub/e.txt.gz"]
    assert names(["d.bin"]) == ["d.bin"]  # named itself, it is read whatever its suffix


def test_names_of_data_sets_and_stdin(folder):
    assert expand(["builtin:pydoc#test", "-"], SUFFIXES) == [Source("builtin:pydoc#test", "builtin"), Source("-")]
    assert expand(["builtin:pydoc#test"], SUFFIXES)[0].target == "pydoc#test"
    (folder / "odd:name[1].txt").write_text("x")
    assert expand(["odd:name[1].txt"], SUFFIXES) == [Source("odd:name[1].txt")]  # a file that exists is a file


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.txt", "no file nowhere.txt"),
        ("*.md", r"no file matches '\*.md'"),
        ("empty", "folder empty holds no text files"),
    ],
)
def test_what_gives_nothing_is_an_error_with_a_hint(folder, spec, message):
    (folder / "empty").mkdir()

    with pytest.raises(DataError, match=message) as caught:
        names([spec])

    assert caught.value.hint


def test_the_format_is_below_the_compression():
    assert [format_suffix(name) for name in ("a.TXT", "a.jsonl.zst", "a.gz", "a")] == [".txt", ".jsonl", "", ""]


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("name", ["a.txt{}", "named-without-it"])
def test_compression_is_seen_by_suffix_or_by_content(tmp_path, suffix, name):
    path = tmp_path / name.format(suffix)
    path.write_bytes(COMPRESS[suffix](TEXT))
    before = bytes_read()

    assert b"".join(read_chunks(str(path), 1000)) == TEXT
    assert bytes_read() - before == path.stat().st_size


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_members_one_after_the_other_are_one_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(COMPRESS[suffix](TEXT) + COMPRESS[suffix](b"") + COMPRESS[suffix](b"more\n"))

    assert b"".join(read_chunks(str(path))) == TEXT + b"more\n"


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_compressed_file_that_was_cut_short_is_an_error(tmp_path, suffix, keep):
    data = COMPRESS[suffix](os.urandom(50_000))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data[: int(len(data) * keep)])

    with pytest.raises(DataError, match=rf"a{suffix} is damaged or cut short"):
        list(read_chunks(str(path)))


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_damaged_or_misnamed_compressed_file_is_an_error(tmp_path, suffix):
    misnamed, damaged = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    misnamed.write_text("plain text")
    data = bytearray(COMPRESS[suffix](os.urandom(50_000)))
    data[-3000] ^= 0xFF
    data[len(data) // 2 :] = os.urandom(len(data) - len(data) // 2)
    damaged.write_bytes(data)

    with pytest.raises(DataError, match=f"named {suffix} but does not hold"):
        list(read_chunks(str(misnamed)))
    with pytest.raises(DataError, match=f"b{suffix} is damaged"):
        list(read_chunks(str(damaged)))


def test_an_empty_file_has_no_bytes_whatever_its_name(tmp_path):
    for suffix in COMPRESS:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"")
        assert list(read_chunks(str(path))) == []


def test_text_that_begins_like_bzip2_is_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("BZh is how bzip2 begins\n")

    assert b"".join(read_chunks(str(path))) == b"BZh is how bzip2 begins\n"


def test_stdin_is_read_compressed_or_not_and_twice_once_it_is_spooled(monkeypatch):
    class Stdin:
        buffer = io.BytesIO(gzip.compress(b"text\n"))

    monkeypatch.setattr(sys, "stdin", Stdin())
    monkeypatch.setattr(sources, "_spools", {})

    path = sources.spool("-")

    assert path.read_bytes() == Stdin.buffer.getvalue()
    assert [b"".join(read_chunks("-")) for _ in range(2)] == [b"text\n"] * 2


def test_a_folder_given_as_a_file_is_named(tmp_path):
    with pytest.raises(DataError, match=f"cannot read {tmp_path}: is a directory"):
        list(read_chunks(str(tmp_path)))
