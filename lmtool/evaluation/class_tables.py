"""What there is to say of classes one by one, and of runs two by two, as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table
    from rich.text import Text as RichText

    from lmtool.evaluation.significance import Comparison

MOST_CONFUSIONS = 20
"""Lines where the confusion matrix is too wide to be shown as a whole."""


def detail_tables(details: dict[str, Any], width: int, run: str | None = None) -> Iterator[Table]:
    """A table of classes, the confusion matrix, a table of confidence: those that evaluators gave.

    Args:
        details: By the evaluators' own names: `classes`, `confusion`, `reliability`.
        width: Columns of the terminal.
        run: Whose they are, for titles; None where there is one run only.
    """
    made = []
    if rows := details.get("classes"):
        made.append(_classes(rows))
    if "matrix" in (confusion := details.get("confusion", {})) and confusion["labels"]:
        made.append(_confusion(confusion["labels"], confusion["matrix"], width))
    if rows := details.get("reliability"):
        made.append(_reliability(rows))
    for table in made:
        table.title, table.title_justify, table.title_style = run, "left", "bold"
        yield table


def _classes(rows: Sequence[dict[str, Any]]) -> Table:
    made = _table("classes", "precision", "recall", "f1", "documents", "predicted")
    for row in rows:
        figures = [f"{row[name]:.4f}" for name in ("precision", "recall", "f1")]
        made.add_row(row["label"], *figures, *(f"{row[name]:,}" for name in ("support", "predicted")))
    return made


def _confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]], width: int) -> Table:
    """Rows are true classes, columns what was predicted, by the numbers of the rows."""
    from rich.cells import cell_len

    digits = max(len(str(number)) for number in (*(n for row in matrix for n in row), len(labels)))
    names = [f"{name}  {number}" for number, name in enumerate(labels, 1)]
    if max(map(cell_len, names)) + len(labels) * (digits + 3) > width:
        return _confusions(labels, matrix)
    made = _table("true \\ predicted", *(str(number) for number in range(1, len(labels) + 1)))
    for i, (name, row) in enumerate(zip(names, matrix, strict=True)):
        made.add_row(name, *(_count(n, right=i == j) for j, n in enumerate(row)))
    return made


def _count(number: int, *, right: bool) -> RichText:
    from rich.text import Text

    return Text(str(number) if number else "·", style="bold" if right else "" if number else "dim")


def _confusions(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Table:
    """The most frequent ones, where there are too many classes for a matrix."""
    cells = [(n, i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) if n and i != j]
    made = _table("most frequent confusions", "taken for", "documents", "of those of the class")
    for n, i, j in sorted(cells, key=lambda cell: (-cell[0], cell[1:]))[:MOST_CONFUSIONS]:
        made.add_row(labels[i], labels[j], f"{n:,}", f"{n / sum(matrix[i]):.1%}")
    return made


def _reliability(rows: Sequence[dict[str, Any]]) -> Table:
    made = _table("confidence", "mean", "right", "± stderr", "predictions")
    for row in rows:
        bounds = f"{row['from']:.3f} to {row['to']:.3f}"
        stderr = "" if row.get("stderr") is None else f"{row['stderr']:.4f}"
        made.add_row(bounds, f"{row['confidence']:.4f}", f"{row['accuracy']:.4f}", stderr, f"{row['n']:,}")
    return made


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Each run beside the first one: at least one comparison."""
    first = comparisons[0].first
    made = _table(f"beside {first}", "figure", "difference", "95 % interval", "p", "test")
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


def _table(*headers: str) -> Table:
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    made.add_column(headers[0], overflow="fold")
    for header in headers[1:]:
        left = header in ("taken for", "figure", "test")
        made.add_column(header, justify="left" if left else "right", no_wrap=not left, overflow="fold")
    return made


__all__ = ["comparison_table", "detail_tables", "p_value"]
