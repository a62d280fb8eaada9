"""Text to text: the mean negative log-likelihood of each token of a target, given its source and the tokens before."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.errors import ConfigError
from lmtool.sharding import sum_over_rows
from lmtool.tasks.depths import param_depths
from lmtool.tasks.network import PENALTIES, with_gradient_of
from lmtool.tasks.seq2seq.batches import Batches, Rows
from lmtool.tasks.seq2seq.copying import mass_of, mixed
from lmtool.tasks.seq2seq.functions import Functions
from lmtool.tasks.seq2seq.network import Seq2SeqNetwork
from lmtool.tasks.seq2seq.pairs import Pairs, cutter_of
from lmtool.tasks.seq2seq.predictor import Facts, NeuralTextModel, load_text_model
from lmtool.tasks.seq2seq.scheduled import RATE, partly_said, rate_at
from lmtool.tasks.softmax import row_log_probs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lmtool.api import Backbone
    from lmtool.array_types import Key
    from lmtool.config import TrainingConfig
    from lmtool.data.dataset import Dataset
    from lmtool.tasks.seq2seq.config import Seq2SeqConfig
    from lmtool.tasks.seq2seq.network import Readout

SHARES = 4
"""Devices or parts that can share a batch whose number of rows the task chooses."""


class Seq2Seq:
    """The `seq2seq` task; see `lmtool.api.Task`. Its pairs are independent, so it has no carry."""

    unit = "tokens"

    def __init__(
        self,
        config: Seq2SeqConfig,
        *,
        dataset: Dataset,
        backbone: Backbone,
        training: TrainingConfig,
        encoder: Backbone,
    ) -> None:
        if training.steps_per_dispatch > 1:
            raise ConfigError(
                f"training.steps_per_dispatch must be 1 from text to text, got {training.steps_per_dispatch}: "
                "batches have several shapes"
            )
        _check_backbones(config, backbone, encoder)
        source, target = dataset.tokenizer, dataset.target_tokenizer
        _check_tokenizers(config, source.fingerprint == target.fingerprint, str(dataset.path))
        self.config = config
        self.rows_divisor = None if config.batch_tokens is None else SHARES
        self.pairs = Pairs(
            dataset.split("train"), cutter_of(config, source.eos_id), target.eos_id, config.max_target_length
        )
        self.batches = Batches(
            self.pairs,
            Rows(training.batch_size, config.batch_tokens, training.micro_batches * SHARES),
            pad_id=source.eos_id,
            seed=training.seed,
            max_padding=config.max_padding,
        )
        self.num_data = int(self.pairs.target_lengths.sum())
        self.network = Seq2SeqNetwork(
            config,
            source.vocab_size,
            source.eos_id,
            target.vocab_size,
            encoder,
            backbone,
            precision=training.precision,
        )
        self._facts = Facts(
            vocab_size=source.vocab_size,
            eos_id=source.eos_id,
            target_vocab_size=target.vocab_size,
            target_eos_id=target.eos_id,
            longest_target=int(self.pairs.target_lengths.max()) - 1,
        )

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.steps_per_epoch

    def init(self, key: Key) -> Any:
        return self.network.init_params(key)

    def initial_carry(self) -> Any:
        return ()

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """That of `lmtool.tasks.seq2seq.batches`, and with scheduled sampling its rate."""
        batch = self.batches.batch(step)
        if share := self.config.scheduled_sampling:
            rate = rate_at(step, share, self.config.scheduled_sampling_steps)
            batch[RATE] = np.full(len(batch["targets"]), rate, np.float32)
        return batch

    def loss(self, params: Any, carry: Any, batch: Mapping[str, Any], key: Key) -> tuple[Any, tuple[Any, Any]]:
        """See `lmtool.api.Task`: nats per token of a target, its end included. What is added to it, as label smoothing
        and attention that is paid twice, is in the gradient, not in the value."""
        mask, targets = batch["mask"], batch["targets"]
        if self.config.scheduled_sampling:
            key, said_key = jax.random.split(key)
            targets = partly_said(self.network, params, batch, said_key)
        readout, sown = self.network.apply(
            params,
            batch["source"],
            batch["source_mask"],
            targets,
            train=True,
            rngs={"dropout": key},
            mutable=[PENALTIES],
        )
        num_targets = mask.sum()
        importance = mask.astype(jnp.float32) / jnp.maximum(num_targets, 1).astype(jnp.float32)
        weights = self.network.apply(params, method="output_weights")
        loss = self._nll(weights, readout, batch, importance)
        # The mean over steps, where each is read by itself.
        penalty = sum(map(jnp.mean, jax.tree.leaves(sown)), start=jnp.zeros(()))
        penalty = penalty + self._penalty(weights, readout, batch["targets"], importance)
        return with_gradient_of(loss, penalty), (carry, num_targets)

    def _nll(self, weights: Any, readout: Readout, batch: Mapping[str, Any], importance: jax.Array) -> jax.Array:
        """Negative log-likelihoods, each times its importance, summed."""
        output, targets = self.network.output, batch["targets"]
        rows = (readout.h.reshape(targets.size, -1), targets.reshape(-1), importance.reshape(-1))

        def nll(weights: Any, h: jax.Array, targets: jax.Array, importance: jax.Array) -> jax.Array:
            return output.nll(weights, h, targets, importance, key=jax.random.key(0))

        def nll_with_copies(weights: Any, h: jax.Array, targets: jax.Array, importance: jax.Array,
                            gate: jax.Array, mass: jax.Array) -> jax.Array:  # fmt: skip
            embedding, bias = output.output_embedding(weights), weights["output_bias"]
            return -jnp.sum(mixed(row_log_probs(h, embedding, bias, targets), gate, mass) * importance)

        if not self.config.pointer:
            loss: jax.Array = sum_over_rows(nll, rows=(1, 2, 3))(weights, *rows)
            return loss
        mass = mass_of(readout.shares, batch["source"], targets)
        copying = (readout.gate.reshape(-1), mass.reshape(-1))
        with_copies: jax.Array = sum_over_rows(nll_with_copies, rows=(1, 2, 3, 4, 5))(weights, *rows, *copying)
        return with_copies

    def _penalty(self, weights: Any, readout: Readout, targets: jax.Array, importance: jax.Array) -> jax.Array:
        penalty = jnp.zeros(())
        if self.config.label_smoothing:
            rows = (readout.h.reshape(targets.size, -1), targets.reshape(-1), importance.reshape(-1))
            penalty = penalty + self.config.label_smoothing * self.network.output.smoothing(weights, *rows)
        if self.config.coverage:
            penalty = penalty + self.config.coverage_weight * jnp.sum(readout.overlap * importance)
        return penalty

    def param_depths(self, params: Any) -> Any:
        """Embeddings lowest, then encoder and decoder layer by layer side by side, what lies above them at the top."""
        return seq2seq_depths(params, tied=self.config.tied)

    @cached_property
    def _functions(self) -> Functions:
        return Functions((self.network,))

    def predictor(self, params: Any) -> NeuralTextModel:
        return NeuralTextModel(self._functions, params, self._facts)

    @classmethod
    def load(cls, folder: Path, config: Seq2SeqConfig, *, backbone: Backbone, encoder: Backbone) -> NeuralTextModel:
        _check_backbones(config, backbone, encoder)
        return load_text_model(folder, config, backbone, encoder)


def seq2seq_depths(params: Any, *, tied: bool) -> Any:
    """See `lmtool.tasks.depths`: a layer lies as deep as the one of the same number from its own input.

    A tied embedding lies at the top, beside the output that it is a part of.
    """
    bottom = ("source_embedding", "match", "source_positions", "target_positions", *(() if tied else ("embedding",)))
    decoder = param_depths(params, bottom=bottom, backbone="backbone")
    encoder = param_depths(params, bottom=bottom, backbone="encoder")
    top = max(*jax.tree.leaves(decoder), *jax.tree.leaves(encoder))

    def depth(path: Any, of_decoder: int, of_encoder: int) -> int:
        name = path[1].key
        if name == "backbone":
            return of_decoder
        if name == "encoder":
            return of_encoder
        return 0 if name in bottom else int(top)

    return jax.tree.map_with_path(depth, decoder, encoder)


def _check_backbones(config: Seq2SeqConfig, backbone: Backbone, encoder: Backbone) -> None:
    if not getattr(backbone, "causal", True):
        raise ConfigError(
            f"a decoder must not see the tokens that it predicts, but this {type(backbone).__name__} does: "
            "it is not causal",
            hint="choose settings under [model] that read from left to right only; task.encoder has its own",
        )
    if config.attention == "dot" and backbone.features != encoder.features:
        raise ConfigError(
            f'task.attention = "dot" needs states of one size, and the decoder has {backbone.features} units, '
            f"the encoder {encoder.features}",
            hint="`--set task.attention=general`, or other sizes in task.encoder",
        )
    width = config.attention_size or backbone.features
    if config.attention == "dot" and config.hops > 1 and width != encoder.features:
        raise ConfigError(
            f'task.attention = "dot" with {config.hops} hops needs what one hop gives, {width} units, to have the size '
            f"of the encoder's states, {encoder.features}",
            hint="leave task.attention_size out, or `--set task.attention=general`",
        )
    if config.attention_skip:
        of_target, of_source = config.embedding_sizes
        for what, size, units in (("target", of_target, backbone.features), ("source", of_source, encoder.features)):
            if size != units:
                raise ConfigError(
                    f"task.attention_skip adds embeddings to states: those of the {what} have {size} and {units} units",
                    hint="make them equal by task.embedding_size, or leave that setting out",
                )


def _check_tokenizers(config: Seq2SeqConfig, is_shared: bool, dataset: str) -> None:
    for name in ("shared_embedding", "pointer"):
        if getattr(config, name) and not is_shared:
            raise ConfigError(
                f"task.{name} needs source and target to have one tokenizer, and those of {dataset} have two",
                hint="leave data.target_tokenizer out, or that setting",
            )


__all__ = ["Seq2Seq", "seq2seq_depths"]
