"""Lines from stdin as they come, whatever the pieces they come in."""

from __future__ import annotations

import gzip
import io
import os
import threading
from itertools import islice
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


def test_an_empty_block_says_that_no_more_is_there_for_now(stdin):
    stdin(b"one\ntw", b"o\nthree\n")

    # a made-up stdin is nothing that the operating system knows: after each read there may be nothing more
    assert list(filters.incoming_text("-")) == ["one\n", "", "two\nthree\n", ""]


def test_while_more_is_there_no_answer_is_called_for(monkeypatch):
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=8) as pipe, open(writing, "wb", buffering=0) as other_end:
        monkeypatch.setattr(filters.sys, "stdin", SimpleNamespace(buffer=pipe))
        monkeypatch.setattr(filters, "_READ", 8)
        blocks = filters.incoming_text("-")
        other_end.write(b"one two\nthree f\n")  # twice as much as is read at once

        assert list(islice(blocks, 3)) == ["one two\n", "three f\n", ""]


def test_what_is_there_in_pieces_is_one_block(monkeypatch):
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=4) as pipe, open(writing, "wb", buffering=0) as other_end:
        monkeypatch.setattr(filters.sys, "stdin", SimpleNamespace(buffer=pipe))
        blocks = filters.incoming_text("-")
        other_end.write(b"one two\nthree f\n")  # of which the look at the first bytes leaves four in the buffer

        assert list(islice(blocks, 2)) == ["one two\nthree f\n", ""]


def test_the_end_is_the_end_even_if_a_terminal_would_go_on(stdin, monkeypatch):
    monkeypatch.setattr(filters, "_more_is_there", lambda: True)
    stdin(b"one\n", b"two\n", b"", b"three\n")

    assert list(filters.incoming_text("-")) == ["one\ntwo\n"]


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


# answers --------------------------------------------------------------------------------------------------------------


def test_answers_come_in_order_whoever_is_first():
    later = threading.Event()

    def answer(block):
        assert block != "b" or later.wait(10)
        if block == "c":
            later.set()
        return block.upper()

    assert list(filters.answers(iter("abcdefg"), answer, 2)) == list("ABCDEFG")
    assert list(filters.answers(iter("abcdefg"), str.upper, 0)) == list("ABCDEFG")


@pytest.mark.parametrize("threads", [0, 2])
def test_all_answers_are_given_before_a_line_is_waited_for(threads):
    given = []

    def blocks():
        for block in ("one", "two", "", "three", ""):
            yield block
            if not block:
                waiting.append(list(given))

    waiting = []
    for answer in filters.answers(blocks(), str.upper, threads):
        given += [answer]

    assert waiting == [["ONE", "TWO"], ["ONE", "TWO", "THREE"]]


def test_few_blocks_are_read_ahead():
    read = []

    def blocks():
        for number in range(100):
            read.append(number)
            yield str(number)

    for number, _ in enumerate(filters.answers(blocks(), str.upper, 2)):
        assert len(read) <= number + 4


def test_an_answer_that_fails_is_told_in_its_turn():
    answers = filters.answers(iter("ab0c"), lambda block: 1 // (block != "0"), 2)

    assert [next(answers), next(answers)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(answers)
