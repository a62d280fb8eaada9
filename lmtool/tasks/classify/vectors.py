"""Pretrained word vectors in the text formats of word2vec, GloVe and fastText.

A line is a token, a blank, and E numbers with blanks between. Those of word2vec and fastText begin with a line of two
numbers, how many tokens there are and E; those of GloVe do not.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

import numpy as np

from lmtool.data.sources import open_source
from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_vectors(path: str, tokens: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of a vocabulary's tokens, from a file that may have any number of others.

    The file is read line by line, compressed or not, and only what is wanted is kept. Of a token that stands in it
    twice the first vector counts.

    Args:
        path: Of the file; `.gz`, `.bz2`, `.xz` and `.zst` are decompressed on the way.
        tokens: The vocabulary's, in the order of their ids; of equal ones each gets the vector.

    Returns:
        float32 [V, E], zeros where there is no vector, and bool [V], where there is one.

    Raises:
        DataError: names file and line if it is no such file, or if the vector of one of the tokens is of another size
            or has something in it that is no number. Lines of other tokens are not looked at.
    """
    places: dict[bytes, list[int]] = {}
    for number, token in enumerate(tokens):
        places.setdefault(token.encode("utf-8", "surrogatepass"), []).append(number)
    with open_source(path) as file:
        first = file.readline()
        size, is_counts = _size(first, path)
        table, found = np.zeros((len(tokens), size), np.float32), np.zeros(len(tokens), bool)
        lines = itertools.chain([b"" if is_counts else first], file)
        for number, line in enumerate(lines, 1):
            where = places.get(line.partition(b" ")[0])
            if where is None or found[where[0]]:
                continue
            vector = _vector(line, size, f"{path}:{number}")
            if vector is not None:
                table[where], found[where] = vector, True
    return table, found


def _size(line: bytes, path: str) -> tuple[int, bool]:
    """E, from the first line, and whether that is one of counts."""
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields) and int(fields[1]):
        return int(fields[1]), True
    try:
        _ = [float(field) for field in fields[1:]]
    except ValueError:
        fields = []
    if len(fields) < 2:
        what = "starts with neither a vector nor two numbers, of vectors and of their entries" if line else "is empty"
        raise DataError(f"{path} {what}", hint="wanted is the text format of word2vec, GloVe or fastText")
    return len(fields) - 1, False


def _vector(line: bytes, size: int, where: str) -> np.ndarray | None:
    """float32 [E]; None if the token has blanks itself, as some of GloVe's, and is another than it seemed."""
    fields = line.split()[1:]
    if len(fields) > size:
        with contextlib.suppress(ValueError):
            _ = float(fields[0])
            raise DataError(f"{where}: the vector has {len(fields)} numbers, those before it {size}", hint=_CUT)
        return None
    if len(fields) < size:
        raise DataError(f"{where}: the vector has {len(fields)} numbers, not {size}", hint=_CUT)
    try:
        vector = np.array([float(field) for field in fields], np.float32)
    except ValueError as error:
        raise DataError(f"{where}: {error}", hint=_CUT) from None
    if not np.isfinite(vector).all():
        raise DataError(f"{where}: the vector holds a number that is not finite")
    return vector


_CUT = "the file may be cut short or have been changed; get it again"


__all__ = ["read_vectors"]
