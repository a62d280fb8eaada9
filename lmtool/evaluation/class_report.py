"""Results of classifiers, as JSON for programs and as tables for people."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.evaluation.class_tables import detail_tables
from lmtool.evaluation.json_report import described, metric_to_json, report
from lmtool.evaluation.significance import Comparison, differences
from lmtool.evaluation.tables import Columns, best_among, comparison_table, figure_cell, posterior_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from lmtool.api import Tokenizer
    from lmtool.evaluation.classes import ClassEvaluation
    from lmtool.evaluation.evaluated_text import Text

HIGHER = re.compile(r"(subset_)?accuracy|(precision|recall|f1)_\w+|top_\d+_accuracy|(roc_auc|average_precision)_\w+")
LOWER = re.compile(r"log_loss|(adaptive_)?ece|brier")
"""Metrics that are best where they are highest, and lowest."""


@dataclass(frozen=True)
class ClassResult:
    """One classifier on some documents."""

    run: str
    model: str
    """The component's name."""
    tokenizer: Tokenizer
    tokenizer_name: str
    text: Text
    evaluation: ClassEvaluation
    posterior: str | None = None
    """How it was used, `mean` or `samples:K`; None if the run has none."""

    @property
    def labels(self) -> tuple[str, ...]:
        return self.evaluation.outcomes.labels

    @property
    def counts(self) -> dict[str, int]:
        """See `Text.counts`."""
        return {"documents": self.text.ids.num_documents, **self.text.counts}

    def has_documents_of(self, other: ClassResult) -> bool:
        """Whether both are about the same documents and classes, whatever the tokenizer."""
        same_text = self.text.is_like(other.text)
        targets = self.evaluation.outcomes.targets, other.evaluation.outcomes.targets
        return same_text and self.labels == other.labels and np.array_equal(*targets)


def compare(results: Sequence[ClassResult]) -> list[Comparison]:
    """Each run that has the documents of the first one, beside it."""
    first, *others = results
    return [
        Comparison(one.run, first.run, differences(first.evaluation.outcomes, one.evaluation.outcomes))
        for one in others
        if one.has_documents_of(first)
    ]


def to_json(results: Sequence[ClassResult], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The object that `lmtool eval --json` prints."""
    return report(map(_result_to_json, results), comparisons)


def _result_to_json(result: ClassResult) -> dict[str, Any]:
    evaluation = result.evaluation
    return {
        **described(result),
        "labels": list(result.labels),
        "multi_label": evaluation.outcomes.multi_label,
        "seconds": round(evaluation.seconds, 3),
        "counts": result.counts,
        "metrics": {name: metric_to_json(metric) for name, metric in evaluation.metrics.items()},
        "details": evaluation.details,
    }


# Side by side ---------------------------------------------------------------------------------------------------------


def tables(results: Sequence[ClassResult], width: int) -> list[Table]:
    """One column a run; the best figure on the same documents is marked, over all runs.

    Args:
        results: At least one.
        width: Columns of the terminal; see `Columns.tables`.
    """
    figures = []
    for name in _shown_names(results):
        best = best_of(results, name)
        cells = [(result.evaluation.metrics.get(name), i in best) for i, result in enumerate(results)]
        figures.append((name, [figure_cell(*cell) for cell in cells]))
    facts = [
        ("model", [result.model for result in results]),
        *posterior_row(results),
        ("tokenizer", [f"{result.tokenizer_name}, {result.tokenizer.vocab_size:,} ids" for result in results]),
        ("text", [result.text.name for result in results]),
        *((name, [f"{result.counts[name]:,}" for result in results]) for name in ("documents", "words")),
        ("classes", [f"{len(result.labels):,}" for result in results]),
    ]
    return Columns([result.run for result in results], facts, figures).tables(width)


def all_tables(
    results: Sequence[ClassResult], comparisons: Sequence[Comparison], width: int, *, details: bool
) -> Iterator[Table]:
    """Figures side by side, each run beside the first one, and, if asked for, each run's `detail_tables`."""
    yield from tables(results, width)
    if comparisons:
        yield comparison_table(comparisons)
    for result in results if details else ():
        title = result.run if len(results) > 1 else None
        yield from detail_tables(result.evaluation.details, width, title)


def _shown_names(results: Sequence[ClassResult]) -> list[str]:
    """Metrics in order, without those that say what accuracy says."""
    most_first = sorted((result.evaluation.metrics for result in results), key=len, reverse=True)
    names = dict.fromkeys(name for metrics in most_first for name in metrics)
    return [name for name in names if not (name.endswith("_micro") and "accuracy" in names)]


def best_of(results: Sequence[ClassResult], name: str) -> set[int]:
    """Indices of the results with the best value of a metric among those on the same documents, two or more."""
    higher = HIGHER.fullmatch(name) is not None
    if not higher and not LOWER.fullmatch(name):
        return set()
    metrics = [result.evaluation.metrics.get(name) for result in results]
    best = max if higher else min
    return best_among(metrics, best, lambda i, j: results[j].has_documents_of(results[i]))


def legend(results: Sequence[ClassResult]) -> list[str]:
    """What the signs in the tables mean; nothing about signs that are not there."""
    metrics = [metric for result in results for metric in result.evaluation.metrics.values()]
    lines = ["± is one standard error"] if any(metric.stderr is not None for metric in metrics) else []
    if any(best_of(results, name) for result in results for name in result.evaluation.metrics):
        lines.append("* best on the same documents")
    return lines


__all__ = ["ClassResult", "all_tables", "best_of", "compare", "legend", "tables", "to_json"]
