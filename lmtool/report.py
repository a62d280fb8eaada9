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
    from lmtool.evaluation_text import Text

SCHEMA = 1
BEST = "* "


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


def table(results: Sequence[Result]) -> Table:
    """One column a run; the best of comparable figures is marked."""
    from rich import box
    from rich.table import Table

    figures = [(name, [_cell(*cell) for cell in _cells(results, name)]) for name in _shown_names(results)]
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    made.add_column("", no_wrap=True)
    for column, result in enumerate(results):
        # Names may be folded where the terminal is narrow; figures may not.
        widest = max((len(cells[column]) for _, cells in figures), default=1)
        made.add_column(result.run, justify="right", overflow="fold", min_width=widest)
    for label, values in _facts(results):
        made.add_row(label, *values)
    made.add_section()
    for name, cells in figures:
        made.add_row(name, *cells)
    return made


def _shown_names(results: Sequence[Result]) -> list[str]:
    """Metrics in order, without those that repeat others because no token is unknown."""
    names = dict.fromkeys(name for result in results for name in result.evaluation.metrics)
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
    return lines


def _facts(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    return [
        ("model", [result.model for result in results]),
        ("tokenizer", [f"{result.tokenizer_name}, {result.tokenizer.vocab_size:,} ids" for result in results]),
        ("text", [result.text.name for result in results]),
        ("state", [_state(result.evaluation) for result in results]),
        *((name, [f"{result.counts[name]:,}" for result in results]) for name in ("tokens", "words", "bytes")),
    ]


def _state(evaluation: Evaluation) -> str:
    return f"carried, {evaluation.streams} streams" if evaluation.carried else "per line"


def _cell(metric: Metric | None, best: bool) -> RichText:
    from rich.text import Text

    if metric is None:
        return Text("–")
    places = _places(metric.value)
    value = f"{metric.value:.{places}f}" if places is not None else f"{metric.value:.4g}"
    error = "" if metric.stderr is None or places is None else f" ± {metric.stderr:.{places}f}"
    signs = f"{BEST if best else ''}{'≥ ' if metric.lower_bound else ''}"
    return Text(f"{signs}{value}{error}", style="bold" if best else "")


def _places(value: float) -> int | None:
    """Decimals for five digits or so; None to leave fixed point for numbers that are too large or too small for it."""
    if not math.isfinite(value) or abs(value) >= 1e9 or 0 < abs(value) < 1e-4:
        return None
    return 2 if abs(value) >= 100 else 3 if abs(value) >= 10 else 4


def best_of(results: Sequence[Result], name: str) -> set[int]:
    """Indices of the results with the best value of a metric; none where values cannot be compared.

    All must be of the same text. Per-token figures, and lower bounds, compare between runs of the same tokenizer only.
    """
    metrics = [result.evaluation.metrics.get(name) for result in results]
    if len(results) < 2 or not name.startswith(("token_perplexity", "word_perplexity", "bits_per_byte")):
        return set()
    known = [metric for metric in metrics if metric is not None]
    same_text = len({result.text_key for result in results}) == 1
    same_tokenizer = len({result.tokenizer.fingerprint for result in results}) == 1
    depends = name.startswith("token_") or name.endswith("_without_oov") or any(one.lower_bound for one in known)
    if len(known) < len(results) or not same_text or (depends and not same_tokenizer):
        return set()
    best = min(metric.value for metric in known)
    return {i for i, metric in enumerate(known) if metric.value == best and math.isfinite(best)}
