"""Results of evaluations, as JSON for programs and as a table for people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text as RichText

    from lmtool.api import Metric, Tokenizer
    from lmtool.evaluation import Evaluation
    from lmtool.evaluation.text import Text

    Fact = tuple[str, list[str]]
    """A row of the table: its label, and what it says of each run."""
    Figure = tuple[str, list[RichText]]

SCHEMA = 1
BEST = "* "
GAP = 3
"""Columns between two columns of the table."""


@dataclass(frozen=True)
class Result:
    """One run on one text."""

    run: str
    model: str
    """The component's name."""
    tokenizer: Tokenizer
    tokenizer_name: str
    text: Text
    evaluation: Evaluation

    @property
    def counts(self) -> dict[str, int]:
        """What the text holds; a line's end counts as a token and a byte, not as a word."""
        ids = self.text.ids
        return {
            "lines": ids.num_lines,
            "words": ids.num_words,
            "tokens": ids.num_tokens,
            "bytes": ids.num_bytes,
            "unknown_tokens": ids.num_unknown,
        }

    @property
    def text_key(self) -> tuple[int, ...]:
        """Equal for the same text, whatever the tokenizer."""
        return tuple(self.counts[name] for name in ("lines", "words", "bytes"))


def to_json(results: Sequence[Result]) -> dict[str, Any]:
    """The object that `lmtool eval --json` prints."""
    return {"schema": SCHEMA, "results": [_result_to_json(result) for result in results]}


def _result_to_json(result: Result) -> dict[str, Any]:
    evaluation = result.evaluation
    return {
        "run": result.run,
        "model": result.model,
        "data": result.text.data,
        "split": result.text.split,
        "sources": list(result.text.sources),
        "tokenizer": {
            "name": result.tokenizer_name,
            "unit": result.tokenizer.unit,
            "vocab_size": result.tokenizer.vocab_size,
            "fingerprint": result.tokenizer.fingerprint,
        },
        "state": "carried" if evaluation.carried else "per line",
        "streams": evaluation.streams,
        "adapts": evaluation.adapts,
        "seconds": round(evaluation.seconds, 3),
        "counts": result.counts,
        "metrics": {name: _metric_to_json(metric) for name, metric in evaluation.metrics.items()},
    }


def _metric_to_json(metric: Metric) -> dict[str, Any]:
    stderr = None if metric.stderr is None else number(metric.stderr)
    described = {"value": number(metric.value), "stderr": stderr, "n": metric.n}
    return described | ({"lower_bound": True} if metric.lower_bound else {})


def number(value: float) -> float | str:
    """A number as JSON can hold it: those that it has no word for become "Infinity", "-Infinity" or "NaN".

    As strings they stay valid JSON, `float()` of every language reads them, and jq sorts them above all numbers, where
    null would be below.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


# The table ------------------------------------------------------------------------------------------------------------


def tables(results: Sequence[Result], width: int) -> list[Table]:
    """One column a run; the best of comparable figures is marked, over all runs.

    Args:
        results: At least one.
        width: Columns of the terminal. What does not fit side by side goes into further tables with the same rows; a
            run that is too wide even alone has its names folded, never its figures.
    """
    facts = _facts(results)
    figures = [(name, [_cell(*cell) for cell in _cells(results, name)]) for name in _shown_names(results)]
    labels = max(len(label) for label, _ in (*facts, *figures))
    widths = [_width(result.run, i, facts, figures) for i, result in enumerate(results)]
    return [_table(results, columns, facts, figures, labels) for columns in _side_by_side(widths, width - labels)]


def _width(run: str, column: int, facts: Sequence[Fact], figures: Sequence[Figure]) -> int:
    from rich.cells import cell_len

    names = [run, *(values[column] for _, values in facts)]
    return max([*map(cell_len, names), *(cells[column].cell_len for _, cells in figures)])


def _side_by_side(widths: Sequence[int], available: int) -> list[list[int]]:
    """Indices of the columns of each table."""
    groups: list[list[int]] = []
    left = 0
    for i, width in enumerate(widths):
        if not groups or width + GAP > left:
            groups.append([])
            left = available
        groups[-1].append(i)
        left -= width + GAP
    return groups


def _table(
    results: Sequence[Result], columns: list[int], facts: Sequence[Fact], figures: Sequence[Figure], labels: int
) -> Table:
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    made.add_column("", no_wrap=True, min_width=labels)
    for column in columns:
        widest = max((len(cells[column]) for _, cells in figures), default=1)
        made.add_column(results[column].run, justify="right", overflow="fold", min_width=widest)
    for label, values in facts:
        made.add_row(label, *(values[column] for column in columns))
    made.add_section()
    for name, cells in figures:
        made.add_row(name, *(cells[column] for column in columns))
    return made


def _shown_names(results: Sequence[Result]) -> list[str]:
    """Metrics in order, without those that repeat others because no token is unknown."""
    most_first = sorted((result.evaluation.metrics for result in results), key=len, reverse=True)
    names = dict.fromkeys(name for metrics in most_first for name in metrics)
    if any(result.counts["unknown_tokens"] for result in results):
        return list(names)
    return [name for name in names if not name.endswith("_without_oov")]


def _cells(results: Sequence[Result], name: str) -> list[tuple[Metric | None, bool]]:
    best = best_of(results, name)
    return [(result.evaluation.metrics.get(name), i in best) for i, result in enumerate(results)]


def legend(results: Sequence[Result]) -> list[str]:
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


def _facts(results: Sequence[Result]) -> list[Fact]:
    return [
        ("model", [result.model for result in results]),
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


def _cell(metric: Metric | None, best: bool) -> RichText:
    from rich.text import Text

    if metric is None:
        return Text("–")
    form = _format(metric.value)
    value = form.format(metric.value)
    error = "" if metric.stderr is None else f" ± {form.format(metric.stderr)}"
    signs = f"{BEST if best else ''}{'≥ ' if metric.lower_bound else ''}"
    return Text(f"{signs}{value}{error}", style="bold" if best else "")


def _format(value: float) -> str:
    """Five digits or so; powers of ten only for what is too large or too small without."""
    size = abs(value)
    if not math.isfinite(size) or size >= 1e9 or 0 < size < 1e-4:
        return "{:.3e}"
    places = 2 if size >= 100 else 3 if size >= 10 else 4
    return f"{{:.{places}f}}"


def best_of(results: Sequence[Result], name: str) -> set[int]:
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


def _best_of_one_text(results: Sequence[Result], indices: list[int], name: str) -> list[int]:
    metrics = {i: results[i].evaluation.metrics[name] for i in indices}
    same_tokenizer = len({results[i].tokenizer.fingerprint for i in indices}) == 1
    depends = name.startswith("token_") or name.endswith("_without_oov") or any(m.lower_bound for m in metrics.values())
    if len(indices) < 2 or (depends and not same_tokenizer):
        return []
    best = min(metric.value for metric in metrics.values())
    return [i for i, metric in metrics.items() if metric.value == best and math.isfinite(best)]
