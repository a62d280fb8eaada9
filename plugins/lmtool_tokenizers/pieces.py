"""Byte-level BPE, several times faster than the library's own loop: a piece of text that was seen is looked up.

A line is cut only where the library itself always cuts, before the space of each word and between letters, digits and
marks, so that the ids of a line are those of its pieces one after the other. Text repeats its pieces; new ones go
through the library.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Encode = Callable[[Sequence[str]], list[list[int]]]

LIMIT = 1 << 17
"""Pieces that are remembered; with more, it starts anew."""
LONGEST = 32
"""Characters of a piece that is worth remembering."""

# The library's pattern is 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ . For ASCII we cut
# as it does; from where a run touches anything else, the rest of the word is one piece. `++` is never given back.
_PIECES = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d"
    r"| ?[A-Za-z]++(?![^\0-\x7f])| ?[0-9]++(?![^\0-\x7f])| ?[!-/:-@\[-`{-~\0-\x08\x0e-\x1b\x7f]++(?![^\0-\x7f])"
    r"| ?[^ \t\n]+|[ \t]+(?![^ \t\n])|[ \t]+|\n"
)
# White space other than space and tab, and what somebody may take for it: such lines go through the library as a whole.
_OTHER_SPACE = re.compile(
    "[\v\f\r\x1c-\x1f\x85\xa0\u1680\u180e\u2000-\u200f\u2028\u2029\u202f\u205f-\u2064\u3000\ufeff]"
)


def can_cache(described: dict[str, Any]) -> bool:
    """Whether a `tokenizer.json` cuts lines as assumed here: byte-level, no normalizer, no tokens outside the model."""
    before = described.get("pre_tokenizer") or {}
    byte_level = before.get("type") == "ByteLevel" and before.get("use_regex", True)
    plain_model = described["model"].get("type") == "BPE" and not described["model"].get("dropout")
    only_special = all(token.get("special") for token in described.get("added_tokens", ()))
    no_prefix = not before.get("add_prefix_space") and described.get("normalizer") is None
    return bool(byte_level and plain_model and only_special and no_prefix)


class PieceCache:
    """Ids of pieces.

    Args:
        encode: The library's encoding of several texts.
        eos_id: Stands for a line's end.
    """

    def __init__(self, encode: Encode, eos_id: int) -> None:
        self._encode, self._eos_id = encode, eos_id
        self._known: dict[str, tuple[int, ...]] = {"\n": (eos_id,)}

    def encode_batch(self, lines: Sequence[str]) -> np.ndarray:
        """The ids of the lines in one stream, `eos_id` after each."""
        text = "\n".join([*lines, ""])
        if not _OTHER_SPACE.search(text):
            return self._lookup(_PIECES.findall(text))
        return self._mixed(lines)

    def _mixed(self, lines: Sequence[str]) -> np.ndarray:
        other = [i for i, line in enumerate(lines) if _OTHER_SPACE.search(line)]
        whole = dict(zip(other, self._encode([lines[i] for i in other]), strict=True))
        parts = []
        for i, line in enumerate(lines):
            parts.append([*whole[i], self._eos_id] if i in whole else self._lookup(_PIECES.findall(line + "\n")))
        return np.concatenate(parts).astype(np.int32)

    def _lookup(self, pieces: list[str]) -> np.ndarray:
        if len(self._known) > LIMIT:
            self._known = {"\n": (self._eos_id,)}
        known = self._known
        new = [piece for piece in set(pieces) if piece not in known]
        known.update(zip(new, map(tuple, self._encode(new)), strict=True))
        ids = np.fromiter(chain.from_iterable(map(known.__getitem__, pieces)), np.int32)
        for piece in new:
            if len(piece) > LONGEST:
                del known[piece]
        return ids
