"""Tokenizers: bytes, characters, words, and subwords by the Hugging Face library.

Capabilities: `fixed` says that the vocabulary needs no training text; `lossless` that `decode(encode(line)) == line`
for every line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_tokenizers() -> Iterable[Component]:
    yield Component(
        name="byte",
        target="lmtool_tokenizers.byte:ByteTokenizer",
        summary="UTF-8 bytes: 256 tokens, nothing unknown",
        capabilities=frozenset({"fixed", "lossless"}),
    )
    yield Component(
        name="char",
        target="lmtool_tokenizers.char:CharTokenizer",
        config="lmtool_tokenizers.config:CharConfig",
        summary="Unicode code points of the training text",
    )
    yield Component(
        name="word",
        target="lmtool_tokenizers.word:WordTokenizer",
        config="lmtool_tokenizers.config:WordConfig",
        summary="whitespace-separated words of the training text",
    )
    yield Component(
        name="bpe",
        target="lmtool_tokenizers.bpe:BPETokenizer",
        config="lmtool_tokenizers.config:BPEConfig",
        summary="byte-level byte-pair encoding, or any tokenizer.json (Hugging Face tokenizers)",
        capabilities=frozenset({"lossless"}),
    )
