"""What an encoder hands to a decoder, what that carries from step to step, and what it says of the next token."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax


class Memory(NamedTuple):
    """A source as the decoder sees it; none of it changes from step to step."""

    states: jax.Array
    """[B, S, D]."""
    keys: tuple[jax.Array, ...]
    """Of each hop of attention, [B, S, …]."""
    mask: jax.Array
    """[B, S], False at padding."""
    source: jax.Array
    """int32 [B, S]."""
    begin: jax.Array
    """[B, E], which stands where the embedding of the token before the first would."""


class State(NamedTuple):
    """What a decoder carries from step to step, K texts a row: arrays [B, K, …], `()` where there is nothing."""

    carry: Any
    """Of the backbone."""
    fed: Any
    """[B, K, A], what came out of the step before, with `input_feeding`."""
    coverage: Any
    """[B, K, S], the attention that was paid to each source token, with `coverage`."""
    place: Any
    """int32 [B, K], how many tokens were read, with `positions`."""


class Readout(NamedTuple):
    """What is known of the next token after each of [B, T] steps."""

    h: jax.Array
    """[B, T, E], what the output layer reads."""
    shares: Any
    """float32 [B, T, S], of attention; None without."""
    gate: Any
    """float32 [B, T], the logit of the share of what is not copied; None without `pointer`."""
    overlap: Any
    """float32 [B, T], attention to where it was before; None without `coverage`."""


__all__ = ["Memory", "Readout", "State"]
