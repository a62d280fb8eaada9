"""Which tokens of a text its question has, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

if TYPE_CHECKING:
    import jax

    from lmtool.array_types import Ids, Mask


def stands_in(ids: Ids, question: Ids, mask: Mask) -> jax.Array:
    """Whether each of ids [B, T] is one of the question's, [B, Q], that count by the mask, [B, Q]: bool [B, T]."""
    found: jax.Array = jnp.any((ids[:, :, None] == question[:, None, :]) & mask[:, None, :], axis=2)
    return found


def asked(source: Ids, mask: Mask, eos_id: int) -> jax.Array:
    """Whether each token below the first line stands in that line, too: bool [B, S].

    Args:
        source: int32 [B, S], lines with `eos_id` at their ends.
        mask: bool [B, S], False at padding.
        eos_id: Is asked for by nobody.
    """
    in_question = (jnp.cumsum(source == eos_id, axis=1) == 0) & mask
    found: jax.Array = stands_in(source, source, in_question) & ~in_question
    return found


__all__ = ["asked", "stands_in"]
