"""Text from files and from Python's own reference. A reader's capabilities are the suffixes that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from lmtool.api import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

hookimpl = pluggy.HookimplMarker("lmtool")


@hookimpl
def lmtool_register_readers() -> Iterable[Component]:
    yield Component(
        name="text",
        target="lmtool_readers.text:TextReader",
        summary="plain text, UTF-8, one document a file",
        capabilities=frozenset({".txt", ".text"}),
    )
    yield Component(
        name="jsonl",
        target="lmtool_readers.jsonl:JsonLinesReader",
        config="lmtool_readers.config:JsonLinesConfig",
        summary="JSON Lines, one document a line, its text in one field",
        capabilities=frozenset({".jsonl", ".ndjson"}),
    )
    yield Component(
        name="builtin",
        target="lmtool_readers.builtin:BuiltinReader",
        summary="`builtin:pydoc`, Python's language reference; `#train`, `#valid`, `#test` give its parts",
    )
