"""Dynamic evaluation: what is learned, from what, and in which order."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mixture_corpus
import numpy as np
import pytest

from lmtool.errors import ConfigError, DataError
from lmtool.run import Run
from lmtool_dynamic.adapting import Adapting
from lmtool_dynamic.config import DynamicConfig
from lmtool_dynamic.model import Dynamic
from lmtool_dynamic.rules import Learner, Rule, rms_scales, root_mean_squares
from lmtool_dynamic.tuning import segments
from lmtool_mixture.config import MixtureConfig
from lmtool_mixture.model import Mixture

SEGMENT = 4


@pytest.fixture(scope="module")
def corpus():
    return mixture_corpus.made()


@pytest.fixture(scope="module")
def lstm(corpus):
    return corpus.model(corpus.run("lstm"))


@pytest.fixture(scope="module")
def plain(lstm):
    """A learner by plain gradient descent."""
    return Learner(lstm, None)


def gradient(model, params, ids, state):
    """Of the mean negative log-likelihood, by the network alone: no code of the predictor."""
    network = model.functions.network

    def loss(params):
        inputs = jnp.concatenate([state.last[:, None], ids[:, :-1]], axis=1)
        h, _ = network.apply(params, inputs, None, state.carry, train=False)
        embedding, bias = params["params"]["embedding"], params["params"]["output_bias"]
        log_probs = jax.nn.log_softmax(h @ embedding.T + bias[None, None])
        return -jnp.take_along_axis(log_probs, ids[..., None], axis=2).mean()

    return jax.grad(loss)(params)


def scores(model, ids):
    return np.asarray(model.score(ids, model.initial_state(len(ids)))[0])


def close(got, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6), got, expected)


def test_a_step_goes_down_the_gradient_and_part_of_the_way_back(corpus, lstm, plain):
    ids = corpus.ids[:1, : 2 * SEGMENT]
    model = Adapting(lstm, plain, Rule(learning_rate=0.5, decay=0.25), SEGMENT)
    start = lstm.initial_state(1)
    middle = lstm.score(ids[:, :SEGMENT], start)[1]

    _, (stream,) = model.score(ids, model.initial_state(1))

    trained = lstm.params
    once = jax.tree.map(lambda w, g: w - 0.5 * g, trained, gradient(lstm, trained, ids[:, :SEGMENT], start))
    second = gradient(lstm, once, ids[:, SEGMENT:], middle)
    twice = jax.tree.map(lambda w, g, w0: w - 0.5 * g + 0.25 * (w0 - w), once, second, trained)
    close(stream.params, twice)


def test_every_token_is_predicted_before_it_is_learned_from(corpus, lstm, plain):
    model = Adapting(lstm, plain, Rule(1.0, 0.0), SEGMENT)
    ids = corpus.ids[:1, : 2 * SEGMENT]
    as_trained, adapted = scores(lstm, ids), scores(model, ids)

    # the first segment knows nothing yet, the second has learned from the first
    np.testing.assert_allclose(adapted[:, :SEGMENT], as_trained[:, :SEGMENT], atol=1e-6)
    assert np.abs(adapted[:, SEGMENT:] - as_trained[:, SEGMENT:]).max() > 1e-3
    other = ids.copy()
    other[:, SEGMENT + 1 :] = 0
    np.testing.assert_allclose(scores(model, other)[:, : SEGMENT + 1], adapted[:, : SEGMENT + 1], atol=1e-6)


def test_weights_are_the_same_to_the_bit_however_the_text_is_cut(corpus, lstm, plain):
    model = Adapting(lstm, plain, Rule(1.0, 0.01), SEGMENT)
    _, (whole,) = model.score(corpus.ids[:1], model.initial_state(1))
    state = model.initial_state(1)
    for piece in np.split(corpus.ids[:1], [1, 3, 4, 11, 12, 12, 30], axis=1):
        _, state = model.score(piece, state)

    jax.tree.map(np.testing.assert_array_equal, state[0].params, whole.params)
    jax.tree.map(np.testing.assert_array_equal, state[0].before, whole.before)
    assert len(state[0].pending) == corpus.ids.shape[1] % SEGMENT


def test_without_a_step_nothing_is_learned(corpus, lstm, plain):
    still = Adapting(lstm, plain, Rule(0.0, 0.0), SEGMENT)

    np.testing.assert_allclose(scores(still, corpus.ids), scores(lstm, corpus.ids), atol=1e-6)


def test_a_text_that_repeats_itself_becomes_more_probable(corpus, lstm, plain):
    ids = np.tile(corpus.ids[:1, :8], 5)
    adapted = scores(Adapting(lstm, plain, Rule(1.0, 0.0), SEGMENT), ids)

    assert adapted[:, -8:].mean() > scores(lstm, ids)[:, -8:].mean() + 0.5


def test_root_mean_squares_are_those_of_the_gradients(corpus, lstm):
    pieces = list(segments(corpus.dataset.split("train"), SEGMENT, 2 * SEGMENT + 1))
    rms = root_mean_squares(lstm, pieces)

    state = lstm.initial_state(1)
    first = gradient(lstm, lstm.params, pieces[0], state)
    second = gradient(lstm, lstm.params, pieces[1], lstm.score(pieces[0], state)[1])
    assert len(pieces) == 2
    close(rms, jax.tree.map(lambda a, b: np.sqrt((a**2 + b**2) / 2), first, second))


def test_gradients_are_scaled_by_their_rms_and_decay_is_one_on_the_average():
    scales = rms_scales({"a": jnp.array([1.0, 3.0]), "b": jnp.array([[2.0, 2.0]])}, epsilon=0.5)

    # the mean is 2, so that 0.5 * 2 = 1 is added to each
    np.testing.assert_allclose(scales.gradient["a"], [1 / 2, 1 / 4])
    np.testing.assert_allclose(scales.decay["a"], [0.5, 1.5])
    np.testing.assert_allclose(scales.decay["b"], [[1.0, 1.0]])


def test_weights_never_go_more_than_the_whole_way_back(corpus, lstm):
    # a decay of 1 would be thousands for the weights with the largest gradients
    learner = Learner(lstm, rms_scales(root_mean_squares(lstm, [corpus.ids[:1, :8]]), 1.0))
    model = Adapting(lstm, learner, Rule(0.0, 1.0), SEGMENT)
    away = jax.tree.map(lambda w: w + 1, lstm.params)
    stream = model.initial_state(1)[0]._replace(params=away)
    _, (after,) = model.score(corpus.ids[:1, :SEGMENT], (stream,))

    between = jax.tree.map(lambda w, now, start: bool(((start - 1e-5 <= now) & (now <= w)).all()), away, after.params,
                           lstm.params)  # fmt: skip
    assert all(jax.tree.leaves(between))


def settings(corpus, **others):
    given = {"segment": SEGMENT, "update": "sgd", "learning_rate": 1.0, "decay": 0.0}
    return DynamicConfig(**{**given, "run": corpus.run("lstm"), **others})


def test_the_best_of_several_values_is_chosen_on_the_valid_split(corpus):
    config = settings(corpus, learning_rate=[0.0, 0.5, 1e30], decay=[0.0, 0.01], tuning_tokens=200)
    facts = corpus.fit(Dynamic(config)).facts

    as_trained, *tried = facts["tried"]
    assert [(one["learning_rate"], one["decay"]) for one in tried] == [
        (0.0, 0.0), (0.0, 0.01), (0.5, 0.0), (0.5, 0.01), (1e30, 0.0), (1e30, 0.01),
    ]  # fmt: skip
    assert tried[0]["nats"] == pytest.approx(as_trained["nats"], rel=1e-6)
    assert tried[4]["nats"] is None  # the weights ran away
    best = min((one for one in tried if one["nats"] is not None), key=lambda one: one["nats"])
    assert (facts["learning_rate"], facts["decay"]) == (best["learning_rate"], best["decay"])


def test_values_that_are_all_too_large_are_an_error(corpus):
    with pytest.raises(DataError, match=r"run away at each of these learning rates: 1e\+30, 2e\+30"):
        corpus.fit(Dynamic(settings(corpus, learning_rate=[1e30, 2e30], tuning_tokens=50)))


def test_a_run_without_weights_is_refused(corpus):
    with pytest.raises(ConfigError, match="has no weights to adapt"):
        corpus.fit(Dynamic(settings(corpus, run=corpus.run("trigram"))))


def test_a_run_of_another_tokenizer_is_refused(corpus):
    other = mixture_corpus.made("word")
    with pytest.raises(ConfigError, match="has another tokenizer than the dataset"):
        other.fit(Dynamic(settings(corpus)))


@pytest.mark.parametrize("value", [-1.0, [], [0.1, -0.1]])
def test_sizes_below_zero_are_refused(value):
    with pytest.raises(ValueError, match="must be 0 or more"):
        DynamicConfig(run="any", decay=value)


@pytest.mark.parametrize("damage", ["dynamic.json", "rms.safetensors"])
def test_damaged_files_are_named(corpus, tmp_path, damage):
    config = settings(corpus, update="rms", learning_rate=1e-4, statistics_tokens=20)
    corpus.fit(Dynamic(config)).save(tmp_path)
    (tmp_path / damage).write_text("{}")

    with pytest.raises(DataError, match=damage):
        Dynamic(config).load(tmp_path)


def test_a_mixture_of_an_ngram_and_a_dynamic_network_adapts(corpus):
    run = corpus.folder / "dynamic"
    if not run.exists():
        corpus.train(run, "dynamic", f'model.run="{corpus.run("lstm")}"', "model.update=sgd", "model.learning_rate=1.0",
                     "model.decay=0.0", "model.segment=4", "training.batch_size=1")  # fmt: skip
    mixture = corpus.fit(Mixture(MixtureConfig(runs=[corpus.run("trigram"), str(run)], weights=[0.25, 0.75])))
    ngram, dynamic = (corpus.model(path) for path in (corpus.run("trigram"), run))

    expected = np.logaddexp(np.log(0.25) + scores(ngram, corpus.ids), np.log(0.75) + scores(dynamic, corpus.ids))
    np.testing.assert_allclose(scores(mixture, corpus.ids), expected, atol=1e-5)
    assert mixture.adapts
    # the run that it was made from stays what it was
    assert not getattr(Run.open(corpus.run("lstm")).language_model(), "adapts", False)
