"""Results of text models, as JSON for programs and as tables for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.evaluation.bootstrap import paired_differences
from lmtool.evaluation.json_report import described, metric_to_json, report, tokenizer_to_json
from lmtool.evaluation.significance import Comparison
from lmtool.evaluation.tables import Columns, best_among, comparison_table, figure_cell, posterior_row
from lmtool.evaluation.texts import TargetLikelihood

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from lmtool.api import Tokenizer
    from lmtool.evaluation.evaluated_text import Text
    from lmtool.evaluation.significance import Difference
    from lmtool.evaluation.tables import Row
    from lmtool.evaluation.texts import Scored, TextEvaluation
    from lmtool.settings import DecodingConfig

LOWER = TargetLikelihood.names
"""Figures that are best where they are lowest, and compare between runs with the same tokenizer of targets only."""


@dataclass(frozen=True)
class TextResult:
    """One text model on some documents."""

    run: str
    model: str
    """The component's name."""
    tokenizer: Tokenizer
    tokenizer_name: str
    target_tokenizer: Tokenizer
    target_tokenizer_name: str
    text: Text
    decoding: DecodingConfig
    evaluation: TextEvaluation
    posterior: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """See `Text.counts`."""
        documents = self.text.ids.num_documents
        return {"documents": documents, **self.text.counts, "target_tokens": self.evaluation.target_tokens}

    @property
    def sentences_per_second(self) -> float:
        return self.counts["documents"] / max(self.evaluation.seconds_answering, 1e-9)

    def has_documents_of(self, other: TextResult) -> bool:
        """Whether both are about the same documents and references, whatever the tokenizers."""
        same_text = self.text.is_like(other.text)
        return same_text and self.evaluation.references_digest == other.evaluation.references_digest

    def has_targets_of(self, other: TextResult) -> bool:
        """Whether both give probabilities to the same tokens."""
        same = self.target_tokenizer.fingerprint == other.target_tokenizer.fingerprint
        return same and self.has_documents_of(other)


def compare(results: Sequence[TextResult]) -> list[Comparison]:
    """Each run that has the documents of the first one, beside it."""
    first, *others = results
    found = [Comparison(one.run, first.run, _differences(first, one)) for one in others if one.has_documents_of(first)]
    return [one for one in found if one.differences]


def _differences(first: TextResult, second: TextResult) -> list[Difference]:
    found: list[Difference] = []
    for one in first.evaluation.scored:
        likelihood = isinstance(one.maker, TargetLikelihood)
        other = next((other for other in second.evaluation.scored if _is_alike(one, other)), None)
        if other is None or (likelihood and not first.has_targets_of(second)):
            continue
        names = LOWER[:1] if likelihood else ()
        found += paired_differences(one.maker, one.statistics, other.statistics, names=names)
    return found


def _is_alike(one: Scored, other: Scored) -> bool:
    """Whether two are of the same figures, so made that they compare."""
    same = (one.maker.names, one.signature) == (other.maker.names, other.signature)
    enough = len(one.statistics) > 1 and one.statistics.shape == other.statistics.shape
    return same and enough and bool(np.isfinite(one.statistics).all() and np.isfinite(other.statistics).all())


