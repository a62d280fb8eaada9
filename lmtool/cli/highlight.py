"""An explained document on a terminal: words that speak for its class are marked, and those that speak against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from lmtool.prediction_classes import Verdict

    Explanation = Sequence[tuple[str, float]]

FOR, AGAINST = ((0, 95, 0), (135, 215, 135)), ((95, 0, 0), (255, 150, 150))
"""Backgrounds and foregrounds of words that speak for the class, and against it."""
WEAK, STRONG = 0.1, 0.4
"""Shares of the largest weight from which on a word is marked, and marked twice."""


def show(verdict: Verdict, explanation: Explanation) -> None:
    """Print what is predicted, and the text with its words marked."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    numbers = verdict.chosen or verdict.ranked(1)
    console.print(
        "  ".join(f"{label} {probability:.3f}" for label, probability in map(verdict.pair, numbers)), style="bold"
    )
    console.print(marked(explanation))
    console.print()


def marked(explanation: Explanation) -> Text:
    """The words, with colours; bold and underlined, which need none, where they matter most."""
    from rich.text import Text

    largest = max((abs(weight) for _, weight in explanation), default=0.0)
    text = Text()
    for number, (word, weight) in enumerate(explanation):
        text.append(" " if number else "")
        text.append(word, _style(weight / largest if largest else 0.0))
    return text


def _style(share: float) -> str:
    if abs(share) < WEAK:
        return ""
    background, foreground = FOR if share > 0 else AGAINST
    colours = f"rgb({','.join(map(str, foreground))}) on rgb({','.join(map(str, background))})"
    return f"bold underline {colours}" if abs(share) >= STRONG else colours


__all__ = ["marked", "show"]
