"""The `lm` task's dropouts, penalties and precision, read off a backbone that hands on what it is given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.config import TrainingConfig
from lmtool.errors import ConfigError
from lmtool.tasks.config import LMConfig
from lmtool.tasks.lm import LanguageModelling

V, KEY = 8, jax.random.key(0)


class Echo(nn.Module):
    """Its output is its input, in `dtype` if given; its carry counts windows."""

    features: int
    dtype: Any = None
    causal: bool = True

    def initial_carry(self, batch_size, input_size):
        return jnp.zeros((batch_size, 1))

    def __call__(self, x, mask, carry, *, train):
        return x.astype(self.dtype or x.dtype), (carry + 1).astype(self.dtype or carry.dtype)


def make_task(backbone, precision="float32", **settings):
    ids = np.arange(200, dtype=np.int32) % V
    split = SimpleNamespace(name="train", num_tokens=len(ids), read=lambda start, stop: ids[start:stop])
    tokenizer = SimpleNamespace(vocab_size=V, eos_id=0)
    return LanguageModelling(
        LMConfig(**{"dropout": 0.0, "tied": False, **settings}),
        dataset=SimpleNamespace(split=lambda name: split, tokenizer=tokenizer),
        backbone=backbone,
        training=TrainingConfig(batch_size=2, bptt=4, precision=precision),
    )


def embedding_gradient(key=KEY, **settings):
    """Loss and d loss / d input embedding [V], for one unit, the inputs 0, 1 and padding; their embeddings: 1 and 3."""
    task = make_task(Echo(1), **settings)
    params = task.init(KEY)
    params["params"]["embedding"] = jnp.asarray([[1.0], [3.0]] + [[100.0]] * (V - 2))
    mask = np.asarray([[True, True, False]])
    batch = {"inputs": np.asarray([[0, 1, 2]]), "targets": np.asarray([[1, 0, 0]]), "mask": mask}
    loss, grads = jax.value_and_grad(lambda p: task.loss(p, jnp.zeros((1, 1)), batch, key)[0])(params)
    return float(loss), np.asarray(grads["params"]["embedding"])[:, 0]


def test_penalties_change_the_gradient_and_not_the_reported_loss():
    # AR: 5 * (1² + 3²) / 2 real positions, so d/d1 = 5 * 1, d/d3 = 5 * 3.
    # TAR: 7 * (3 - 1)² / 1 real pair, so d/d1 = -7 * 2 * 2, d/d3 = 7 * 2 * 2.
    plain, without = embedding_gradient()
    reported, with_both = embedding_gradient(activation_regularisation=5.0, temporal_activation_regularisation=7.0)

    assert reported == plain
    np.testing.assert_allclose((with_both - without)[:2], [5 - 28, 15 + 28], rtol=1e-5)
    assert (with_both[2:] == 0).all()  # padding


class Penalised(Echo):
    """Sows at each call, the one that makes its parameters included."""

    def __call__(self, x, mask, carry, *, train):
        self.sow("penalties", "size", jnp.sum(x))
        return super().__call__(x, mask, carry, train=train)


def test_a_penalty_sown_without_training_is_no_parameter():
    assert make_task(Penalised(1)).init(KEY).keys() == {"params"}


@pytest.mark.parametrize("seed", range(4))
def test_activations_are_penalised_after_dropout_and_their_changes_before(seed):
    key = jax.random.key(seed)
    _, without = embedding_gradient(key, output_dropout=0.5)
    _, with_ar = embedding_gradient(key, output_dropout=0.5, activation_regularisation=5.0)
    _, with_tar = embedding_gradient(key, output_dropout=0.5, temporal_activation_regularisation=7.0)

    # the one unit is dropped, or doubled to make up for it: then its square is four times as large
    assert (with_ar - without)[:2].round(3).tolist() in ([0, 0], [20, 60])
    np.testing.assert_allclose((with_tar - without)[:2], [-28, 28], rtol=1e-5)


def test_embedding_dropout_drops_a_token_wherever_it_stands():
    task = make_task(Echo(5), embedding_dropout=0.5)
    params = task.init(KEY)
    inputs = np.stack([np.arange(V), np.arange(V)[::-1]])
    options = {"train": True, "rngs": {"dropout": KEY}}
    x, _ = task.network.apply(params, inputs, None, jnp.zeros((2, 1)), **options)
    embedding = np.asarray(params["params"]["embedding"])
    kept = np.asarray(x[0]).any(axis=1)

    np.testing.assert_allclose(x[0], np.where(kept[:, None], 2 * embedding, 0), rtol=1e-6)
    np.testing.assert_array_equal(x[1], x[0][::-1])
    assert 0 < kept.sum() < V


@pytest.mark.parametrize(
    ("settings", "dropped"),
    [
        ({"dropout": 0.5}, True),
        ({"dropout": 0.5, "input_dropout": 0.0}, True),
        ({"dropout": 0.5, "input_dropout": 0.0, "output_dropout": 0.0}, False),
        ({"output_dropout": 0.5}, True),
        ({"input_dropout": 0.5}, True),
    ],
)
def test_inputs_and_outputs_may_have_a_dropout_of_their_own(settings, dropped):
    task = make_task(Echo(16), **settings)
    options = {"train": True, "rngs": {"dropout": KEY}}
    h, _ = task.network.apply(task.init(KEY), np.ones((1, 3), int), None, jnp.zeros((1, 1)), **options)

    assert (np.asarray(h) == 0).any() == dropped


@pytest.mark.parametrize("softmax", ["full", "adaptive", "sampled"])
@pytest.mark.parametrize("dtype", [None, jnp.float32, jnp.bfloat16])
def test_bfloat16_is_for_activations_only(softmax, dtype):
    settings = {"softmax": softmax, "embedding_size": 5} | ({"num_samples": 4} if softmax == "sampled" else {})
    exact, task = (make_task(Echo(6, dtype), precision, **settings) for precision in ("float32", "bfloat16"))
    params, batch, carry = task.init(KEY), task.batch(0), task.initial_carry()
    h, _ = task.network.apply(params, batch["inputs"], None, carry, train=True, rngs={"dropout": KEY})
    (loss, (after, _)), grads = jax.value_and_grad(task.loss, has_aux=True)(params, carry, batch, KEY)
    scores, state = task.predictor(params).score(batch["targets"], task.predictor(params).initial_state(2))

    assert h.dtype == jnp.bfloat16
    assert loss.dtype == after.dtype == scores.dtype == state.carry.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(grads)} == {np.dtype("float32")}
    assert float(loss) == pytest.approx(float(exact.loss(params, carry, batch, KEY)[0]), rel=0.01)


def test_an_encoder_is_no_language_model():
    with pytest.raises(ConfigError, match="must not see the tokens that it predicts, but this Echo does"):
        make_task(Echo(4, causal=False))


@pytest.mark.parametrize("tied", [True, False])
def test_the_gradient_with_label_smoothing_is_that_of_the_cross_entropy_with_smoothed_targets(tied):
    smoothing, rng = 0.3, np.random.default_rng(0)
    task, plain = (make_task(Echo(4), tied=tied, label_smoothing=one) for one in (smoothing, 0.0))
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), task.init(KEY))
    batch = {
        "inputs": rng.integers(V, size=(2, 3)).astype(np.int32),
        "targets": rng.integers(V, size=(2, 3)).astype(np.int32),
        "mask": np.asarray([[True, True, True], [True, False, False]]),
    }
    carry = jnp.zeros((2, 1))

    def by_hand(params):
        own = params["params"]
        h = own["embedding"][batch["inputs"]]  # the backbone hands on what it reads
        logits = h @ own["embedding" if tied else "output_embedding"].T + own["output_bias"][None, None]
        wanted = (1 - smoothing) * jax.nn.one_hot(batch["targets"], V) + smoothing / V
        entropies = -(wanted * jax.nn.log_softmax(logits)).sum(axis=-1)
        return entropies[batch["mask"]].mean()

    value, grads = jax.value_and_grad(lambda params: task.loss(params, carry, batch, KEY)[0])(params)

    for mine, theirs in zip(jax.tree.leaves(grads), jax.tree.leaves(jax.grad(by_hand)(params)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    assert value == plain.loss(params, carry, batch, KEY)[0], "what is reported is without smoothing"


def test_label_smoothing_needs_the_full_softmax():
    with pytest.raises(ValueError, match='softmax must be "full", not "adaptive"'):
        LMConfig(label_smoothing=0.1, softmax="adaptive")
