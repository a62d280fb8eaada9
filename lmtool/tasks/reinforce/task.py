"""The `reinforce` task: answers are drawn from the model, judged on the host, and learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.sharding import by_batch
from lmtool.tasks.network import with_gradient_of
from lmtool.tasks.reinforce.objective import surrogate
from lmtool.tasks.reinforce.policy import Policy
from lmtool.tasks.reinforce.rewards import Rewards
from lmtool.tasks.seq2seq.task import Seq2Seq

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmtool.api import Backbone, TextEvaluator
    from lmtool.array_types import Key
    from lmtool.config import TrainingConfig
    from lmtool.data.dataset import Dataset
    from lmtool.tasks.reinforce.config import ReinforceConfig
    from lmtool.tasks.reinforce.penalties import Tokens
    from lmtool.tasks.seq2seq.network import Memory


MOST_BYTES = 1 << 16
"""Of an array that is handed to the host. A CPU copies those of 100 KiB and more by threads of the pool that devices
compute with: where two of them wait for the host, nobody is left, and they wait forever."""


class Samples(NamedTuple):
    """Judged answers to B documents; constants, as far as gradients are concerned."""

    ids: jax.Array
    """int32 [B, K, L]; the end follows the last token, and stands in all places after it."""
    mask: jax.Array
    """bool [B, K, L]: True for tokens, and for the end of an answer that was not cut off."""
    rewards: jax.Array
    """float32 [B, K]."""
    greedy: jax.Array
    """float32 [B], reward of the likeliest answer; 0 if nobody asks."""


class Reinforce(Seq2Seq):
    """See `lmtool.api.Task`, and `docs/explanation/reinforce.md` for what is learned.

    The loss that is reported is minus the mean reward of the samples; with `mix = 1`, where there are none, it is that
    of `seq2seq`.
    """

    unit = "documents"
    config: ReinforceConfig

    def __init__(
        self,
        config: ReinforceConfig,
        *,
        dataset: Dataset,
        backbone: Backbone,
        training: TrainingConfig,
        encoder: Backbone,
        reward: TextEvaluator,
    ) -> None:
        super().__init__(config, dataset=dataset, backbone=backbone, training=training, encoder=encoder)
        self.num_data = self.pairs.count
        tokenizer = dataset.target_tokenizer
        self.policy = Policy(self.network, config, tokenizer.eos_id)
        self._rewards = Rewards(reward, tokenizer, dataset.split("train").references)

    def fixed(self, params: Any) -> Any:
        """The starting model, where the divergence from it counts."""
        return params if self.config.kl and self.config.mix < 1 else ()

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """That of `seq2seq`, and `numbers` of documents, int32 [B], -1 in rows without one."""
        return {**super().batch(step), "numbers": self.batches.numbers(step)}

    def loss(self, params: Any, carry: Any, batch: Mapping[str, Any], key: Key) -> tuple[Any, tuple[Any, Any]]:
        real, mix = batch["numbers"] >= 0, self.config.mix
        key, supervised_key = jax.random.split(key)
        supervised = super().loss(params, carry, batch, supervised_key)[0] if mix else jnp.zeros(())
        if mix == 1:
            return supervised, (carry, real.sum())
        memory = self.policy.encode(params, batch["source"], batch["source_mask"])
        samples = self.explore(params, memory, batch, key)
        tokens = self._tokens(params, memory, samples, batch)
        reinforced = surrogate(
            tokens, samples.mask, samples.rewards, real, self.config, greedy=samples.greedy, ids=samples.ids
        )
        count = jnp.maximum(real.sum(), 1).astype(jnp.float32) * self.config.samples
        reward = jnp.sum(jnp.where(real[:, None], samples.rewards, 0.0)) / count
        return with_gradient_of(-reward, (1 - mix) * reinforced + mix * supervised), (carry, real.sum())

    def explore(self, params: Any, memory: Memory, batch: Mapping[str, Any], key: Key) -> Samples:
        """Draw answers and have them judged. Each device does both for its own documents."""
        length = self.config.max_length or 2 * batch["targets"].shape[1]
        constants = jax.lax.stop_gradient((params, memory))

        def judged(params: Any, memory: Memory, numbers: jax.Array, key: Key) -> tuple[jax.Array, ...]:
            found = self.policy.sample(params, memory, length, numbers=numbers, key=key)
            ids, lengths = found.ids, found.lengths
            if self.config.baseline == "self-critical":
                likeliest = self.policy.greedy(params, memory, length, numbers=numbers)
                ids = jnp.concatenate([ids, likeliest.ids], axis=1)
                lengths = jnp.concatenate([lengths, likeliest.lengths], axis=1)
            form = jax.ShapeDtypeStruct((lengths.size, 1), jnp.float32)  # type: ignore[no-untyped-call]
            rewards = jax.pure_callback(self._judge, form, _in_pieces(ids, lengths, numbers))
            return found.ids, found.lengths, rewards.reshape(lengths.shape)

        ids, lengths, rewards = by_batch(judged, axes=(None, 0, 0, None), out_axes=(0, 0, 0))(
            *constants, batch["numbers"], key
        )
        places, ends = jnp.arange(length)[None, None], lengths[:, :, None]
        rewards, greedy = rewards[:, : self.config.samples], rewards[:, self.config.samples :].sum(axis=1)
        return Samples(jnp.where(places < ends, ids, self.policy.eos_id), places <= ends, rewards, greedy)

    def _judge(self, pieces: list[tuple[Any, Any, Any]]) -> np.ndarray:
        """Called on the host."""
        return np.concatenate([self._rewards(*piece) for piece in pieces])

    def _tokens(self, params: Any, memory: Memory, samples: Samples, batch: Mapping[str, Any]) -> Tokens:
        own = self.policy.read(params, memory, samples.ids)
        if not self.config.kl:
            of_own = by_batch(
                lambda weights, readout, source, ids: self.policy.tokens((weights, readout), None, source, ids),
                axes=(None, 0, 0, 0),
                out_axes=0,
            )
            tokens: Tokens = of_own(*own, batch["source"], samples.ids)
            return tokens
        start = batch["fixed"]
        theirs = self.policy.encode(start, batch["source"], batch["source_mask"])
        reference = self.policy.read(start, theirs, samples.ids)
        of_both = by_batch(
            lambda *one: self.policy.tokens(one[:2], one[2:4], *one[4:]),
            axes=(None, 0, None, 0, 0, 0),
            out_axes=0,
        )
        both: Tokens = of_both(*own, *reference, batch["source"], samples.ids)
        return both


def _in_pieces(ids: jax.Array, lengths: jax.Array, numbers: jax.Array) -> list[tuple[jax.Array, ...]]:
    """Samples [B, K, L] one by one, so many in a piece that their ids have at most `MOST_BYTES`: [N, 1, L], their
    lengths [N, 1], and the numbers of their documents [N]."""
    longest = ids.shape[2]
    arrays = (ids.reshape(-1, 1, longest), lengths.reshape(-1, 1), jnp.repeat(numbers, ids.shape[1]))
    rows = max(1, MOST_BYTES // (longest * ids.dtype.itemsize))
    return [tuple(array[start : start + rows] for array in arrays) for start in range(0, lengths.size, rows)]


__all__ = ["Reinforce", "Samples"]
