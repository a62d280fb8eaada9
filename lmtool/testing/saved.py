"""What checks of models that are saved and loaded share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PICKLES = (".pkl", ".pickle", ".joblib")


def check_no_pickles(folder: Path) -> None:
    """No file below a folder is called as pickles are."""
    pickles = [one.name for one in folder.rglob("*") if one.suffix in PICKLES]
    assert not pickles, f"{pickles[0]} is a pickle"


def raised(call: Callable[[], object]) -> Exception | None:
    """What an action raises; None if nothing."""
    try:
        call()
    except Exception as error:
        return error
    return None


__all__ = ["check_no_pickles", "raised"]
