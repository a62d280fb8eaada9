"""What models predict, by the capabilities of their task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection

Predicts = Literal["tokens", "classes", "texts"]
KINDS: dict[str, str] = {"tokens": "a language model", "classes": "a classifier", "texts": "a text-to-text model"}
"""What users are told a model is, by what it predicts."""


def predicted_with(capabilities: Collection[str]) -> Predicts:
    """What the models of a task with these capabilities give: probabilities of tokens, those of classes, or texts."""
    return "classes" if "classes" in capabilities else "texts" if "texts" in capabilities else "tokens"


__all__ = ["KINDS", "Predicts", "predicted_with"]
