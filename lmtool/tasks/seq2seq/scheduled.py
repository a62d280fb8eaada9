"""Scheduled sampling in two passes: in training the decoder reads, here and there, what it would have said itself.

A decoder learns after true tokens, and then has to go on from its own. To read its own in training, a token at a time,
would make each step wait for the one before. So a first pass reads the true tokens and draws from what it gives to each
place, and a second one, which is learned from, reads those draws in the places of some of the true tokens.

References:
    Bengio et al., "Scheduled sampling for sequence prediction with recurrent neural networks", 2015.
    Mihaylova & Martins, "Scheduled sampling for transformers", 2019 (two passes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from lmtool.sharding import by_batch
from lmtool.tasks.output import LOGITS_AT_ONCE
from lmtool.tasks.seq2seq.copying import with_copies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmtool.array_types import Key
    from lmtool.tasks.seq2seq.network import Seq2SeqNetwork
    from lmtool.tasks.seq2seq.states import Readout

RATE = "sampling_rate"
"""Of a batch: float32 [B], the share of each target's tokens that are replaced."""


def rate_at(step: int, share: float, steps: int) -> float:
    """The share of tokens that are replaced at a step: from zero it rises linearly to `share` over so many steps."""
    return share * min(1.0, step / steps) if steps else share


def partly_said(network: Seq2SeqNetwork, params: Any, batch: Mapping[str, Any], key: Key) -> jax.Array:
    """Targets, int32 [B, T], of which some are drawn from what the network, without dropout, gives to their places
    after the true tokens before them.

    Args:
        network: Whose parameters `params` are; no gradient goes through the draws.
        params: Of the network.
        batch: As the network reads it, and `RATE`.
        key: Decides which tokens are replaced, and by what.
    """
    draw_key, choice_key = jax.random.split(key)
    params, targets = jax.lax.stop_gradient(params), batch["targets"]
    readout = network.apply(params, batch["source"], batch["source_mask"], targets, train=False)
    weights = network.apply(params, method="output_weights")

    def draw(weights: Any, readout: Any, source: jax.Array, keys: Key) -> jax.Array:
        def of_document(known: tuple[Readout, jax.Array, Key]) -> jax.Array:
            *arrays, key = known
            readout, source = jax.tree.map(lambda leaf: leaf[None], arrays)
            log_probs = network.output.log_probs(weights, readout.h[0].astype(jnp.float32))
            return jax.random.categorical(key, with_copies(log_probs[None], readout, source)[0])

        at_once = max(1, LOGITS_AT_ONCE // (targets.shape[1] * network.target_vocab_size))
        ids: jax.Array = jax.lax.map(of_document, (readout, source, keys), batch_size=at_once)
        return ids

    keys = jax.random.split(draw_key, targets.shape[0])
    said = by_batch(draw, axes=(None, 0, 0, 0), out_axes=0)(weights, readout, batch["source"], keys)
    is_said = jax.random.uniform(choice_key, targets.shape) < batch[RATE][:, None]
    return jnp.where(is_said, said.astype(targets.dtype), targets)


__all__ = ["RATE", "partly_said", "rate_at"]
