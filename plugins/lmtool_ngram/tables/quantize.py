"""Probabilities and back-offs as codes of a few bits: about half the size, nearly the same perplexity.

Each order above the first has a codebook for its log-probabilities and one for its log back-offs. Bins of equal
population, which KenLM takes, give most codes to what nearly all n-grams have that occur once, and few to the frequent
ones, which a text is made of. Here the density of the values is that of the numbers to the power 1/4: nearly even
steps, wider where there is next to nothing. Zero and minus infinity, if they are there, keep values of their own: a
back-off of log 0 takes nothing off. Where there are no more different numbers than codes, nothing is lost.

The probabilities after a context add up to one only as nearly as the codes are fine.

References:
    Gray & Neuhoff, "Quantization", 1998 (companding).
    Federico & Bertoldi, "How many bits are needed to store probabilities for phrase-based translation?", 2006.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.files import explain_os_errors
from lmtool_ngram.spool import Spool
from lmtool_ngram.tables import storage
from lmtool_ngram.tables.columns import ArrayColumn, FileColumn
from lmtool_ngram.tables.trie import Coded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lmtool_ngram.tables.columns import Column
    from lmtool_ngram.tables.trie import Level

SAMPLE = 1 << 20
"""Numbers that a codebook is made from; of more, so many at equal distances."""
CODED = ("log_probs", "log_backoffs")
_BINS = 16
"""For each value, to tell the density of the numbers."""
_PIECE = 1 << 18


def quantize(levels: Sequence[Level], bits: int) -> list[Level]:
    """The tables with codes for the probabilities and back-offs of all orders but the first.

    Args:
        levels: Order 1 first, exact; may be mapped. What is returned holds the codes in memory.
        bits: 1 to 16; up to 8 take a byte a code, more take two.
    """
    quantized = [levels[0]]
    for level in levels[1:]:
        coded: dict[str, Any] = {}
        for name in CODED:
            column = ArrayColumn(getattr(level, name))
            values = codebook(column, bits)
            coded[name] = Coded(np.concatenate([*_codes(column, values, bits)]), values)
        quantized.append(replace(level, **coded))
    return quantized


def quantize_saved(folder: Path, bits: int) -> None:
    """The same for a model on disk, in its place and in little memory.

    Args:
        folder: Of an exact model.
        bits: As in `quantize`.

    Raises:
        DataError: if it cannot be written. The folder is no model any more then.
    """
    record = storage.read_record(folder)
    arrays: dict[str, Any] = record["arrays"]
    storage.unfinish(folder)
    for order in range(2, record["order"] + 1):
        for name in CODED:
            exact = folder / f"{name}-{order}.npy"
            column = FileColumn(exact, arrays[exact.name])
            values = codebook(column, bits)
            with explain_os_errors(exact), Spool(folder / f"{name}-{order}.new", code_type(bits)) as codes:
                for piece in _codes(column, values, bits):
                    codes.append(piece)
            codes.file.replace(exact)
            arrays[exact.name] = {"dtype": codes.dtype.name, "length": len(column)}
            with explain_os_errors(exact):
                np.save(folder / f"{name}_values-{order}.npy", values, allow_pickle=False)
            arrays[f"{name}_values-{order}.npy"] = {"dtype": "float32", "length": len(values)}
    storage.finish(folder, record)


def codebook(column: Column, bits: int) -> np.ndarray:
    """float32 [at most 2^bits], ascending: values that stand for float32 numbers."""
    size, step = 1 << bits, max(-(-len(column) // SAMPLE), 1)
    kept, sample, skip = set(), [], 0
    for start in range(0, len(column), _PIECE):
        piece = column.read(start, min(start + _PIECE, len(column)))
        kept |= {value for value in (-np.inf, 0.0) if (piece == value).any()}
        sample.append(piece[skip::step].copy())
        skip = (skip - len(piece)) % step
    numbers = np.concatenate([np.zeros(0, np.float32), *sample])
    different = np.unique(np.append(numbers, np.array([*kept], np.float32)))
    if len(different) <= size:
        return different
    others = np.sort(numbers[np.isfinite(numbers) & (numbers != 0)])
    return np.unique(np.array([*kept, *_spread(others, max(size - len(kept), 1))], dtype=np.float32))


def code_type(bits: int) -> np.dtype[Any]:
    return np.dtype(np.uint8 if bits <= 8 else np.uint16)


def _codes(column: Column, values: np.ndarray, bits: int) -> Iterator[np.ndarray]:
    """The codes of the nearest values, piece by piece."""
    middles = (values[:-1].astype(np.float64) + values[1:]) / 2
    yield np.zeros(0, code_type(bits))
    for start in range(0, len(column), _PIECE):
        piece = column.read(start, min(start + _PIECE, len(column)))
        yield np.searchsorted(middles, piece).astype(code_type(bits))


def _spread(numbers: np.ndarray, size: int) -> np.ndarray:
    """Values among ascending numbers, as dense as the fourth root of the density of these."""
    if not len(numbers):
        return numbers
    ends = float(numbers[0]), float(numbers[-1])
    counts, edges = np.histogram(numbers, bins=_BINS * size, range=ends)
    means = ((edges[:-1] + edges[1:]) / 2)[counts > 0]
    weights = np.cumsum(counts[counts > 0] ** 0.25)
    values: np.ndarray = means[np.searchsorted(weights, weights[-1] * (np.arange(size) + 0.5) / size)]
    return values


__all__ = ["codebook", "quantize", "quantize_saved"]
