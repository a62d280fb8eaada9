"""What stands where there is nothing to be looked at."""

from __future__ import annotations

LOWEST = -1e30
"""In the place of scores and states that are padding, where the largest is looked for: finite, so that a softmax of
nothing else is no NaN."""

__all__ = ["LOWEST"]
