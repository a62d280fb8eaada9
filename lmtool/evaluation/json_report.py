"""Results as JSON: what `lmtool eval --json` says of those of any kind, and numbers as all commands write them."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lmtool.api import Metric, Tokenizer
    from lmtool.evaluation.evaluated_text import Text
    from lmtool.evaluation.significance import Comparison

SCHEMA = 1


class Result(Protocol):
    """One run on one text."""

    @property
    def run(self) -> str: ...
    @property
    def model(self) -> str:
        """The component's name."""
        ...

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def tokenizer_name(self) -> str: ...
    @property
    def text(self) -> Text: ...
    @property
    def posterior(self) -> str | None:
        """How it was used, `mean` or `samples:K`; None if the run has none."""
        ...


def report(results: Iterable[dict[str, Any]], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The whole object."""
    return {"schema": SCHEMA, "results": list(results), "comparisons": _comparisons(comparisons)}


def _comparisons(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """An object for each difference of each of them."""
    return [
        {"run": one.run, "first": one.first, **asdict(difference)}
        for one in comparisons
        for difference in one.differences
    ]


def described(result: Result) -> dict[str, Any]:
    """What a result is of: run, model, text and tokenizer."""
    return {
        "run": result.run,
        "model": result.model,
        "posterior": result.posterior,
        "data": result.text.data,
        "split": result.text.split,
        "sources": list(result.text.sources),
        "tokenizer": {"name": result.tokenizer_name, **tokenizer_to_json(result.tokenizer)},
    }


def tokenizer_to_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """What tells one tokenizer from others."""
    return {"unit": tokenizer.unit, "vocab_size": tokenizer.vocab_size, "fingerprint": tokenizer.fingerprint}


def metric_to_json(metric: Metric) -> dict[str, Any]:
    """Value, standard error and n of a metric."""
    stderr = None if metric.stderr is None else number(metric.stderr)
    found = {"value": number(metric.value), "stderr": stderr, "n": metric.n}
    return found | ({"lower_bound": True} if metric.lower_bound else {})


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


__all__ = ["Result", "described", "metric_to_json", "number", "report", "tokenizer_to_json"]
