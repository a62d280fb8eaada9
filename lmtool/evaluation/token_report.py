"""Results of language models, as JSON for programs and as a table for people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.evaluation.json_report import described, metric_to_json, report
from lmtool.evaluation.significance import Comparison, token_difference
from lmtool.evaluation.tables import Columns, comparison_table, figure_cell, posterior_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from lmtool.api import Metric, Tokenizer
    from lmtool.evaluation import Evaluation
    from lmtool.evaluation.blocks import Blocks
    from lmtool.evaluation.evaluated_text import Text
    from lmtool.evaluation.tables import Row

FEWEST = 10
"""Blocks of a text that tell of chance."""


@dataclass(frozen=True)
class TokenResult:
    """One language model on one text."""

    run: str
    model: str
    """The component's name."""
    tokenizer: Tokenizer
    tokenizer_name: str
    text: Text
    evaluation: Evaluation
    posterior: str | None = None
    """How it was used, `mean` or `samples:K`; None if the run has none."""

    @property
    def counts(self) -> dict[str, int]:
        """See `Text.counts`."""
        return self.text.counts

    @property
    def text_key(self) -> tuple[int, ...]:
        """Equal for the same text, whatever the tokenizer."""
        return tuple(self.counts[name] for name in ("lines", "words", "bytes"))


def compare(results: Sequence[TokenResult]) -> list[Comparison]:
    """Each run beside the first one, where both predict the same tokens of the same text, long enough to be divided."""
    first, *others = results
    found = []
    for one in others:
        ours, theirs = first.evaluation.blocks, one.evaluation.blocks
        if ours and theirs and _same_text(first, one) and _comparable(ours, theirs):
            found.append(Comparison(one.run, first.run, [token_difference(ours, theirs)]))
    return found


def _same_text(first: TokenResult, other: TokenResult) -> bool:
    return first.text_key == other.text_key and first.tokenizer.fingerprint == other.tokenizer.fingerprint


def _comparable(ours: Blocks, theirs: Blocks) -> bool:
    """Of the same tokens, for another text may have as many lines, words and bytes; enough, and none impossible."""
    is_finite = np.isfinite(ours.nats).all() and np.isfinite(theirs.nats).all()
    return bool(len(ours.tokens) >= FEWEST and is_finite and np.array_equal(ours.tokens, theirs.tokens))


def to_json(results: Sequence[TokenResult], comparisons: Sequence[Comparison] = ()) -> dict[str, Any]:
    """The object that `lmtool eval --json` prints."""
    return report(map(_result_to_json, results), comparisons)


def _result_to_json(result: TokenResult) -> dict[str, Any]:
    evaluation = result.evaluation
    return {
        **described(result),
        "state": "carried" if evaluation.carried else "per line",
        "streams": evaluation.streams,
        "adapts": evaluation.adapts,
        "seconds": round(evaluation.seconds, 3),
        "counts": result.counts,
        "metrics": {name: metric_to_json(metric) for name, metric in evaluation.metrics.items()},
    }


# The table ------------------------------------------------------------------------------------------------------------


def tables(results: Sequence[TokenResult], width: int) -> list[Table]:
    """One column a run; the best of comparable figures is marked, over all runs.

    Args:
        results: At least one.
        width: Columns of the terminal; see `Columns.tables`.
    """
    figures = [(name, [figure_cell(*cell) for cell in _cells(results, name)]) for name in _shown_names(results)]
    return Columns([result.run for result in results], _facts(results), figures).tables(width)


def all_tables(results: Sequence[TokenResult], comparisons: Sequence[Comparison], width: int) -> list[Table]:
    """Figures side by side, and each run beside the first one."""
    return [*tables(results, width), *([comparison_table(comparisons)] if comparisons else [])]


def _shown_names(results: Sequence[TokenResult]) -> list[str]:
    """Metrics in order, without those that repeat others because no token is unknown."""
    most_first = sorted((result.evaluation.metrics for result in results), key=len, reverse=True)
    names = dict.fromkeys(name for metrics in most_first for name in metrics)
    if any(result.counts["unknown_tokens"] for result in results):
        return list(names)
    return [name for name in names if not name.endswith("_without_oov")]


def _cells(results: Sequence[TokenResult], name: str) -> list[tuple[Metric | None, bool]]:
    best = best_of(results, name)
    return [(result.evaluation.metrics.get(name), i in best) for i, result in enumerate(results)]


def legend(results: Sequence[TokenResult]) -> list[str]:
    """What the signs in the table mean; nothing about signs that are not there."""
    metrics = [metric for result in results for metric in result.evaluation.metrics.values()]
    lines = ["± is one standard error"] if any(metric.stderr is not None for metric in metrics) else []
    if any(metric.lower_bound for metric in metrics):
        lines.append("≥ the text has words that the vocabulary lacks: the true figure is higher")
    if any(best_of(results, name) for result in results for name in result.evaluation.metrics):
        lines.append("* best on the same text")
    if any(result.evaluation.adapts for result in results):
        lines.append("adapts: what was read of this text made later predictions better")
    return lines


def _facts(results: Sequence[TokenResult]) -> list[Row]:
    return [
        ("model", [result.model for result in results]),
        *posterior_row(results),
        ("tokenizer", [f"{result.tokenizer_name}, {result.tokenizer.vocab_size:,} ids" for result in results]),
        ("text", [result.text.name for result in results]),
        ("state", [_state(result.evaluation) for result in results]),
        *((name, [f"{result.counts[name]:,}" for result in results]) for name in ("tokens", "words", "bytes")),
    ]


def _state(evaluation: Evaluation) -> str:
    if not evaluation.carried:
        return "per line"
    streams = f"{evaluation.streams} stream{'s' if evaluation.streams > 1 else ''}"
    return f"carried, {streams}{', adapts' if evaluation.adapts else ''}"


def best_of(results: Sequence[TokenResult], name: str) -> set[int]:
    """Indices of the results with the best value of a metric, one text at a time; none where values do not compare.

    Per-token figures, those without unknown words, and lower bounds compare between runs of the same tokenizer only.
    """
    if not name.startswith(("token_perplexity", "word_perplexity", "bits_per_byte")):
        return set()
    by_text: dict[tuple[int, ...], list[int]] = {}
    for i, result in enumerate(results):
        if name in result.evaluation.metrics:
            by_text.setdefault(result.text_key, []).append(i)
    return {i for indices in by_text.values() for i in _best_of_one_text(results, indices, name)}


def _best_of_one_text(results: Sequence[TokenResult], indices: list[int], name: str) -> list[int]:
    metrics = {i: results[i].evaluation.metrics[name] for i in indices}
    same_tokenizer = len({results[i].tokenizer.fingerprint for i in indices}) == 1
    depends = name.startswith("token_") or name.endswith("_without_oov") or any(m.lower_bound for m in metrics.values())
    if len(indices) < 2 or (depends and not same_tokenizer):
        return []
    best = min(metric.value for metric in metrics.values())
    return [i for i, metric in metrics.items() if metric.value == best and math.isfinite(best)]
