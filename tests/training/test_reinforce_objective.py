"""The loss of `reinforce` beside what it stands for, by enumeration of all answers of a tiny model."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.tasks.network import with_gradient_of
from lmtool.tasks.reinforce.advantages import advantages
from lmtool.tasks.reinforce.config import ReinforceConfig
from lmtool.tasks.reinforce.objective import minimum_risk, surrogate
from lmtool.tasks.reinforce.penalties import Tokens, divergence, entropy, k3, of_drawn, tempered

EOS = 2
# All answers of at most two tokens over {0, 1} and their end: one that is cut off has no end.
ANSWERS = [(EOS,), *itertools.product((0, 1), (0, 1, EOS))]
IDS = np.array([[*answer, EOS][:2] for answer in ANSWERS], np.int32)
MASK = np.array([[True, len(answer) == 2] for answer in ANSWERS])
REWARDS = np.array([0.9, 0.2, 0.7, 0.6, 0.95, 0.4, 0.8], np.float32)
REFERENCE = {"first": np.array([0.5, -0.3, 0.1], np.float32), "second": np.eye(3, dtype=np.float32)[:2] * 0.7}


@pytest.fixture
def model():
    """Logits of the first token, and of the second after 0 and after 1."""
    rng = np.random.default_rng(0)
    return {"first": jnp.asarray(rng.normal(size=3), jnp.float32),
            "second": jnp.asarray(rng.normal(size=(2, 3)), jnp.float32)}  # fmt: skip


def token_log_probs(model, ids):
    """Distributions at the two steps of answers [N, 2]: float32 [N, 2, 3]."""
    second = model["second"][jnp.minimum(ids[:, 0], 1)]
    first = jnp.broadcast_to(model["first"], second.shape)
    return jax.nn.log_softmax(jnp.stack([first, second], axis=1))


def tokens_of(model, ids, estimator="exact"):
    log_probs = token_log_probs(model, ids)
    reference = token_log_probs({name: jnp.asarray(array) for name, array in REFERENCE.items()}, ids)
    drawn = of_drawn(log_probs, ids)
    kl = divergence(log_probs, reference) if estimator == "exact" else k3(drawn, of_drawn(reference, ids))
    return Tokens(drawn, entropy(log_probs), kl)


def answer_log_probs(model):
    return jnp.sum(jnp.where(MASK, tokens_of(model, IDS).log_probs, 0.0), axis=1)


def objective(model, config):
    """Of a document: the expected reward less what its tokens' divergence costs, and more for their entropy."""
    tokens = tokens_of(model, IDS)
    gain = jnp.sum(jnp.where(MASK, config.entropy * tokens.entropy - config.kl * tokens.divergence, 0.0), axis=1)
    return jnp.sum(jnp.exp(answer_log_probs(model)) * (REWARDS + gain))


def losses_of_all_draws(model, config, documents=1):
    """For each way in which samples can come out: its probability, and the gradient of the loss, flat."""
    probs = np.exp(np.asarray(answer_log_probs(model)))
    greedy = jnp.full(documents, REWARDS[int(np.argmax(probs))])
    shape = (documents, config.samples)

    def loss(model, draw):
        chosen = jnp.asarray(IDS)[draw]
        tokens = Tokens(*(one.reshape(*shape, 2) for one in tokens_of(model, chosen, config.kl_estimator)))
        return surrogate(
            tokens,
            jnp.asarray(MASK)[draw].reshape(*shape, 2),
            jnp.asarray(REWARDS)[draw].reshape(shape),
            jnp.ones(documents, bool),
            config,
            greedy=greedy,
            ids=chosen.reshape(*shape, 2),
        )

    draws = np.array(list(itertools.product(range(len(ANSWERS)), repeat=documents * config.samples)))
    grads = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(model, draws)
    flat = np.concatenate([np.asarray(one).reshape(len(draws), -1) for one in jax.tree.leaves(grads)], axis=1)
    return probs[draws].prod(axis=1), flat


def flat(grads):
    return np.concatenate([np.asarray(one).reshape(-1) for one in jax.tree.leaves(grads)])


