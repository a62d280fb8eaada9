"""Text from files and from data sets by name. A reader's capabilities are the suffixes that it reads."""

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
        name="csv",
        target="lmtool_readers.table:TableReader",
        config="lmtool_readers.config:CsvConfig",
        summary="CSV, one document a row, its text in one column",
        capabilities=frozenset({".csv"}),
    )
    yield Component(
        name="tsv",
        target="lmtool_readers.table:TableReader",
        config="lmtool_readers.config:TsvConfig",
        summary="fields apart by tabs, one document a row, its text in one column",
        capabilities=frozenset({".tsv"}),
    )
    yield Component(
        name="parquet",
        target="lmtool_readers.parquet:ParquetReader",
        config="lmtool_readers.config:ParquetConfig",
        summary="Parquet, one document a row, its text in one column; needs pyarrow",
        capabilities=frozenset({".parquet"}),
    )
    yield Component(
        name="fasttext",
        target="lmtool_readers.fasttext:FastTextReader",
        config="lmtool_readers.config:FastTextConfig",
        summary="one document a line, its labels the words that begin with `__label__`",
    )
    yield Component(
        name="parallel",
        target="lmtool_readers.parallel:ParallelReader",
        config="lmtool_readers.config:ParallelConfig",
        capabilities=frozenset({"targets"}),
        summary="`parallel:SOURCE,TARGET`, plain files side by side: line n of one is answered by line n of the other",
    )
    yield Component(
        name="folder",
        target="lmtool_readers.folder:FolderReader",
        config="lmtool_readers.config:FolderConfig",
        summary="`folder:PATH`, one document a file, its label the sub-folder that it lies in",
    )
    yield Component(
        name="sklearn",
        target="lmtool_readers.scikit:SklearnReader",
        config="lmtool_readers.config:SklearnConfig",
        summary="`sklearn:20newsgroups` from scikit-learn's cache, else from the network; `#train` and `#test`",
    )
    yield Component(
        name="builtin",
        target="lmtool_readers.builtin:BuiltinReader",
        summary="`builtin:pydoc`, Python's language reference; `#train`, `#valid`, `#test` give its parts",
    )
