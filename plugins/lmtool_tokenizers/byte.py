"""UTF-8 bytes. The byte 10, which no line holds, is the end of a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from lmtool_tokenizers import vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lmtool.config import Config

_EOS = ord("\n")


class ByteTokenizer:
    """256 ids, one a byte. Lossless; ids that are no UTF-8 decode to U+FFFD."""

    vocab_size = 256
    eos_id = _EOS
    unk_id: int | None = None
    unit: Literal["byte"] = "byte"
    merges_words = False
    fingerprint = vocabulary.fingerprint("byte", None)

    @classmethod
    def train(cls, lines: Iterable[str], config: Config) -> ByteTokenizer:
        """Nothing is learned; `lines` are not read."""
        return cls()

    def encode(self, line: str) -> list[int]:
        if "\n" in line:
            raise ValueError("a line must not hold a line end")
        return list(line.encode())

    def encode_batch(self, lines: Sequence[str]) -> np.ndarray:
        ids = self.encode_text("\n".join([*lines, ""]))
        if np.count_nonzero(ids == _EOS) != len(lines):
            raise ValueError("a line must not hold a line end")
        return ids

    def encode_text(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(list(ids)).decode(errors="replace")

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Printable ASCII as it is, everything else as `<0xE2>`."""
        return [chr(i) if 0x20 < i < 0x7F else vocabulary.EOS_TOKEN if i == _EOS else f"<0x{i:02X}>" for i in ids]

    def save(self, folder: Path) -> None:
        """There is nothing to keep."""

    @classmethod
    def load(cls, folder: Path) -> ByteTokenizer:
        return cls()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByteTokenizer)

    def __hash__(self) -> int:
        return hash(self.fingerprint)
