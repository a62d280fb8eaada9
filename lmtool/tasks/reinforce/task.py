"""The `reinforce` task: answers are drawn from the model, judged on the host, and learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from lmtool.tasks.reinforce.exploring import Exploration
from lmtool.tasks.reinforce.policy import Policy, Seq2SeqDecoder
from lmtool.tasks.reinforce.rewards import Rewards
from lmtool.tasks.seq2seq.task import Seq2Seq

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from lmtool.api import Backbone, TextEvaluator
    from lmtool.array_types import Key
    from lmtool.config import TrainingConfig
    from lmtool.data.dataset import Dataset
    from lmtool.tasks.reinforce.config import ReinforceConfig
    from lmtool.tasks.reinforce.exploring import Samples
    from lmtool.tasks.seq2seq.network import Memory


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
        self.decoder = Seq2SeqDecoder(self.network)
        policy = Policy(self.decoder, config, tokenizer.eos_id)
        self.exploration = Exploration(policy, Rewards(reward, tokenizer, dataset.split("train").references))

    @property
    def failures(self) -> Sequence[Exception]:
        """See `lmtool.api.Task`."""
        return self.exploration.failures

    def fixed(self, params: Any) -> Any:
        """The starting model, where the divergence from it counts."""
        return params if self.config.needs_start else ()

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """That of `seq2seq`, and `numbers` of documents, int32 [B], -1 in rows without one."""
        return {**super().batch(step), "numbers": self.batches.numbers(step)}

    def loss(self, params: Any, carry: Any, batch: Mapping[str, Any], key: Key) -> tuple[Any, tuple[Any, Any]]:
        real, mix = batch["numbers"] >= 0, self.config.mix
        key, supervised_key = jax.random.split(key)
        supervised = super().loss(params, carry, batch, supervised_key)[0] if mix else jnp.zeros(())
        if mix == 1:
            return supervised, (carry, real.sum())
        source = batch["source"], batch["source_mask"]
        memory = self.decoder.encode(params, *source)
        samples = self.explore(params, memory, batch, key)
        start = (batch["fixed"], self.decoder.encode(batch["fixed"], *source)) if self.config.kl else None
        loss = self.exploration.loss(params, memory, samples, real, start=start, mixed=supervised)
        return loss, (carry, real.sum())

    def explore(self, params: Any, memory: Memory, batch: Mapping[str, Any], key: Key) -> Samples:
        """Judged answers to the documents of a batch."""
        length = self.config.max_length or 2 * batch["targets"].shape[1]
        return self.exploration.explore(params, memory, length, numbers=batch["numbers"], key=key)


__all__ = ["Reinforce"]
