"""Lines of text to lines of ids and back, as fast as a pipe asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmtool.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtool.api import Tokenizer


class Encoder:
    """Lines of text to lines of ids, or of tokens, separated by spaces.

    Args:
        tokenizer: Encodes all lines of a call at once.
        tokens: True for tokens.
    """

    def __init__(self, tokenizer: Tokenizer, *, tokens: bool = False) -> None:
        self._tokenizer = tokenizer
        ids = list(range(tokenizer.vocab_size))
        self._names = tokenizer.tokens(ids) if tokens else list(map(str, ids))
        self._names[tokenizer.eos_id] = "\n"

    def __call__(self, lines: Sequence[str]) -> str:
        """One answer a line, each ended by `\\n`."""
        ids = self._tokenizer.encode_batch(lines).tolist()
        # A line's end is a "\n" among the others, and loses the spaces beside it.
        return " ".join(map(self._names.__getitem__, ids)).replace(" \n", "\n").replace("\n ", "\n")


class Decoder:
    """Lines of ids to lines of text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known = {str(i): i for i in range(tokenizer.vocab_size) if i != tokenizer.eos_id}

    def __call__(self, lines: Sequence[str]) -> str:
        """One answer a line, each ended by `\\n`. Raises DataError for what is no id, or a line's end."""
        return "".join(f"{self._tokenizer.decode(self._ids(line))}\n" for line in lines)

    def _ids(self, line: str) -> list[int]:
        try:
            return [self._known[word] for word in line.split()]
        except KeyError as error:
            last, end = self._tokenizer.vocab_size - 1, self._tokenizer.eos_id
            hint = f"ids are 0 to {last}, without that of a line's end ({end})"
            raise DataError(f"'{error.args[0]}' is no id of a token", hint) from None


__all__ = ["Decoder", "Encoder"]
