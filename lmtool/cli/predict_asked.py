"""What runs of both kinds predict by: options, and how what is predicted is written."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmtool.prediction import Form


@dataclass(frozen=True)
class Asked:
    """What to predict of: the options of that name."""

    file: str
    form: Form
    text: bool
    prefix: str
    as_json: bool
    plain: bool
    seed: int


def write(text: str) -> None:
    """Whole lines at once, and now: somebody may be waiting for them."""
    sys.stdout.write(text)
    sys.stdout.flush()


__all__ = ["Asked", "write"]
