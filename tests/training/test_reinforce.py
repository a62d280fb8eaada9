"""The `reinforce` task: what it draws, how it is judged, and what is learned of it."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from judges import Judge, Memoryless
from text_pairs import dataset_of

from lmtool.api import Document
from lmtool.config import TrainingConfig
from lmtool.tasks.reinforce import exploring, policy
from lmtool.tasks.reinforce.config import ReinforceConfig
from lmtool.tasks.reinforce.task import Reinforce
from lmtool.tasks.seq2seq.config import Seq2SeqConfig
from lmtool.tasks.seq2seq.task import Seq2Seq
from lmtool.training.state import optax_promotion

KEY = jax.random.key(5)


def is_no(hypothesis, references):
    return float(hypothesis.strip() == "no")


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """15 documents; the second reference of each is its number."""
    animals = ["ant", "bee", "cat"]
    rows = [{"text": f"{animals[number % 3]} {number}", "target": [animals[number % 3], str(number)]}
            for number in range(15)]  # fmt: skip
    return dataset_of(tmp_path_factory.mktemp("numbered"), {"train": rows})


@pytest.fixture(scope="module")
def polite(tmp_path_factory):
    """Documents of which each is answered by `yes` three times, by `no` once."""
    answers = ["yes", "yes", "yes", "no"]
    rows = [{"text": f"is it {word}", "target": answer} for answer in answers for word in ("hot", "cold", "wet")]
    return dataset_of(tmp_path_factory.mktemp("polite"), {"train": rows})


def made_with(dataset, training):
    training = TrainingConfig(**{"batch_size": 4, **training})
    return {"dataset": dataset, "backbone": Memoryless(), "encoder": Memoryless(), "training": training}


def make_task(dataset, judge=lambda hypothesis, references: 0.5, *, training=None, **settings):
    settings = {"embedding_size": 6, "dropout": 0.0, "max_padding": 0.9, "samples": 2, "max_length": 3, **settings}
    return Reinforce(ReinforceConfig(**settings), reward=Judge(judge), **made_with(dataset, training or {}))


def batch_of(task, params, step=0):
    return {**task.batch(step), "fixed": task.fixed(params)}


def of_supervised(dataset, **settings):
    config = Seq2SeqConfig(embedding_size=6, dropout=0.0, max_padding=0.9, **settings)
    return Seq2Seq(config, **made_with(dataset, {}))


# What is drawn, and how it is judged ----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"pointer": True, "temperature": 1.0}])
def test_samples_have_the_log_probabilities_that_decoding_reports(numbered, settings, monkeypatch):
    task = make_task(numbered, samples=3, **settings)
    of_task, params, batch = task.exploration.policy, task.init(KEY), task.batch(1)
    # one answer in each piece: 3 tokens times the vocabulary
    monkeypatch.setattr(policy, "LOGITS_AT_ONCE", 3 * task.network.target_vocab_size)

    @jax.jit
    def both(params, batch):
        memory = task.decoder.encode(params, batch["source"], batch["source_mask"])
        drawn = of_task.sample(params, memory, 3, numbers=batch["numbers"], key=KEY)
        samples = task.explore(params, memory, batch, KEY)
        tokens = of_task.tokens(task.decoder.read(params, memory, samples.ids), None, batch["source"], samples.ids)
        return drawn, samples, jnp.sum(jnp.where(samples.mask, tokens.log_probs, 0.0), axis=2)

    drawn, samples, log_probs = both(params, batch)

    np.testing.assert_allclose(log_probs, drawn.log_probs, atol=1e-5)
    assert (samples.mask.sum(axis=2) == np.minimum(drawn.lengths + 1, 3)).all()  # what is cut off has no end
    assert len({tuple(row) for row in np.asarray(samples.ids).reshape(-1, 3).tolist()}) > 4


@pytest.mark.parametrize("baseline", ["leave-one-out", "self-critical"])
def test_each_document_s_samples_are_judged_by_its_own_references(numbered, baseline, monkeypatch):
    if baseline == "self-critical":
        monkeypatch.setattr(exploring, "MOST_BYTES", 1)  # sample by sample
    task = make_task(numbered, lambda hypothesis, references: int(references[1]) / 64, baseline=baseline)
    params = task.init(KEY)

    @jax.jit
    def explore(params, batch):
        memory = task.decoder.encode(params, batch["source"], batch["source_mask"])
        return task.explore(params, memory, batch, KEY)

    seen = []
    for step in range(task.steps_per_epoch, 2 * task.steps_per_epoch):  # an epoch in another order than the first
        batch = task.batch(step)
        samples = explore(params, batch)
        for row, number in enumerate(batch["numbers"].tolist()):
            own = [number / 64, number / 64] if number >= 0 else [0, 0]
            assert samples.rewards[row].tolist() == own
            assert float(samples.greedy[row]) == (own[0] if baseline == "self-critical" else 0)
            if number >= 0:
                target = numbered.target_tokenizer.decode(batch["targets"][row][batch["mask"][row]].tolist()).strip()
                assert target == numbered.split("train").references(number)[0]
                seen.append(number)

    assert sorted(seen) == list(range(15))
    assert seen != sorted(seen)


def test_a_sample_that_was_judged_is_not_judged_again(numbered):
    task = make_task(numbered)
    judged = task.exploration.rewards
    judge = judged._evaluator
    ids = np.array([[[4, 5], [4, 6]]], np.int32)  # the second ids are beyond the samples' lengths

    for _ in range(2):
        rewards = judged(ids, np.array([[1, 1]]), np.array([3]))

    assert rewards.tolist() == [[0.5, 0.5]]
    assert judge.asked == [(numbered.target_tokenizer.decode([4]), numbered.split("train").references(3))]


# The loss -------------------------------------------------------------------------------------------------------------


def value_and_grad(task, params, batch):
    return jax.jit(jax.value_and_grad(task.loss, has_aux=True))(params, (), batch, KEY)


def largest(grads):
    return max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(grads))


def test_with_a_mix_of_one_it_is_the_loss_of_seq2seq(numbered):
    task, supervised = make_task(numbered, mix=1.0), of_supervised(numbered)
    params = task.init(KEY)

    (value, (_, count)), grads = value_and_grad(task, params, batch_of(task, params))
    (expected, _), expected_grads = value_and_grad(supervised, params, supervised.batch(0))

    assert float(value) == pytest.approx(float(expected), rel=1e-6)
    assert int(count) == 4
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), grads, expected_grads)


def test_its_value_is_minus_the_mean_reward_and_parts_are_weighted_as_they_should(numbered):
    judge = lambda hypothesis, references: int(references[1]) / 64  # noqa: E731
    task, supervised = make_task(numbered, judge, mix=0.25), of_supervised(numbered)
    params = task.init(KEY)
    batch = batch_of(task, params)

    (value, (_, count)), grads = value_and_grad(task, params, batch)

    # Both samples of a document have the same reward, so that the advantages are zero: what is left is a quarter of
    # the supervised gradient.
    numbers = batch["numbers"][batch["numbers"] >= 0]
    assert float(value) == pytest.approx(-numbers.mean() / 64, rel=1e-6)
    assert int(count) == len(numbers)
    _, expected = value_and_grad(supervised, params, supervised.batch(0))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, 0.25 * other, atol=1e-6), grads, expected)


@pytest.mark.parametrize("estimator", ["exact", "k3"])
def test_divergence_from_the_starting_model_has_no_gradient_at_it_and_leads_back_from_elsewhere(numbered, estimator):
    task = make_task(numbered, kl=1.0, kl_estimator=estimator)  # equal rewards: nothing but the divergence counts
    params = task.init(KEY)
    batch = batch_of(task, params)
    elsewhere = jax.tree.map(lambda leaf: leaf + 0.3, params)
    step = jax.jit(jax.value_and_grad(task.loss, has_aux=True))

    _, at_start = step(params, (), batch, KEY)
    _, grads = step(elsewhere, (), batch, KEY)

    assert largest(at_start) < 1e-6
    back = jax.tree.map(
        lambda one, other: float(jnp.sum((one - other) * 0.3)), grads, jax.tree.map(jnp.zeros_like, grads)
    )
    assert sum(jax.tree.leaves(back)) > 0  # against the way that led there
    assert task.fixed(params) is params
    assert make_task(numbered).fixed(params) == ()


# Learning -------------------------------------------------------------------------------------------------------------


def learned(task, params, steps, rate):
    optimizer = optax.adam(rate)
    start = params

    @jax.jit
    def update(params, state, batch, key):
        grads = jax.grad(task.loss, has_aux=True)(params, (), batch, key)[0]
        with optax_promotion():
            updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for step in range(steps):
        batch = task.batch(step)
        if isinstance(task, Reinforce):
            batch["fixed"] = task.fixed(start)
        params, state = update(params, state, batch, jax.random.fold_in(KEY, step))
    return params


def chance_of(task, dataset, params, answer):
    """Mean probability of an answer to the training documents."""
    split, tokenizer = dataset.split("train"), dataset.target_tokenizer
    documents: list[Document] = [split.document(number) for number in range(4)]
    target = np.array(tokenizer.encode(answer), np.int32)
    found = task.predictor(params).target_log_probs(documents, [target] * len(documents))
    return float(np.mean([np.exp(one.sum()) for one in found]))


def test_it_moves_to_what_is_rewarded_unless_divergence_holds_it_back(polite):
    supervised = of_supervised(polite, attention="none")
    start = learned(supervised, supervised.init(KEY), 60, rate=0.03)
    settings = {"samples": 6, "max_length": 2, "attention": "none"}
    free = make_task(polite, is_no, **settings)
    held = make_task(polite, is_no, kl=20.0, **settings)

    after = {name: learned(task, start, 40, rate=0.03) for name, task in (("free", free), ("held", held))}

    chances = [chance_of(supervised, polite, params, "no") for params in (start, after["free"], after["held"])]
    assert 0.1 < chances[0] < 0.45  # a quarter of the data
    assert chances[1] > 0.8
    assert abs(chances[2] - chances[0]) < 0.15
