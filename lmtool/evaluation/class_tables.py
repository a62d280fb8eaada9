"""What there is to say of classes one by one, as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmtool.evaluation.tables import plain_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table
    from rich.text import Text as RichText


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
    made = plain_table("classes", "precision", "recall", "f1", "documents", "predicted")
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
    made = plain_table("true \\ predicted", *(str(number) for number in range(1, len(labels) + 1)))
    for i, (name, row) in enumerate(zip(names, matrix, strict=True)):
        made.add_row(name, *(_count(n, right=i == j) for j, n in enumerate(row)))
    return made


def _count(number: int, *, right: bool) -> RichText:
    from rich.text import Text

    return Text(str(number) if number else "·", style="bold" if right else "" if number else "dim")


def _confusions(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Table:
    """The most frequent ones, where there are too many classes for a matrix."""
    cells = [(n, i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) if n and i != j]
    headers = ("most frequent confusions", "taken for", "documents", "of those of the class")
    made = plain_table(*headers, left=("taken for",))
    for n, i, j in sorted(cells, key=lambda cell: (-cell[0], cell[1:]))[:MOST_CONFUSIONS]:
        made.add_row(labels[i], labels[j], f"{n:,}", f"{n / sum(matrix[i]):.1%}")
    return made


def _reliability(rows: Sequence[dict[str, Any]]) -> Table:
    made = plain_table("confidence", "mean", "right", "± stderr", "predictions")
    for row in rows:
        bounds = f"{row['from']:.3f} to {row['to']:.3f}"
        stderr = "" if row.get("stderr") is None else f"{row['stderr']:.4f}"
        made.add_row(bounds, f"{row['confidence']:.4f}", f"{row['accuracy']:.4f}", stderr, f"{row['n']:,}")
    return made


__all__ = ["detail_tables"]
