"""An ARPA file as a model: its words matched with a tokenizer's ids, its n-grams sorted into the tables of a trie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmtool_ngram.arpa import words as arpa_words
from lmtool_ngram.arpa.matching import SPECIAL, Matching
from lmtool_ngram.arpa.parsing import ArpaFile
from lmtool_ngram.arpa.tables import DuplicateError, Order, as_level, tables
from lmtool_ngram.model import NgramLanguageModel, load
from lmtool_ngram.tables.quantize import quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmtool.api import Tokenizer
    from lmtool.data.dataset import Dataset
    from lmtool_ngram.arpa.config import ArpaConfig

    Progress = Callable[[str, float], None]


class Arpa:
    """Imports a model; see `lmtool.api.ImportedModel`."""

    def __init__(self, config: ArpaConfig) -> None:
        self.file, self.quantize = config.file, config.quantize

    def vocabulary(self) -> Iterator[str]:
        """The words of the file, without those that stand for the ends of a line and for the unknown word."""
        for word in ArpaFile(self.file).unigrams().words:
            if word == arpa_words.SPACE:
                yield " "  # for characters, among which it comes before U+2581 itself; among words it is none
            if word.lower() not in SPECIAL:
                yield arpa_words.unquoted(word)

    def fit(self, dataset: Dataset, *, progress: Progress, scratch: Path) -> NgramLanguageModel:
        """Read the file; of the dataset only the tokenizer counts. Raises DataError if the file is damaged."""
        model = read(self.file, dataset.tokenizer, progress=progress)
        if not self.quantize:
            return model
        return NgramLanguageModel(quantize(model.levels, self.quantize), model.settings)

    def load(self, folder: Path) -> NgramLanguageModel:
        """Memory-mapped. Raises DataError if it is damaged."""
        return load(folder)


def read(name: str, tokenizer: Tokenizer, *, progress: Progress = lambda phase, fraction: None) -> NgramLanguageModel:
    """The model in an ARPA file; see `arpa_matching` and `arpa_tables` for what is done about things that do not fit.

    Args:
        name: A path.
        tokenizer: Whose ids the model shall have.
        progress: Told how far it is.

    Raises:
        DataError: with file and line, if it cannot be read.
    """
    file = ArpaFile(name)
    matching = Matching(file.unigrams(), tokenizer)
    matching.check_different(file)
    unigrams, changed = matching.table()
    orders = _orders(file, matching, progress)
    matching.warn(name)
    progress("sorting", 0.5)
    try:
        built = tables(unigrams, orders, changed)
    except DuplicateError as error:
        file.fail("this n-gram is there already", error.line)
    levels = [as_level(table, tokenizer.vocab_size, highest=table is built[-1]) for table in built]
    settings: dict[str, Any] = {
        "order": len(levels),
        "vocab_size": tokenizer.vocab_size,
        "eos_id": tokenizer.eos_id,
        "smoothing": "imported",
        "discounts": [],
    }
    return NgramLanguageModel(levels, settings)


def _orders(file: ArpaFile, matching: Matching, progress: Progress) -> list[Order]:
    """Orders 2 and up, to the end of the file."""
    table, orders = matching.word_table(), []
    for n in range(2, len(file.counts) + 1):
        progress("reading", 0.5 * sum(file.counts[: n - 1]) / max(sum(file.counts), 1))
        orders.append(matching.order(file.ngrams(n, table)))
    file.end()
    return orders
