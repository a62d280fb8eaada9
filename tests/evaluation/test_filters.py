"""Lines from stdin as they come, whatever the pieces they come in."""

from __future__ import annotations

import gzip
import io
from types import SimpleNamespace

import pytest

from lmtool import filters
from lmtool.errors import DataError


@pytest.fixture
def stdin(monkeypatch):
    """Makes each read of stdin give the next of these pieces."""

    def give(*pieces: bytes) -> None:
        monkeypatch.setattr(filters.sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(Pieces(pieces), 1 << 16)))

    return give


class Pieces(io.RawIOBase):
    def __init__(self, pieces):
        self.waiting = list(pieces)

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = self.waiting.pop(0) if self.waiting else b""
        buffer[: len(piece)] = piece
        return len(piece)


def test_whole_lines_are_given_as_soon_as_they_are_there(stdin):
    stdin(b"one\ntw", b"o\nthree\n", b"four")

    assert list(filters.incoming_lines("-")) == [["one"], ["two", "three"], ["four"]]


def test_a_letter_may_be_cut_in_two(stdin):
    letters = "春色\n".encode()
    stdin(letters[:2], letters[2:])

    assert list(filters.incoming_lines("-")) == [["春色"]]


def test_empty_lines_and_line_ends_of_other_systems_are_lines(stdin):
    stdin(b"\n\none\r\n", b"two\r", b"\n")

    assert list(filters.incoming_lines("-")) == [["", "", "one"], ["two"]]


def test_what_is_compressed_is_decompressed(stdin):
    packed = gzip.compress(b"one\ntwo\n")
    stdin(packed[:10], packed[10:])

    assert list(filters.incoming_lines("-")) == [["one", "two"]]


def test_a_line_in_many_pieces_is_one_line(stdin):
    stdin(*[b"ab"] * 1000, b"\nc\n")

    assert list(filters.incoming_lines("-")) == [["ab" * 1000, "c"]]


def test_nothing_is_no_line(stdin):
    stdin()

    assert list(filters.incoming_lines("-")) == []


def test_an_error_names_the_line_of_the_whole_stream(stdin):
    stdin(b"one\ntwo\n", b"three\nf\xffour\n")

    with pytest.raises(DataError, match="- is not UTF-8: 0xff in line 4, byte 15"):
        list(filters.incoming_lines("-"))


def test_a_file_gives_the_same_lines(tmp_path):
    (tmp_path / "text").write_bytes(b"one\r\n\ntwo")

    assert [line for lines in filters.incoming_lines(str(tmp_path / "text")) for line in lines] == ["one", "", "two"]
