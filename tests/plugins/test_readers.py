"""The built-in readers: the properties of all, then what is special to each."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.errors import DataError
from lmtool.testing import conformance
from lmtool_readers.builtin import BuiltinReader, paragraphs
from lmtool_readers.config import JsonLinesConfig
from lmtool_readers.jsonl import JsonLinesReader
from lmtool_readers.text import TextReader

line = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]))


@conformance("reader", "text")
def test_text(check):
    check()


@conformance("reader", "jsonl")
def test_jsonl(check):
    check()


@conformance("reader", "builtin")
def test_builtin(check):
    check()


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def lines_of(records):
    return [line for record in records for line in record.text.split("\n")]


@settings(max_examples=80, deadline=None)
@given(st.lists(line), st.integers(1, 20), st.booleans())
def test_blocks_of_any_size_hold_the_same_lines(tmp_path_factory, lines, block, newline_at_end):
    text = "\n".join(lines) + "\n" * (newline_at_end or not lines or not lines[-1])
    path = write(tmp_path_factory.mktemp("blocks") / "a.txt", text)

    records = list(TextReader(block=block).read(path))

    expected = text.removesuffix("\n").split("\n") if text else []
    if expected and expected[0].startswith("\ufeff"):
        expected[0] = expected[0][1:]  # a byte-order mark
    assert lines_of(records) == expected
    assert [record.last for record in records] == [False] * (len(records) - 1) + [True] * bool(records)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\nb", ["a", "b"]),
        (b"a\n\nb\n\n", ["a", "", "b", ""]),
        (b"\n", [""]),
        (b"", []),
        (b"\xef\xbb\xbfa\r\nb\rc\r", ["a", "b", "c"]),
        (b"\xef\xbb\xbf", [""]),
        ("a\u2028b\x0bc\x85d\n".encode(), ["a\u2028b\x0bc\x85d"]),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 1000])
def test_what_a_line_is(tmp_path, data, lines, block):
    assert lines_of(TextReader(block=block).read(write(tmp_path / "a.txt", data))) == lines


def test_a_line_longer_than_a_block_comes_whole(tmp_path):
    path = write(tmp_path / "a.txt", "x\n" + "y" * 5000 + "\nz\n")

    assert [record.text for record in TextReader(block=100).read(path)] == ["x", "y" * 5000 + "\nz"]


@pytest.mark.parametrize("block", [4, 1000])
def test_invalid_utf8_is_named_by_line_and_byte(tmp_path, block):
    path = write(tmp_path / "a.txt", "año\nb\n".encode() + b"caf\xe9!\n")

    # "año\n" are 5 bytes, "b\n" 2, "caf" 3: the byte 0xe9 has offset 10
    with pytest.raises(DataError, match=r"a\.txt is not UTF-8: 0xe9 in line 3, byte 10 "):
        list(TextReader(block=block).read(path))


def test_binary_and_utf16_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.bin is a binary file: NUL in line 2, byte 3"):
        list(TextReader().read(write(tmp_path / "a.bin", b"a\nb\0c\n")))
    with pytest.raises(DataError, match=r"b\.txt is UTF-16"):
        list(TextReader().read(write(tmp_path / "b.txt", "text".encode("utf-16"))))


def test_jsonl_takes_one_field_and_hands_the_others_on(tmp_path):
    rows = [{"text": "a\nb\n", "label": 1}, {"label": 2, "text": ""}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")

    records = list(JsonLinesReader(JsonLinesConfig()).read(path))

    assert [(record.text, record.last, record.fields) for record in records] == [
        ("a\nb", True, {"label": 1}),
        ("", True, {"label": 2}),
    ]


def test_a_large_document_comes_in_pieces(tmp_path):
    text = "\n".join(["0123456789"] * 300_000)  # 3.3 MB
    path = write(tmp_path / "a.jsonl", json.dumps({"text": text, "label": 1}) + '\n{"text": "next"}\n')

    *large, last = JsonLinesReader(JsonLinesConfig()).read(path)

    assert "\n".join(record.text for record in large) == text
    assert [record.last for record in large] == [False] * (len(large) - 1) + [True]
    assert len(large) >= 3
    assert last.text == "next"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"text": ', "not JSON"),
        ("[1]", "must be an object"),
        ('{"txt": "a"}', r"no field 'text' \(did you mean 'txt'\?\)"),
        (r'{"text": "caf\ud800"}', r"field 'text' holds \\ud800, half of a surrogate pair"),
        ('{"text": 3}', "field 'text' must be a string, got 3"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, row, message):
    path = write(tmp_path / "a.jsonl", '{"text": "fine"}\n' + row + "\n")

    with pytest.raises(DataError, match=rf"a\.jsonl:2: {message}"):
        list(JsonLinesReader(JsonLinesConfig()).read(path))


def test_parts_of_pydoc_share_no_line_and_make_up_the_whole():
    parts = {part: lines_of(BuiltinReader().read(f"pydoc#{part}")) for part in ("train", "valid", "test")}
    whole = lines_of(BuiltinReader().read("pydoc"))

    assert sorted(line for lines in parts.values() for line in lines) == sorted(whole)
    assert sum(len(set(lines)) for lines in parts.values()) == len(set(whole))  # so no line is in two parts
    words = {part: sum(len(line.split()) for line in lines) for part, lines in parts.items()}
    assert words["train"] > 30_000
    assert min(words["valid"], words["test"]) > 1000


def test_marks_are_words_of_their_own_unless_they_stand_inside_a_word():
    text = 'Title\n*****\n\nIt\'s a "built-in" (f(x)=-1).\nSee also:\n\n\n   x = y\n'

    assert list(paragraphs(text)) == ["Title", 'It\'s a " built-in " ( f ( x ) = - 1 ) . See also :', "x = y"]


@pytest.mark.parametrize("name", ["pydok", "pydoc#dev"])
def test_an_unknown_built_in_text_is_named(name):
    with pytest.raises(DataError, match=name.partition("#")[2] or name):
        list(BuiltinReader().read(name))