@pytest.mark.parametrize(
    ("baseline", "samples", "documents", "estimator"),
    [("none", 1, 1, "k3"), ("self-critical", 1, 1, "exact"), ("leave-one-out", 2, 1, "exact"), ("mean", 1, 2, "k3")],
)
def test_the_expected_gradient_is_that_of_the_expected_reward(model, baseline, samples, documents, estimator):
    config = ReinforceConfig(baseline=baseline, samples=samples, kl=0.3, entropy=0.2, kl_estimator=estimator)

    probs, grads = losses_of_all_draws(model, config, documents)

    assert probs.sum() == pytest.approx(1, abs=1e-5)
    expected = -flat(jax.grad(lambda model: objective(model, config))(model))
    np.testing.assert_allclose(probs @ grads, expected, atol=2e-6)


def total_variance(probs, grads):
    return float(probs @ np.square(grads - probs @ grads).sum(axis=1))


def test_other_samples_as_a_baseline_lower_the_variance(model):
    of = {
        baseline: total_variance(*losses_of_all_draws(model, ReinforceConfig(baseline=baseline, samples=2)))
        for baseline in ("none", "leave-one-out")
    }

    assert of["leave-one-out"] < 0.7 * of["none"]


def test_advantages_by_hand():
    rewards, real = jnp.array([[1.0, 4.0], [3.0, 0.0], [9.0, 9.0]]), jnp.array([True, True, False])

    assert advantages(rewards, real, "leave-one-out")[:2].tolist() == [[1 - 4, 4 - 1], [3 - 0, 0 - 3]]
    # of the other three samples: (4 + 3 + 0) / 3, (1 + 3 + 0) / 3, …; the row without a document counts for nobody
    np.testing.assert_allclose(
        advantages(rewards, real, "mean")[:2], [[1 - 7 / 3, 4 - 4 / 3], [3 - 5 / 3, 0 - 8 / 3]], rtol=1e-6
    )
    greedy = jnp.array([2.0, 1.0, 0.0])
    assert advantages(rewards, real, "self-critical", greedy)[:2].tolist() == [[-1, 2], [2, -1]]
    assert advantages(rewards, real, "none").tolist() == rewards.tolist()


def test_a_token_s_estimate_of_the_divergence_has_the_right_mean_and_is_never_negative(model):
    p = token_log_probs(model, IDS)
    q = token_log_probs({name: jnp.asarray(array) for name, array in REFERENCE.items()}, IDS)

    estimates = k3(p, q)

    # Σ p (log p - log q), written out once more
    exact = np.sum(np.exp(p) * (np.asarray(p) - np.asarray(q)), axis=-1)
    np.testing.assert_allclose(np.sum(np.exp(p) * estimates, axis=-1), exact, atol=1e-6)
    np.testing.assert_allclose(divergence(p, q), exact, atol=1e-6)
    assert float(jnp.min(estimates)) >= 0
    assert float(jnp.max(jnp.abs(divergence(p, p)))) == 0


def test_entropy_and_its_gradient():
    logits = jnp.array([0.4, -1.0, 2.0])

    value, grad = jax.value_and_grad(lambda logits: entropy(jax.nn.log_softmax(logits)))(logits)

    p = np.exp(np.asarray(logits)) / np.exp(np.asarray(logits)).sum()
    assert float(value) == pytest.approx(-(p * np.log(p)).sum(), abs=1e-6)
    np.testing.assert_allclose(grad, -p * (np.log(p) + float(value)), atol=1e-6)  # ∂H/∂z_i = -p_i (log p_i + H)


def test_a_token_without_any_chance_has_no_part_in_entropy_or_divergence():
    log_probs = jnp.log(jnp.array([0.25, 0.75, 0.0]))
    reference = jnp.log(jnp.array([0.5, 0.5, 0.0]))

    value, grad = jax.value_and_grad(lambda p: entropy(p) + divergence(p, reference))(log_probs)

    # H + Σ p log p - Σ p log q = log 2
    assert float(value) == pytest.approx(np.log(2), abs=1e-6)
    assert np.isfinite(np.asarray(grad)).all()


def test_temperature_divides_logits():
    logits = jnp.array([[0.0, np.log(4.0)]])

    # at temperature 2: log 4 / 2 = log 2, so 1 to 2
    np.testing.assert_allclose(np.exp(tempered(jax.nn.log_softmax(logits), 2.0)), [[1 / 3, 2 / 3]], rtol=1e-6)


