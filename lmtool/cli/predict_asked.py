"""What runs of both kinds are asked to predict by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmtool.incoming import Form
    from lmtool.posterior import Samples


@dataclass(frozen=True)
class Asked:
    """The options of that name, and how the input is written."""

    file: str
    form: Form
    text: bool
    prefix: str
    samples: Samples | None
    """Of the weights; None for the posterior's mean."""
    as_json: bool
    plain: bool
    seed: int
