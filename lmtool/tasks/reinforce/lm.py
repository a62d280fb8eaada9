"""The `reinforce-lm` task: a language model writes texts, which are judged on the host, and learns from that."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.decoding import Prefixes
from lmtool.tasks.lm import LanguageModelling
from lmtool.tasks.reinforce.exploring import Exploration
from lmtool.tasks.reinforce.policy import LanguageModelDecoder, Policy
from lmtool.tasks.reinforce.prompts import Prompts
from lmtool.tasks.reinforce.rewards import Rewards

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lmtool.api import Backbone, TextEvaluator
    from lmtool.array_types import Key
    from lmtool.config import TrainingConfig
    from lmtool.data.dataset import Dataset, Split
    from lmtool.tasks.reinforce.config import ReinforceLMConfig
    from lmtool.tasks.reinforce.exploring import Samples

VALIDATION_SAMPLES = 256
"""Texts whose mean judgement is the `reward` of a validation, at most."""
VALIDATION_SEED = 0
"""Of the lines that they go on from, and of what they are drawn with: the same in all runs, so that figures differ by
the model alone."""
MOST_NUMBERS = 2**31
"""Texts are numbered in int32."""


class ReinforceLM(LanguageModelling):
    """See `lmtool.api.Task`, and `docs/explanation/reinforce.md` for what is learned.

    The loss that is reported is minus the mean reward of the samples; with `mix = 1`, where there are none, it is that
    of `lm`.

    Raises:
        ConfigError: without prompts, if the evaluator cannot judge a text alone.
        DataError: if there are to be prompts, and no line is long enough.
    """

    unit = "documents"

    def __init__(
        self,
        config: ReinforceLMConfig,
        *,
        dataset: Dataset,
        backbone: Backbone,
        training: TrainingConfig,
        reward: TextEvaluator,
    ) -> None:
        super().__init__(config, dataset=dataset, backbone=backbone, training=training)
        config.check_reward(reward)
        self.config, self._reward, self._tokenizer, self._seed = config, reward, dataset.tokenizer, training.seed
        split = dataset.split("train")
        self._prompts = self._prompts_of(split, self._seed)
        texts = split.num_lines if self._prompts is None else self._prompts.count
        # The carry of `lm` goes on from window to window, and an epoch is what it goes through.
        self._steps = self.windows.steps_per_epoch if config.mix else -(-texts // self.batch_size)
        self.num_data = self._steps * self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Those of `lm` where it has a part in the loss; else as many as it takes to go on from each line once."""
        return self._steps

    @cached_property
    def policy(self) -> Policy:
        return Policy(LanguageModelDecoder(self.network, self._eos_id), self.config, self._eos_id)

    @cached_property
    def exploration(self) -> Exploration:
        return Exploration(self.policy, self._rewards_of(self._prompts))

    @property
    def failures(self) -> Sequence[Exception]:
        """See `lmtool.api.Task`."""
        return self.exploration.failures

    def fixed(self, params: Any) -> Any:
        """The starting model, where the divergence from it counts."""
        return params if self.config.needs_start else ()

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """That of `lm`, where it has a part in the loss; `prompts`, int32 [B, P]; `numbers`, int32 [B], of the lines
        that they begin; `places`, int32 [B], among all texts that training asks for, which are also the numbers of
        those that are written from nothing."""
        first = step * self.batch_size
        places = (np.arange(first, first + self.batch_size) % MOST_NUMBERS).astype(np.int32)
        numbers, prompts = places, np.zeros((self.batch_size, 0), np.int32)
        if self._prompts is not None:
            numbers = self._prompts.numbers(first, self.batch_size)
            prompts = self._prompts.ids(numbers)
        windows = super().batch(step) if self.config.mix else {}
        return {**windows, "prompts": prompts, "numbers": numbers, "places": places}

    def loss(self, params: Any, carry: Any, batch: Mapping[str, Any], key: Key) -> tuple[Any, tuple[Any, Any]]:
        """See `lmtool.api.Task`. Without a part of `lm` in the loss, the carry stays as it is."""
        real, mix = batch["numbers"] >= 0, self.config.mix
        key, supervised_key = jax.random.split(key)
        supervised = jnp.zeros(())
        if mix:
            supervised, (carry, _) = super().loss(params, carry, batch, supervised_key)
        if mix == 1:
            return supervised, (carry, real.sum())
        context = given(batch["prompts"])
        samples = self.explore(params, batch, key)
        start = (batch["fixed"], context) if self.config.kl else None
        loss = self.exploration.loss(params, context, samples, real, start=start, mixed=supervised)
        return loss, (carry, real.sum())

    def explore(self, params: Any, batch: Mapping[str, Any], key: Key) -> Samples:
        """Judged texts that go on from the prompts of a batch."""
        context = given(batch["prompts"])
        return self.exploration.explore(
            params,
            context,
            self.config.max_length,
            numbers=batch["numbers"],
            draws=batch["places"],
            key=key,
            given=context.lengths,
        )

    def reward_on(self, split: Split) -> Callable[[Any], float]:
        """From parameters to the mean judgement of texts: each goes on from another line of a split, as many of them as
        are long enough; without prompts they are written from nothing. The same texts, if the parameters are the same.

        Raises:
            DataError: if there are to be prompts, and no line is long enough.
        """
        found = self._prompts_of(split, VALIDATION_SEED)
        count = VALIDATION_SAMPLES if found is None else min(VALIDATION_SAMPLES, found.count)
        numbers = np.arange(count, dtype=np.int32) if found is None else found.numbers(0, count)
        prompts = np.zeros((count, 0), np.int32) if found is None else found.ids(numbers)
        rewards = self._rewards_of(found)

        @jax.jit
        def draw(params: Any, prompts: jax.Array, numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
            key = jax.random.key(VALIDATION_SEED)
            texts = self.policy.sample(
                params, given(prompts), self.config.max_length, numbers=numbers, key=key, count=1
            )
            return texts.ids, texts.lengths

        def mean(params: Any) -> float:
            ids, lengths = draw(params, prompts, numbers)
            return float(rewards(np.asarray(ids), np.asarray(lengths), numbers).mean(dtype=np.float64))

        return mean

    def _prompts_of(self, split: Split, seed: int) -> Prompts | None:
        size = self.config.prompt_tokens
        return Prompts(split, self._tokenizer, size, seed) if size else None

    def _rewards_of(self, prompts: Prompts | None) -> Rewards:
        references = None if prompts is None or getattr(self._reward, "judges_alone", False) else prompts.references
        return Rewards(self._reward, self._tokenizer, references)


def given(prompts: jax.Array) -> Prefixes:
    """Prompts [B, P] as what texts begin with."""
    batch, size = prompts.shape
    return Prefixes(prompts, jnp.full((batch,), size, jnp.int32))


__all__ = ["ReinforceLM"]
