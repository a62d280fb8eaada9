"""Scheduled sampling: which tokens the decoder reads in the place of targets, where they come from, and how often."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from judges import Memoryless
from pydantic import ValidationError
from text_pairs import dataset_of, reversed_words

from lmtool.config import TrainingConfig
from lmtool.tasks.seq2seq.config import Seq2SeqConfig
from lmtool.tasks.seq2seq.scheduled import RATE, partly_said, rate_at
from lmtool.tasks.seq2seq.task import Seq2Seq
from lmtool_lstm.backbone import LSTM
from lmtool_lstm.config import LSTMConfig

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return dataset_of(tmp_path_factory.mktemp("pairs"), {"train": reversed_words(40)})


def make_task(dataset, backbone=None, **task):
    return Seq2Seq(
        Seq2SeqConfig.model_validate({"embedding_size": 8, "dropout": 0.0, "max_padding": 0.9, **task}),
        dataset=dataset,
        backbone=backbone or Memoryless(),
        training=TrainingConfig(batch_size=40),
        encoder=Memoryless(),
    )


def with_bias(params, bias):
    """Parameters of a network that gives each place the same distribution, whatever it has read."""
    still = jax.tree.map(jnp.zeros_like, params["params"])
    return {"params": {**still, "output_bias": jnp.asarray(bias, jnp.float32)}}


def at_rate(task, rate):
    batch = task.batch(0)
    return {**batch, RATE: np.full(len(batch["targets"]), rate, np.float32)}


def test_draws_have_the_distribution_of_the_model_and_the_share_that_is_asked_for(pairs):
    task = make_task(pairs, scheduled_sampling=1.0)
    size = pairs.target_vocab_size
    wanted = np.arange(1, size + 1) / np.arange(1, size + 1).sum()
    params = with_bias(task.init(KEY), np.log(wanted))
    said = jax.jit(lambda batch, key: partly_said(task.network, params, batch, key))

    def drawn(rate):
        batch = at_rate(task, rate)
        return batch["targets"], np.stack([said(batch, jax.random.key(seed)) for seed in range(50)])

    targets, all_drawn = drawn(1.0)
    shares = np.bincount(all_drawn.ravel(), minlength=size) / all_drawn.size
    # 4 standard errors of a share: 4 √(p (1 - p) / n)
    assert np.all(abs(shares - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / all_drawn.size))
    targets, some_drawn = drawn(0.3)
    differ = np.mean(some_drawn != targets)
    expected = 0.3 * np.mean(1 - wanted[targets])  # a draw may be the target
    assert differ == pytest.approx(expected, abs=4 * np.sqrt(expected / some_drawn.size))
    targets, none_drawn = drawn(0.0)
    assert np.array_equal(none_drawn, np.broadcast_to(targets, none_drawn.shape))


@pytest.mark.parametrize("settings", [{}, {"pointer": True}, {"input_feeding": True}])
def test_a_draw_depends_on_the_true_tokens_before_its_place_alone(pairs, settings):
    backbone = LSTM(LSTMConfig(hidden_size=8))
    task = make_task(pairs, scheduled_sampling=1.0, backbone=backbone, **settings)
    params = jax.tree.map(lambda leaf: 10 * leaf, task.init(KEY))  # so that what was read decides
    said = jax.jit(lambda batch: partly_said(task.network, params, batch, KEY))
    batch, place = at_rate(task, 1.0), 2
    other = {**batch, "targets": batch["targets"].copy()}
    other["targets"][:, place] = (batch["targets"][:, place] + 1) % pairs.target_vocab_size

    before, after = np.asarray(said(batch)), np.asarray(said(other))

    assert before.dtype == batch["targets"].dtype
    assert np.array_equal(before[:, : place + 1], after[:, : place + 1])
    assert np.all(np.any(before != after, axis=0)[place + 1 :])


def test_a_step_learns_the_true_tokens_after_what_it_has_said(pairs):
    # What is read for a target is the token before it: with a network that says token 5 alone, always 5.
    plain, sampled = make_task(pairs, tied=False), make_task(pairs, tied=False, scheduled_sampling=1.0)
    weights = plain.init(KEY)["params"]
    bias = jnp.zeros(pairs.target_vocab_size).at[5].set(20.0)
    certain = {"params": {**weights, "output_bias": bias, "embedding": 30 * weights["embedding"]}}
    batch = plain.batch(0)

    readout = plain.network.apply(
        certain, batch["source"], batch["source_mask"], jnp.full_like(batch["targets"], 5), train=False
    )
    weights = plain.network.apply(certain, method="output_weights")
    log_probs = plain.network.output.log_probs(weights, readout.h.reshape(-1, 8))
    of_targets = jnp.take_along_axis(log_probs, batch["targets"].reshape(-1, 1), axis=1).reshape(batch["mask"].shape)
    expected = -jnp.mean(of_targets[batch["mask"]])
    loss = sampled.loss(certain, (), sampled.batch(0), KEY)[0]
    assert loss == pytest.approx(float(expected), rel=1e-6)
    assert loss != pytest.approx(float(plain.loss(certain, (), batch, KEY)[0]), rel=1e-4)


def test_the_share_rises_linearly_and_stays():
    assert [rate_at(step, 0.4, 4) for step in range(7)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    assert rate_at(0, 0.4, 0) == 0.4


def test_at_a_share_of_zero_a_step_is_the_plain_one(pairs):
    task, plain = make_task(pairs, scheduled_sampling=0.5, scheduled_sampling_steps=10), make_task(pairs)
    params = plain.init(KEY)

    first, later = task.batch(0), task.batch(5)

    assert set(first[RATE]) == {0.0}
    assert set(later[RATE]) == {0.25}
    assert RATE not in plain.batch(0)
    assert task.loss(params, (), first, KEY)[0] == plain.loss(params, (), plain.batch(0), KEY)[0]


def test_steps_without_a_share_are_refused():
    with pytest.raises(ValidationError, match="scheduled_sampling_steps has no use with scheduled_sampling = 0"):
        Seq2SeqConfig(scheduled_sampling_steps=5)
