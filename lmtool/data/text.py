"""Bytes to whole lines of text, in bounded memory. For readers of formats that are made of lines."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from lmtool.data.sources import read_chunks
from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 1 << 20
"""Bytes of text that are read at a time. A line that is longer is held as a whole."""

NEWLINE = b"\n"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LINE_END = re.compile(r"\r\n|\r|\n")


def read_blocks(name: str, size: int = BLOCK, encoding: str | None = None) -> Iterator[str]:
    """Blocks of whole lines of a text file, each line with its `\\n`, the last one, too.

    Line ends `\\r\\n` and `\\r` become `\\n`; a byte-order mark is dropped. Other line separators of Unicode separate
    nothing.

    Args:
        name: A file, or `-`; decompressed if need be.
        size: Bytes of a block; a line is never cut.
        encoding: What the reader's setting `encoding` says, in which a line end is the byte that it is in ASCII; None
            for UTF-8, if it has no such setting.

    Raises:
        DataError: for binary files and text that is not in the encoding, with line and byte; for damaged compression.
    """
    line, offset = 1, 0
    for data in _whole_lines(name, size):
        text = decode(data, name, line, offset, encoding)
        line += text.count("\n")
        offset += len(data)
        yield text


def _whole_lines(name: str, size: int) -> Iterator[bytes]:
    rest: list[bytes] = []
    for index, chunk in enumerate(read_chunks(name, size)):
        if index == 0:
            _check_is_text(chunk, name)
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r", 0, -1)) + 1
        if end:
            yield b"".join([*rest, chunk[:end]])
            rest = [chunk[end:]]
        else:
            rest.append(chunk)
    if last := b"".join(rest):
        yield last


def _check_is_text(head: bytes, name: str) -> None:
    if head.startswith(_UTF16):
        raise DataError(f"{name} is UTF-16, not UTF-8", hint=f"`iconv -f utf-16 -t utf-8 {name}` converts it")


def decode(data: bytes, name: str, line: int, offset: int, encoding: str | None = None) -> str:
    """Whole lines of text, each with its `\\n` as `read_blocks` has it.

    Args:
        data: Lines; the last one may lack its end.
        name: Whose they are, for messages.
        line: Number of the first line.
        offset: Bytes before them.
        encoding: As in `read_blocks`.
    """

    def place(at: int) -> str:
        return f"line {line + data[:at].count(NEWLINE)}, byte {offset + at}"

    if (nul := data.find(0)) >= 0:
        raise DataError(f"{name} is a binary file: NUL in {place(nul)}", hint="only text files can be read")
    spelling = encoding or "utf-8"
    bom = len(_BOM) if offset == 0 and data.startswith(_BOM) and codecs.lookup(spelling).name == "utf-8" else 0
    try:
        text = data[bom:].decode(spelling)
    except UnicodeDecodeError as error:
        at = bom + error.start
        message = f"{name} is not {spelling.upper()}: 0x{data[at]:02x} in {place(at)} ({error.reason})"
        convert = f"`iconv -f latin1 -t utf-8 {name}` converts it, if it is Latin-1"
        hint = "`--set data.reader.encoding=NAME` names another: latin-1, gb18030, …" if encoding else convert
        raise DataError(message, hint) from None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def in_pieces(text: str, size: int = BLOCK) -> Iterator[tuple[str, bool]]:
    """A document's text in pieces of whole lines, about `size` characters each, and whether it is the last one."""
    start = 0
    while (end := text.find("\n", start + size)) >= 0:
        yield text[start:end], False
        start = end + 1
    yield text[start:], True


def one_line(text: str) -> str:
    """A text with spaces in the place of its line ends."""
    return _LINE_END.sub(" ", text)


__all__ = ["BLOCK", "decode", "in_pieces", "one_line", "read_blocks"]
