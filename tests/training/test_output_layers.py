"""Output layers: each is the distribution that its definition says, and its gradient that of the definition."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.errors import ConfigError
from lmtool.tasks.adaptive import AdaptiveSoftmax
from lmtool.tasks.output import FullSoftmax
from lmtool.tasks.output_choice import count_ids, ranks_of
from lmtool.tasks.sampled import SampledSoftmax, draw
from lmtool.tasks.some_rows import log_probs_of_some, nll_of_some

N, V, E = 24, 23, 8
RANKS = np.random.default_rng(3).permutation(V).astype(np.int32)
KEY = jax.random.key(0)


def adaptive(*, tied=True, cutoffs=(5, 11), division=2.0):
    return AdaptiveSoftmax(V, E, tied, cutoffs, division, RANKS)


def weights_of(layer, scale=5.0):
    """Larger than fresh ones, so that no distribution is nearly uniform."""
    keys = jax.random.split(jax.random.key(1), len(layer.parameters()))
    return {
        name: scale * jax.random.normal(key, shape) * 0.1
        for key, (name, (_, shape)) in zip(keys, layer.parameters().items(), strict=True)
    }


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    importance = rng.uniform(0.5, 2, size=N).astype("f4")
    importance[::7] = 0
    return rng.normal(size=(N, E)).astype("f4"), rng.integers(V, size=N).astype("i4"), importance


LAYERS = {
    "full": FullSoftmax(V, E),
    "sampled": SampledSoftmax(V, E, True, 7, np.arange(V)),
    "adaptive": adaptive(),
    "adaptive-untied": adaptive(tied=False),
    "adaptive-undivided": adaptive(division=1.0),
    "adaptive-one-tail": adaptive(cutoffs=(22,)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_probabilities_sum_to_one_and_are_those_of_the_targets(name, rows):
    layer, (h, targets, _) = LAYERS[name], rows
    weights = weights_of(layer)

    log_probs = layer.log_probs(weights, h)
    chosen = layer.target_log_probs(weights, h, targets)

    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(chosen, np.asarray(log_probs)[np.arange(N), targets], atol=1e-5)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "sampled"])
def test_loss_and_gradient_are_those_of_the_log_probabilities(name, rows):
    layer, (h, targets, importance) = LAYERS[name], rows
    weights = weights_of(layer)

    def by_definition(weights, h):
        return -jnp.sum(layer.log_probs(weights, h)[jnp.arange(N), targets] * importance)

    def lean(weights, h):
        return 3 * layer.nll(weights, h, targets, importance, key=KEY)

    expected = jax.jit(jax.value_and_grad(by_definition, (0, 1)))(weights, h)
    found = jax.jit(jax.value_and_grad(lean, (0, 1)))(weights, h)

    assert found[0] == pytest.approx(3 * float(expected[0]), rel=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, 3 * b, rtol=1e-4, atol=1e-5), found[1], expected[1])


@pytest.mark.parametrize("name", LAYERS)
def test_log_probabilities_of_targets_have_the_gradient_of_the_distribution(name, rows):
    layer, (h, targets, importance) = LAYERS[name], rows
    weights = weights_of(layer)

    def by_definition(weights, h):
        return jnp.sum(layer.log_probs(weights, h)[jnp.arange(N), targets] * importance)

    def of_targets(weights, h):
        return jnp.sum(layer.target_log_probs(weights, h, targets) * importance)

    expected = jax.jit(jax.grad(by_definition, (0, 1)))(weights, h)
    found = jax.jit(jax.grad(of_targets, (0, 1)))(weights, h)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)


@pytest.mark.parametrize("chunk", [1, 5, N, 2 * N])
@pytest.mark.parametrize("number", [0, 1, 5, 10, 11, N])
def test_rows_that_count_are_all_read_however_many_there_are(chunk, number, rows):
    h, targets, _ = rows
    weights = weights_of(FullSoftmax(V, E))
    counts = np.random.default_rng(number).permutation(N) < number
    arrays = (h, weights["embedding"], weights["output_bias"], targets)
    log_probs = jax.nn.log_softmax(h @ weights["embedding"].T + weights["output_bias"][None])
    expected = np.where(counts, np.asarray(log_probs)[np.arange(N), targets], 0)

    nll = nll_of_some(*arrays, counts.astype("f4"), chunk)

    assert float(nll) == pytest.approx(-expected.sum(), rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(log_probs_of_some(*arrays, counts, chunk), expected, atol=1e-5)


def test_adaptive_softmax_is_the_product_of_head_and_tail(rows):
    # Ids by rank: 5 in the head, whose entries 5 and 6 are the tails of 6 and 12; tails have E / 2 and E / 4.
    layer, (h, _, _) = adaptive(), rows
    weights = weights_of(layer)
    head = np.concatenate([weights["embedding_0"], weights["tails_embedding"]])
    log_head = jax.nn.log_softmax(h @ head.T + weights["output_bias_0"][None])
    small = h @ weights["projection_2"].T
    log_tail = jax.nn.log_softmax(small @ weights["embedding_2"].T + weights["output_bias_2"][None])
    ids = np.argsort(RANKS)  # by rank

    log_probs = np.asarray(layer.log_probs(weights, h))

    assert weights["embedding_1"].shape == (6, 4)
    assert weights["embedding_2"].shape == (12, 2)
    np.testing.assert_allclose(log_probs[:, ids[3]], log_head[:, 3], atol=1e-5)
    np.testing.assert_allclose(log_probs[:, ids[11 + 7]], log_head[:, 6] + log_tail[:, 7], atol=1e-5)


def test_tied_adaptive_inputs_are_the_tails_embeddings_through_the_same_projection():
    layer = adaptive()
    weights = weights_of(layer)
    ids = np.argsort(RANKS)  # by rank

    embedded = layer.embed(weights, jnp.asarray([[ids[2], ids[5], ids[22]]]))

    np.testing.assert_allclose(embedded[0, 0], weights["embedding_0"][2], atol=1e-6)
    np.testing.assert_allclose(embedded[0, 1], weights["embedding_1"][0] @ weights["projection_1"], atol=1e-6)
    np.testing.assert_allclose(embedded[0, 2], weights["embedding_2"][11] @ weights["projection_2"], atol=1e-6)


@pytest.mark.parametrize("cutoffs", [(5, 5), (11, 5), (5, V)])
def test_cutoffs_that_leave_a_tail_empty_are_refused(cutoffs):
    with pytest.raises(ConfigError, match=r"task.cutoffs must ascend and be below the vocabulary's size of 23, got"):
        adaptive(cutoffs=cutoffs)


def test_drawn_samples_estimate_sums_without_bias():
    # What each token counts for, one over the probability to be among the drawn, makes the sample's sum a fair
    # estimate of the whole sum. Its standard deviation over 4,000 draws is measured with it.
    proposals = (np.arange(1, V + 1) / np.arange(1, V + 1).sum()).astype("f4")
    values = jnp.asarray(np.random.default_rng(0).uniform(0.5, 1.5, V), jnp.float32)

    @jax.vmap
    def estimate(key):
        samples, log_inclusion = draw(proposals, 7, key)
        return jnp.sum(values[samples] * jnp.exp(-log_inclusion)), jnp.unique(samples, size=7, fill_value=-1)

    estimates, unique = jax.jit(estimate)(jax.random.split(KEY, 4000))

    assert (unique >= 0).all()  # without replacement
    error = abs(float(estimates.mean() - values.sum()))
    assert error < 4 * float(estimates.std()) / np.sqrt(4000)


def test_sampled_gradient_is_on_average_near_the_full_one(rows):
    h, targets, importance = rows
    full, layer = FullSoftmax(V, E), SampledSoftmax(V, E, True, 12, np.arange(V))
    weights = weights_of(full, scale=2)

    def mean_gradient(loss, keys):
        grads = jax.vmap(jax.grad(loss), (None, 0))(weights, jax.random.split(KEY, keys))
        return jax.tree.map(lambda leaf: leaf.mean(axis=0), grads)

    exact = jax.jit(lambda: mean_gradient(lambda w, key: full.nll(w, h, targets, importance, key=key), 1))()
    sampled = jax.jit(lambda: mean_gradient(lambda w, key: layer.nll(w, h, targets, importance, key=key), 2000))()

    # The estimate of a normaliser has no bias, its logarithm and its inverse have a small one.
    for name in exact:
        difference = np.linalg.norm(sampled[name] - exact[name]) / np.linalg.norm(exact[name])
        assert difference < 0.1


def test_sampling_everything_is_the_full_softmax(rows):
    h, targets, importance = rows
    full, layer = FullSoftmax(V, E), SampledSoftmax(V, E, True, V, np.ones(V))
    weights = weights_of(full)

    assert layer.nll(weights, h, targets, importance, key=KEY) == full.nll(weights, h, targets, importance, key=KEY)


def test_a_target_among_the_samples_counts_once(rows):
    # All but one token are drawn, with probabilities near one: the loss is then nearly the full one.
    h, targets, importance = rows
    counts = np.where(np.arange(V) == 0, -1 + 1e-6, 1e6)  # one more than the counts is the rate
    full, layer = FullSoftmax(V, E), SampledSoftmax(V, E, True, V - 1, counts)
    weights = weights_of(full)
    weights["output_bias"] = weights["output_bias"].at[0].set(-30.0)
    targets = np.maximum(targets, 1)

    sampled = layer.nll(weights, h, targets, importance, key=KEY)

    assert float(sampled) == pytest.approx(float(full.nll(weights, h, targets, importance, key=KEY)), rel=1e-3)


@pytest.mark.parametrize("name", LAYERS)
def test_bfloat16_rounds_products_and_nothing_else(name, rows):
    layer, (h, targets, importance) = LAYERS[name], rows
    weights = weights_of(layer)

    def loss(weights, h):
        return layer.nll(weights, h, targets, importance, key=KEY)

    exact, exact_grads = jax.value_and_grad(loss, (0, 1))(weights, h)
    value, grads = jax.value_and_grad(loss, (0, 1))(weights, jnp.asarray(h, jnp.bfloat16))

    assert value.dtype == jnp.float32
    assert float(value) == pytest.approx(float(exact), rel=0.02)
    assert {leaf.dtype for leaf in grads[0].values()} == {np.dtype("float32")}
    assert grads[1].dtype == jnp.bfloat16
    error = np.linalg.norm(grads[1].astype("f4") - exact_grads[1]) / np.linalg.norm(exact_grads[1])
    assert error < 0.03


def test_ids_are_ranked_by_their_counts_in_the_text():
    ids = np.asarray([4, 2, 2, 0, 4, 4, 1])
    split = SimpleNamespace(num_tokens=len(ids), read=lambda start, stop: ids[start:stop])

    counts = count_ids(split, 6)

    assert counts.tolist() == [1, 1, 2, 0, 3, 0]
    assert ranks_of(counts).tolist() == [2, 3, 1, 4, 0, 5]
