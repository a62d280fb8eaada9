"""Figures of runs side by side, as tables for people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from rich.table import Table
    from rich.text import Text as RichText

    from lmtool.api import Metric
    from lmtool.evaluation.json_report import Result
    from lmtool.evaluation.significance import Comparison

    Row = tuple[str, list[str]]
    """A label, and what it says of each run."""
    Figure = tuple[str, list[RichText]]

BEST = "* "
GAP = 3
"""Columns between two columns of the table."""


@dataclass(frozen=True)
class Columns:
    """One column a run: facts above, figures below."""

    runs: list[str]
    facts: list[Row]
    figures: list[Figure]

    def tables(self, width: int) -> list[Table]:
        """What does not fit side by side goes into further tables with the same rows; a run that is too wide even alone
        has its names folded, never its figures.

        Args:
            width: Columns of the terminal.
        """
        labels = max(len(label) for label, _ in (*self.facts, *self.figures))
        widths = [self._width(i) for i in range(len(self.runs))]
        return [self._table(columns, labels) for columns in _side_by_side(widths, width - labels)]

    def _width(self, column: int) -> int:
        from rich.cells import cell_len

        names = [self.runs[column], *(values[column] for _, values in self.facts)]
        return max([*map(cell_len, names), *(cells[column].cell_len for _, cells in self.figures)])

    def _table(self, columns: list[int], labels: int) -> Table:
        from rich import box
        from rich.table import Table

        made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        made.add_column("", no_wrap=True, min_width=labels)
        for column in columns:
            widest = max((len(cells[column]) for _, cells in self.figures), default=1)
            made.add_column(self.runs[column], justify="right", overflow="fold", min_width=widest)
        for label, values in self.facts:
            made.add_row(label, *(values[column] for column in columns))
        made.add_section()
        for name, cells in self.figures:
            made.add_row(name, *(cells[column] for column in columns))
        return made


def best_among(
    metrics: Sequence[Metric | None], best: Callable[[Iterable[float]], float], compare: Callable[[int, int], bool]
) -> set[int]:
    """Places of the metrics with the best value among those that they compare with, two or more.

    Args:
        metrics: One of each run; None of one that has none.
        best: `min` or `max`.
        compare: Whether the figures of two runs compare, by their places.
    """
    values = {i: metric.value for i, metric in enumerate(metrics) if metric is not None}
    alike = {i: [values[j] for j in values if compare(i, j)] for i in values}
    return {i for i, value in values.items() if len(alike[i]) > 1 and value == best(alike[i])}


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


def posterior_row(results: Sequence[Result]) -> list[Row]:
    """How posteriors were used, if any run has one."""
    if not any(result.posterior for result in results):
        return []
    return [("posterior", [result.posterior or "-" for result in results])]


def figure_cell(metric: Metric | None, best: bool) -> RichText:
    """A figure with its standard error and its signs; a dash for one that is not there."""
    from rich.text import Text

    if metric is None:
        return Text("–")
    form = number_format(metric.value)
    value = form.format(metric.value)
    error = "" if metric.stderr is None else f" ± {form.format(metric.stderr)}"
    signs = f"{BEST if best else ''}{'≥ ' if metric.lower_bound else ''}"
    return Text(f"{signs}{value}{error}", style="bold" if best else "")


def number_format(value: float) -> str:
    """Five digits or so; powers of ten only for what is too large or too small without."""
    size = abs(value)
    if not math.isfinite(size) or size >= 1e9 or 0 < size < 1e-4:
        return "{:.3e}"
    places = 2 if size >= 100 else 3 if size >= 10 else 4
    return f"{{:.{places}f}}"


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Each run beside the first one: at least one comparison."""
    first = comparisons[0].first
    headers = (f"beside {first}", "figure", "difference", "95 % interval", "p", "test")
    made = plain_table(*headers, left=("figure", "test"))
    for comparison in comparisons:
        for number, one in enumerate(comparison.differences):
            interval = f"{one.low:+.4f} to {one.high:+.4f}"
            run = comparison.run if not number else ""
            made.add_row(run, one.metric, f"{one.value:+.4f}", interval, p_value(one.p_value), one.test)
    return made


def p_value(p: float) -> str:
    """Two digits; what is below a ten-thousandth is not told apart.

    >>> p_value(0.0312), p_value(0.4), p_value(1e-9)
    ('0.031', '0.40', '<0.0001')
    """
    if p < 1e-4:
        return "<0.0001"
    return f"{p:.2f}" if p >= 0.1 else f"{p:.3f}" if p >= 0.01 else f"{p:.4f}"


def plain_table(*headers: str, left: Collection[str] = ()) -> Table:
    """Without rows; columns are flush right but for the first one and those of `left`."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    made.add_column(headers[0], overflow="fold")
    for header in headers[1:]:
        is_text = header in left
        made.add_column(header, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    return made


__all__ = [
    "Columns",
    "best_among",
    "comparison_table",
    "figure_cell",
    "number_format",
    "p_value",
    "plain_table",
    "posterior_row",
]
