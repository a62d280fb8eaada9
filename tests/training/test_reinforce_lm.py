"""The `reinforce-lm` task: what a language model writes, how it is judged, and what is learned of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from judges import Judge, Memoryless, lines_dataset

from lmtool.config import TrainingConfig
from lmtool.errors import ConfigError, DataError
from lmtool.tasks.config import LMConfig
from lmtool.tasks.lm import LanguageModelling
from lmtool.tasks.reinforce import lm, policy, prompts
from lmtool.tasks.reinforce.config import ReinforceLMConfig
from lmtool.tasks.reinforce.lm import ReinforceLM, given
from lmtool.training.state import optax_promotion
from lmtool_lstm.backbone import LSTM
from lmtool_lstm.config import LSTMConfig

KEY = jax.random.key(5)
LINES = ["a cat sat", "dogs", "a dog ran far off", "birds sang", "a cat ran", "the dog sat"]
LONG = [line for line in LINES if len(line.split()) > 2]
FULL = {"embedding_size": 6}
ADAPTIVE = {"embedding_size": 8, "softmax": "adaptive", "cutoffs": [4, 9]}


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    return lines_dataset(tmp_path_factory.mktemp("lines"), train=LINES, valid=["a dog sat", "cat", "the cat ran"])


def made_with(dataset, *, batch_size=4, carried=False, **training):
    backbone = LSTM(LSTMConfig(hidden_size=6, num_layers=1)) if carried else Memoryless()
    training = TrainingConfig(batch_size=batch_size, bptt=3, **training)
    return {"dataset": dataset, "backbone": backbone, "training": training}


def make_task(dataset, judge=lambda hypothesis, references: 0.5, *, alone=True, training=None, **settings):
    settings = {"dropout": 0.0, "samples": 2, "max_length": 6, "reward": "judged", **FULL, **settings}
    reward = Judge(judge, judges_alone=alone)
    return ReinforceLM(ReinforceLMConfig(**settings), reward=reward, **made_with(dataset, **(training or {})))


def batch_of(task, params, step=0):
    return {**task.batch(step), "fixed": task.fixed(params)}


# What is drawn, and how it is judged ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "carried"), [(FULL, True), ({**ADAPTIVE, "prompt_tokens": 2}, False)], ids=["nothing", "prompts"]
)
def test_samples_have_the_log_probabilities_that_decoding_and_scoring_report(lines, settings, carried, monkeypatch):
    task = make_task(lines, samples=3, training={"carried": carried}, **settings)
    params, batch, size = task.init(KEY), task.batch(1), task.config.prompt_tokens
    # one text in each piece: 6 tokens times the vocabulary
    monkeypatch.setattr(policy, "LOGITS_AT_ONCE", 6 * task.network.vocab_size)

    @jax.jit
    def both(params, batch):
        context = given(batch["prompts"])
        drawn = task.policy.sample(params, context, 6, numbers=batch["places"], key=KEY)
        samples = task.explore(params, batch, KEY)
        tokens = task.policy.tokens(task.policy.decoder.read(params, context, samples.ids), None, (), samples.ids)
        return drawn, samples, tokens.log_probs

    drawn, samples, log_probs = jax.tree.map(np.asarray, both(params, batch))

    real = np.arange(6) <= drawn.lengths[:, :, None]  # what is cut off has no end
    np.testing.assert_allclose(np.where(real, log_probs, 0).sum(axis=2), drawn.log_probs, atol=1e-5)
    model = task.predictor(params)
    scored, _ = model.score(samples.ids.reshape(12, 6), model.initial_state(12))
    np.testing.assert_allclose(log_probs[real], scored.reshape(real.shape)[real], atol=1e-5)
    # Texts begin with their prompts, which were not drawn.
    assert (samples.ids[:, :, :size] == batch["prompts"][:, None]).all()
    assert (samples.mask == (real & (np.arange(6) >= size))).all()
    assert len({tuple(row) for row in samples.ids.reshape(12, 6).tolist()}) > 4


def test_what_goes_on_from_a_line_is_judged_whole_and_beside_that_line(lines):
    task = make_task(lines, prompt_tokens=2, baseline="self-critical", alone=False)
    params = task.init(KEY)
    explore = jax.jit(lambda params, batch: task.explore(params, batch, KEY).rewards)

    for step in range(3):
        jax.block_until_ready(explore(params, task.batch(step)))

    asked = task.exploration.rewards._evaluator.asked
    assert {references for _, references in asked} == {(line,) for line in LONG}
    assert all(hypothesis.split()[:2] == line.split()[:2] for hypothesis, (line,) in asked)
    assert any(len(hypothesis.split()) > 2 for hypothesis, _ in asked)


def test_batches_are_a_pure_function_of_seed_and_step_and_all_lines_come_before_one_comes_again(lines, monkeypatch):
    monkeypatch.setattr(prompts, "BLOCK", 4)  # ids, so that lines lie in several blocks
    tasks = [make_task(lines, prompt_tokens=2, training={"batch_size": 3, "seed": seed}) for seed in (0, 0, 1)]

    runs = [[task.batch(step) for step in range(8)] for task in tasks]

    for one, other in zip(runs[0], runs[1], strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)
    numbers = [np.concatenate([batch["numbers"] for batch in run]).tolist() for run in runs]
    assert numbers[0] != numbers[2]
    # Four lines have more than two words: 24 rows hold each of them six times.
    passes = [tuple(numbers[0][start : start + 4]) for start in range(0, 24, 4)]
    assert all(sorted(one) == [0, 1, 2, 3] for one in passes)
    assert len(set(passes)) > 1
    for batch in runs[0]:
        for number, prompt in zip(batch["numbers"].tolist(), batch["prompts"].tolist(), strict=True):
            assert lines.tokenizer.decode(prompt).split() == LONG[number].split()[:2]
    assert tasks[0].steps_per_epoch == 2  # four lines, three at a time


def test_texts_from_nothing_are_numbered_on_and_on(lines):
    batch = make_task(lines).batch(3)

    assert batch["numbers"].tolist() == [12, 13, 14, 15]
    assert batch["prompts"].shape == (4, 0)
    assert "inputs" not in batch  # without `mix` there is nothing of `lm` to read


def test_a_line_that_comes_twice_in_a_batch_is_gone_on_from_in_other_ways(lines):
    assert len(LONG) == 4
    task = make_task(lines, prompt_tokens=2, samples=3, training={"batch_size": 8})
    params, batch = task.init(KEY), task.batch(0)

    ids = np.asarray(jax.jit(lambda params, batch: task.explore(params, batch, KEY).ids)(params, batch))

    numbers = batch["numbers"].tolist()
    for number in range(4):
        first, second = (row for row, other in enumerate(numbers) if other == number)
        assert (ids[first] != ids[second]).any()


def test_an_evaluator_that_judges_alone_is_given_no_references(lines):
    task = make_task(lines, prompt_tokens=2)

    jax.block_until_ready(jax.jit(lambda params, batch: task.explore(params, batch, KEY).rewards)(
        task.init(KEY), task.batch(0)
    ))  # fmt: skip

    assert {references for _, references in task.exploration.rewards._evaluator.asked} == {()}


def test_the_lines_that_a_validation_goes_on_from_do_not_depend_on_the_seed_of_training(lines, monkeypatch):
    monkeypatch.setattr(lm, "VALIDATION_SAMPLES", 1)  # of two lines that are long enough
    tasks = [make_task(lines, lambda text, _: text.startswith("a"), prompt_tokens=2, training={"seed": seed})
             for seed in range(6)]  # fmt: skip
    params = tasks[0].init(KEY)

    assert len({task.reward_on(lines.split("valid"))(params) for task in tasks}) == 1


def test_a_text_without_references_is_judged_once_whatever_its_number(lines):
    task = make_task(lines)
    rewards = task.exploration.rewards

    found = rewards(np.array([[[4, 5], [4, 6]]], np.int32), np.array([[1, 1]]), np.array([3]))
    again = rewards(np.array([[[4, 5]]], np.int32), np.array([[1]]), np.array([7]))

    assert (found.tolist(), again.tolist()) == ([[0.5, 0.5]], [[0.5]])
    assert rewards._evaluator.asked == [(lines.tokenizer.decode([4]), ())]


def test_what_cannot_be_judged_or_gone_on_from_is_told(lines):
    with pytest.raises(ConfigError, match=r"task\.reward 'judged' judges a text beside references, and one that is"):
        make_task(lines, alone=False)
    with pytest.raises(DataError, match="the train split has no line of more than 5 tokens to go on from"):
        make_task(lines, prompt_tokens=5)
    with pytest.raises(ValueError, match=r"max_length \(=6\) must be above prompt_tokens \(=6\)"):
        make_task(lines, prompt_tokens=6)
    with pytest.raises(DataError, match="the valid split has no line of more than 4 tokens to go on from"):
        make_task(lines, prompt_tokens=4).reward_on(lines.split("valid"))


def test_what_an_output_layer_learned_of_the_first_text_decides_what_is_drawn(lines):
    task = make_task(lines, **ADAPTIVE)
    of_first_text = replace(task.output, ranks=task.output.ranks[::-1].copy())

    task.use_output(of_first_text)  # as training from `model.init_from` does

    assert task.policy.decoder.network.output is of_first_text


# The loss -------------------------------------------------------------------------------------------------------------


def value_and_grad(task, params, batch):
    return jax.jit(jax.value_and_grad(task.loss, has_aux=True))(params, task.initial_carry(), batch, KEY)


@pytest.fixture(scope="module")
def of_lm(lines):
    """The `lm` task: its parameters, loss, carry and gradient."""
    task = LanguageModelling(LMConfig(dropout=0.0, **FULL), **made_with(lines, carried=True))
    params = task.init(KEY)
    (value, (carry, _)), grads = value_and_grad(task, params, task.batch(0))
    return params, float(value), carry, grads, task.steps_per_epoch


def test_with_a_mix_of_one_it_is_the_loss_and_the_carry_of_lm(lines, of_lm):
    task = make_task(lines, mix=1.0, training={"carried": True})
    params, expected, expected_carry, expected_grads, steps_per_epoch = of_lm

    (value, (carry, count)), grads = value_and_grad(task, params, batch_of(task, params))

    assert float(value) == pytest.approx(expected, rel=1e-6)
    assert int(count) == 4
    assert task.steps_per_epoch == steps_per_epoch
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), grads, expected_grads)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), carry, expected_carry)


def test_its_value_is_minus_the_mean_reward_and_parts_are_weighted_as_they_should(lines, of_lm):
    # Both samples of a prompt are worth what its line says, so that advantages are zero.
    judge = lambda hypothesis, references: len(references[0]) / 64  # noqa: E731
    task, without = (
        make_task(lines, judge, mix=mix, prompt_tokens=1, alone=False, training={"carried": True})
        for mix in (0.25, 0.0)
    )
    params, _, moved, grads_of_lm, _ = of_lm
    batch = batch_of(task, params)

    (value, (carry, count)), grads = value_and_grad(task, params, batch)
    (_, (kept, _)), nothing = value_and_grad(without, params, batch)

    several = [line for line in LINES if len(line.split()) > 1]
    assert float(value) == pytest.approx(-np.mean([len(several[n]) for n in batch["numbers"]]) / 64, rel=1e-6)
    assert int(count) == 4
    # A quarter of the gradient of `lm` is what is left, and its carry goes on; without it nothing moves.
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, 0.25 * other, atol=1e-6), grads, grads_of_lm)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), carry, moved)
    jax.tree.map(np.testing.assert_array_equal, kept, without.initial_carry())
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(nothing)) < 1e-6


# Learning -------------------------------------------------------------------------------------------------------------


def learned(task, params, steps, rate):
    optimizer, start = optax.adam(rate), params

    @jax.jit
    def update(params, state, batch, key):
        grads = jax.grad(task.loss, has_aux=True)(params, (), batch, key)[0]
        with optax_promotion():
            updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for step in range(steps):
        batch = {**task.batch(step), "fixed": task.fixed(start)}
        params, state = update(params, state, batch, jax.random.fold_in(KEY, step))
    return params


def share_of_cats(hypothesis, references):
    found = hypothesis.split()
    return found.count("cat") / len(found) if found else 0.0


def test_it_writes_more_of_what_is_rewarded_unless_divergence_holds_it_back(lines):
    free, held = (make_task(lines, share_of_cats, samples=8, kl=kl) for kl in (0.0, 20.0))
    start, reward = free.init(KEY), free.reward_on(lines.split("valid"))

    at_start, of_free, of_held = (
        reward(params) for params in (start, learned(free, start, 40, 0.05), learned(held, start, 40, 0.05))
    )

    assert at_start == reward(start) < 0.2  # nearly uniform, over 16 words and marks
    assert of_free > 0.7
    assert abs(of_held - at_start) < 0.1