def to_json(results: Sequence[TextResult], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The object that `lmtool eval --json` prints."""
    return report(map(_result_to_json, results), comparisons)


def _result_to_json(result: TextResult) -> dict[str, Any]:
    evaluation = result.evaluation
    return {
        **described(result),
        "target_tokenizer": {"name": result.target_tokenizer_name, **tokenizer_to_json(result.target_tokenizer)},
        "decoding": result.decoding.model_dump(mode="json"),
        "seconds": round(evaluation.seconds, 3),
        "sentences_per_second": round(result.sentences_per_second, 3),
        "counts": result.counts,
        "metrics": {name: _metric_to_json(result, name) for name in evaluation.metrics},
    }


def _metric_to_json(result: TextResult, name: str) -> dict[str, Any]:
    evaluation = result.evaluation
    found = metric_to_json(evaluation.metrics[name])
    if spread := evaluation.spreads.get(name):
        found |= {"low": spread.low, "high": spread.high}
    return found | ({"signature": evaluation.signatures[name]} if name in evaluation.signatures else {})


# Side by side ---------------------------------------------------------------------------------------------------------


def all_tables(results: Sequence[TextResult], comparisons: Sequence[Comparison], width: int) -> list[Table]:
    """Figures side by side, and each run beside the first one."""
    return [*tables(results, width), *([comparison_table(comparisons)] if comparisons else [])]


def tables(results: Sequence[TextResult], width: int) -> list[Table]:
    """One column a run; the best figure on the same documents is marked, over all runs.

    Args:
        results: At least one.
        width: Columns of the terminal; see `Columns.tables`.
    """
    figures = []
    for name in dict.fromkeys(name for result in results for name in result.evaluation.metrics):
        best = best_of(results, name)
        cells = [(result.evaluation.metrics.get(name), i in best) for i, result in enumerate(results)]
        figures.append((name, [figure_cell(*cell) for cell in cells]))
    return Columns([result.run for result in results], _facts(results), figures).tables(width)


def _facts(results: Sequence[TextResult]) -> list[Row]:
    return [
        ("model", [result.model for result in results]),
        ("tokenizer", [_tokenizers(result) for result in results]),
        ("text", [result.text.name for result in results]),
        *((name, [f"{result.counts[name]:,}" for result in results]) for name in ("documents", "words")),
        ("target tokens", [f"{result.counts['target_tokens']:,}" for result in results]),
        *posterior_row(results),
        ("decoding", [decoding_name(result.decoding) for result in results]),
        ("sentences/s", [f"{result.sentences_per_second:,.1f}" for result in results]),
    ]


def _tokenizers(result: TextResult) -> str:
    of_documents = f"{result.tokenizer_name}, {result.tokenizer.vocab_size:,} ids"
    if result.tokenizer.fingerprint == result.target_tokenizer.fingerprint:
        return of_documents
    return f"{of_documents}; {result.target_tokenizer_name}, {result.target_tokenizer.vocab_size:,} ids"


def decoding_name(decoding: DecodingConfig) -> str:
    """What a table says of how answers are found: what is not as usual, but always the search.

    >>> from lmtool.settings import DecodingConfig
    >>> decoding_name(DecodingConfig(beam=1)), decoding_name(DecodingConfig(no_repeat_ngram=3))
    ('greedy', 'beam 5, no repeat ngram 3')
    """
    search = "sample" if decoding.sample else f"beam {decoding.beam}" if decoding.beam > 1 else "greedy"
    usual = type(decoding).model_validate({})
    names = [name for name in type(decoding).model_fields if name not in ("beam", "sample", "n_best")]
    changed = [(name, getattr(decoding, name)) for name in names if getattr(decoding, name) != getattr(usual, name)]
    facts = [name.replace("_", " ") + ("" if value is True else f" {value:g}") for name, value in changed]
    return ", ".join([search, *facts])


def best_of(results: Sequence[TextResult], name: str) -> set[int]:
    """Indices of the results with the best value of a figure among those on the same documents, two or more."""
    metrics = [result.evaluation.metrics.get(name) for result in results]
    best = min if name in LOWER else max
    return best_among(metrics, best, lambda i, j: _compare(results[i], results[j], name))


def _compare(one: TextResult, other: TextResult, name: str) -> bool:
    signatures = [result.evaluation.signatures.get(name) for result in (one, other)]
    same = other.has_targets_of(one) if name in LOWER else other.has_documents_of(one)
    return same and signatures[0] == signatures[1]


def legend(results: Sequence[TextResult]) -> list[str]:
    """What the signs in the tables mean, and the signatures of the figures."""
    metrics = [metric for result in results for metric in result.evaluation.metrics.values()]
    lines = ["± is one standard error"] if any(metric.stderr is not None for metric in metrics) else []
    if any(best_of(results, name) for result in results for name in result.evaluation.metrics):
        lines.append("* best on the same documents")
    signed = [f"{name}: {one}" for result in results for name, one in result.evaluation.signatures.items()]
    return [*lines, *dict.fromkeys(signed)]


__all__ = ["TextResult", "all_tables", "best_of", "compare", "decoding_name", "legend", "tables", "to_json"]
