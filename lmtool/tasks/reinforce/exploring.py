"""Texts are drawn from a policy, judged on the host, and turned into a loss, whatever the network is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.sharding import by_batch
from lmtool.tasks.network import with_gradient_of
from lmtool.tasks.reinforce.objective import surrogate

if TYPE_CHECKING:
    from lmtool.array_types import Key
    from lmtool.tasks.reinforce.penalties import Tokens
    from lmtool.tasks.reinforce.policy import Policy
    from lmtool.tasks.reinforce.rewards import Rewards

    Start = tuple[Any, Any]
    """Parameters of the starting model, and its context."""

MOST_BYTES = 1 << 16
"""Of an array that is handed to the host. A CPU copies those of 100 KiB and more by threads of the pool that devices
compute with: where two of them wait for the host, nobody is left, and they wait forever."""


class Samples(NamedTuple):
    """Judged texts to B contexts; constants, as far as gradients are concerned."""

    ids: jax.Array
    """int32 [B, K, L]; the end follows the last token, and stands in all places after it."""
    mask: jax.Array
    """bool [B, K, L]: True for tokens that were drawn, and for the end of a text that was not cut off."""
    rewards: jax.Array
    """float32 [B, K]."""
    greedy: jax.Array
    """float32 [B], reward of the likeliest text; 0 if nobody asks."""


@dataclass(frozen=True)
class Exploration:
    """What a policy is taught by: texts that it draws, and what they are worth."""

    policy: Policy
    rewards: Rewards
    failures: list[Exception] = field(default_factory=list)
    """What went wrong in judging, on the host: the loss is not finite then."""

    def explore(
        self,
        params: Any,
        context: Any,
        length: int,
        *,
        numbers: jax.Array,
        key: Key,
        draws: jax.Array | None = None,
        given: jax.Array | None = None,
    ) -> Samples:
        """Draw texts and have them judged. Each device does both for its own contexts.

        Args:
            params: Of the network.
            context: See `Decoder`: arrays [B, …].
            length: Tokens after which a text is cut off.
            numbers: int32 [B], what a context is judged as, below 0 for rows without one.
            key: Of the step.
            draws: int32 [B], by which texts to the same context are drawn apart; `numbers` if left out, where no
                context comes twice.
            given: int32 [B]: tokens at the start of each text that were not drawn; none if left out.
        """
        config = self.policy.config
        constants = jax.lax.stop_gradient((params, context))

        def judged(params: Any, context: Any, numbers: jax.Array, draws: jax.Array, key: Key) -> tuple[jax.Array, ...]:
            found = self.policy.sample(params, context, length, numbers=draws, key=key)
            ids, lengths = found.ids, found.lengths
            if config.baseline == "self-critical":
                likeliest = self.policy.greedy(params, context, length, numbers=numbers)
                ids = jnp.concatenate([ids, likeliest.ids], axis=1)
                lengths = jnp.concatenate([lengths, likeliest.lengths], axis=1)
            form = jax.ShapeDtypeStruct((lengths.size, 1), jnp.float32)  # type: ignore[no-untyped-call]
            rewards = jax.pure_callback(self._judge, form, _in_pieces(ids, lengths, numbers))
            return found.ids, found.lengths, rewards.reshape(lengths.shape)

        ids, lengths, rewards = by_batch(judged, axes=(None, 0, 0, 0, None), out_axes=(0, 0, 0))(
            *constants, numbers, numbers if draws is None else draws, key
        )
        places, ends = jnp.arange(length)[None, None], lengths[:, :, None]
        mask = places <= ends
        if given is not None:
            mask &= places >= given[:, None, None]
        rewards, greedy = rewards[:, : config.samples], rewards[:, config.samples :].sum(axis=1)
        return Samples(jnp.where(places < ends, ids, self.policy.eos_id), mask, rewards, greedy)

    def _judge(self, pieces: list[tuple[Any, Any, Any]]) -> np.ndarray:
        """Called on the host. What fails there is kept: it would come out of the compiled step as another exception."""
        try:
            return np.concatenate([self.rewards(*piece) for piece in pieces])
        except Exception as error:
            self.failures.append(error)
            return np.full((sum(len(numbers) for *_, numbers in pieces), 1), np.nan, np.float32)

    def loss(
        self, params: Any, context: Any, samples: Samples, real: jax.Array, *, start: Start | None, mixed: Any
    ) -> jax.Array:
        """Minus the mean reward, with the gradient of what is learned.

        Args:
            params: Of the network.
            context: That the samples were drawn from.
            samples: From `explore`.
            real: bool [B], False for rows without a context.
            start: For the divergence from it; None where that does not count.
            mixed: The cross-entropy, of which `mix` goes into the gradient.
        """
        config = self.policy.config
        tokens = self._tokens((params, context), start, samples.ids)
        reinforced = surrogate(
            tokens, samples.mask, samples.rewards, real, config, greedy=samples.greedy, ids=samples.ids
        )
        count = jnp.maximum(real.sum(), 1).astype(jnp.float32) * config.samples
        reward = jnp.sum(jnp.where(real[:, None], samples.rewards, 0.0)) / count
        return with_gradient_of(-reward, (1 - config.mix) * reinforced + config.mix * mixed)

    def _tokens(self, own: Start, start: Start | None, ids: jax.Array) -> Tokens:
        policy, beside = self.policy, self.policy.decoder.beside(own[1])
        read = policy.decoder.read(*own, ids)
        if start is None:
            of_own = by_batch(
                lambda weights, readout, beside, ids: policy.tokens((weights, readout), None, beside, ids),
                axes=(None, 0, 0, 0),
                out_axes=0,
            )
            tokens: Tokens = of_own(*read, beside, ids)
            return tokens
        of_both = by_batch(
            lambda *one: policy.tokens(one[:2], one[2:4], *one[4:]),
            axes=(None, 0, None, 0, 0, 0),
            out_axes=0,
        )
        both: Tokens = of_both(*read, *policy.decoder.read(*start, ids), beside, ids)
        return both


def _in_pieces(ids: jax.Array, lengths: jax.Array, numbers: jax.Array) -> list[tuple[jax.Array, ...]]:
    """Samples [B, K, L] one by one, so many in a piece that their ids have at most `MOST_BYTES`: [N, 1, L], their
    lengths [N, 1], and the numbers of their contexts [N]."""
    longest = ids.shape[2]
    arrays = (ids.reshape(-1, 1, longest), lengths.reshape(-1, 1), jnp.repeat(numbers, ids.shape[1]))
    rows = max(1, MOST_BYTES // (longest * ids.dtype.itemsize))
    return [tuple(array[start : start + rows] for array in arrays) for start in range(0, lengths.size, rows)]


__all__ = ["MOST_BYTES", "Exploration", "Samples"]