def test_minimum_risk_counts_equal_samples_once_and_scales_probabilities():
    ids = jnp.array([[[5, 1], [6, 1], [5, 1]]])
    log_probs = jnp.log(jnp.array([[0.09, 0.01, 0.09]]))
    rewards = jnp.array([[1.0, 0.0, 1.0]])

    # 0.09 and 0.01 to the power of 1/2 are 0.3 and 0.1
    assert float(minimum_risk(log_probs, rewards, ids, 0.5)[0]) == pytest.approx(0.3 / 0.4, abs=1e-6)


def test_minimum_risk_over_all_answers_is_the_expected_reward(model):
    config = ReinforceConfig(objective="minimum-risk", samples=len(ANSWERS), sharpness=1.0)

    def loss(model):
        tokens = Tokens(*(one[None] for one in tokens_of(model, IDS)))
        real = jnp.ones(1, bool)
        return surrogate(tokens, MASK[None], REWARDS[None], real, config, ids=jnp.asarray(IDS)[None])

    expected = jax.grad(lambda model: -objective(model, config))(model)

    assert float(loss(model)) == pytest.approx(-float(objective(model, config)), abs=1e-6)
    np.testing.assert_allclose(flat(jax.grad(loss)(model)), flat(expected), atol=1e-6)


@pytest.mark.parametrize(("normalize", "count"), [("sequence", 2), ("token", 3)])
def test_the_loss_is_a_mean_over_samples_or_over_their_tokens(model, normalize, count):
    config = ReinforceConfig(baseline="none", samples=2, normalize=normalize)
    draw = np.array([0, 4])  # one token, and two
    tokens = Tokens(*(one[None] for one in tokens_of(model, IDS[draw])))

    loss = surrogate(tokens, MASK[draw][None], REWARDS[draw][None], jnp.ones(1, bool), config)

    log_probs = np.asarray(answer_log_probs(model))[draw]
    assert float(loss) == pytest.approx(-(REWARDS[draw] * log_probs).sum() / count, abs=1e-6)


def test_rows_without_a_document_change_nothing(model):
    config = ReinforceConfig(baseline="mean", samples=2, kl=0.1, entropy=0.1, normalize="token")

    def loss(model, draw, real):
        shape = (len(real), 2)
        tokens = Tokens(*(one.reshape(*shape, 2) for one in tokens_of(model, IDS[draw])))
        masks, rewards = MASK[draw].reshape(*shape, 2), REWARDS[draw].reshape(shape)
        return surrogate(tokens, masks, rewards, jnp.array(real), config)

    alone = jax.grad(loss)(model, np.array([1, 4]), [True])
    padded = jax.grad(loss)(model, np.array([1, 4, 6, 2]), [True, False])

    np.testing.assert_allclose(flat(padded), flat(alone), atol=1e-7)


def test_a_loss_may_have_the_value_of_one_number_and_the_gradient_of_another():
    value, grad = jax.value_and_grad(lambda x: with_gradient_of(jnp.float32(-0.5), x**2))(jnp.float32(3.0))

    assert (float(value), float(grad)) == (-0.5, 6.0)


@pytest.mark.parametrize(
    ("settings", "unused"),
    [
        ({"objective": "minimum-risk", "baseline": "self-critical"}, "baseline"),
        ({"objective": "minimum-risk", "kl": 0.1}, "kl"),
        ({"objective": "minimum-risk", "entropy": 0.1}, "entropy"),
        ({"sharpness": 1.0}, "sharpness"),
        ({"kl_estimator": "k3"}, "kl_estimator"),
    ],
)
def test_a_setting_without_effect_is_refused(settings, unused):
    with pytest.raises(ValueError, match=f"{unused} has no use with"):
        ReinforceConfig(**settings)


@pytest.mark.parametrize("settings", [{"baseline": "leave-one-out"}, {"objective": "minimum-risk"}])
def test_one_sample_is_too_few_where_others_are_needed(settings):
    with pytest.raises(ValueError, match="samples must be at least 2"):
        ReinforceConfig(samples=1, **settings)
