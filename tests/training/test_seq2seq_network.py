"""The network of the `seq2seq` task: what it may not depend on, and that its steps are what it learned."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lmtool.tasks.asked import asked
from lmtool.tasks.seq2seq.attention import additive_scores
from lmtool.tasks.seq2seq.config import Seq2SeqConfig
from lmtool.tasks.seq2seq.copying import mass_of, mass_of_all, mixed, overlap
from lmtool.tasks.seq2seq.functions import Functions
from lmtool.tasks.seq2seq.network import Seq2SeqNetwork
from lmtool_cnn.backbone import CNN
from lmtool_cnn.config import CNNConfig
from lmtool_lstm.backbone import LSTM
from lmtool_lstm.config import GRUConfig, LSTMConfig
from lmtool_lstm.gru import GRU

V, B, S, T = 9, 3, 5, 4
EOS = 0
EXAMPLES = Path(__file__).parents[2] / "examples"


def lstm(**settings):
    return LSTM(LSTMConfig(hidden_size=6, **settings))


def gru(**settings):
    return GRU(GRUConfig(hidden_size=6, num_layers=2, **settings))


def cnn(**settings):
    return CNN(CNNConfig(channels=6, num_layers=2, kernel_size=3, **settings))


def mingru(monkeypatch):
    """A backbone that somebody else wrote."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "lmtool-mingru"))
    from lmtool_mingru.backbone import MinGRU
    from lmtool_mingru.config import MinGRUConfig

    return MinGRU(MinGRUConfig(hidden_size=6))


CASES = {
    "general": ({}, lambda: lstm(bidirectional=True), lstm),
    "dot": ({"attention": "dot"}, lambda: cnn(causal=False), cnn),
    "additive": ({"attention": "additive", "attention_size": 5}, lambda: gru(bidirectional=True), gru),
    "none": ({"attention": "none"}, lstm, gru),
    "hops": ({"hops": 3, "tied": False}, lambda: cnn(causal=False), lstm),
    "input feeding": ({"input_feeding": True}, lstm, lambda: cnn()),
    "pointer": ({"pointer": True, "shared_embedding": True}, lambda: lstm(bidirectional=True), gru),
    "coverage": ({"attention": "additive", "coverage": True, "pointer": True}, lambda: lstm(bidirectional=True), lstm),
    "positions": ({"positions": 3, "hops": 2, "attention_skip": True}, lambda: cnn(causal=False), cnn),
    "question": ({"question": True, "source_embedding_init": 1.0}, lambda: lstm(bidirectional=True), gru),
    "all": (
        {"positions": 9, "attention": "additive", "coverage": True, "pointer": True, "input_feeding": True, "hops": 2},
        lambda: lstm(bidirectional=True),
        lambda: lstm(num_layers=2),
    ),
}


class Subject:
    """A network with random parameters, and a batch; few functions, because compiling them is what takes time."""

    def __init__(self, settings, encoder, backbone):
        self.config = Seq2SeqConfig.model_validate({"embedding_size": 6, **settings})
        self.network = Seq2SeqNetwork(self.config, V, EOS, V, encoder, backbone)
        rng = np.random.default_rng(0)
        shapes = jax.eval_shape(self.network.init_params, jax.random.key(0))
        self.params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape, scale=0.5).astype(np.float32), shapes)
        self.source = rng.integers(0, V, (B, S)).astype(np.int32)
        self.mask = np.arange(S)[None] < np.array([5, 2, 3])[:, None]
        self.targets = rng.integers(0, V, (B, T)).astype(np.int32)
        self._target_log_probs = Functions([self.network]).target_log_probs
        self._by_steps = jax.jit(self._read_by_steps)

    def by_steps(self, ids):
        """Log-probabilities [T, B, K, V] and attention of each next token, after ids [T, B, K]."""
        return self._by_steps(self.params, self.source, self.mask, ids)

    def target_log_probs(self, source=None, mask=None, targets=None):
        given = (self.source if source is None else source, self.mask if mask is None else mask)
        targets = self.targets if targets is None else targets
        return np.asarray(self._target_log_probs((self.params,), *given, targets))

    def _read_by_steps(self, params, source, mask, ids):
        memory = self.network.apply(params, source, mask, method="encode")
        start = self.network.apply(params, memory, ids.shape[2], method="initial_state")

        def step(state, ids):
            log_probs, shares, state = self.network.apply(params, memory, state, ids, method="step")
            return state, (log_probs, shares)

        return jax.lax.scan(step, start, ids)[1]


_SUBJECTS = {}


def subject_of(name):
    """Made once for all tests, since each compiles."""
    if name not in _SUBJECTS:
        settings, encoder, backbone = CASES[name]
        _SUBJECTS[name] = Subject(settings, encoder(), backbone())
    return _SUBJECTS[name]


@pytest.fixture(params=CASES)
def subject(request):
    return subject_of(request.param)


def check_steps(subject):
    # two texts of each source, of which the second goes its own way, each behind a number that is no token
    texts = np.stack([subject.targets, np.random.default_rng(1).integers(0, V, (B, T))], axis=2).swapaxes(0, 1)
    ids = np.concatenate([np.full((1, B, 2), V), texts[:-1]]).astype(np.int32)

    log_probs, shares = subject.by_steps(ids)

    np.testing.assert_allclose(np.exp(np.asarray(log_probs, np.float64)).sum(axis=-1), 1, atol=1e-5)
    if subject.config.attention != "none":
        assert np.asarray(shares).min() >= 0
        np.testing.assert_allclose(np.where(subject.mask[None, :, None], shares, 0).sum(axis=-1), 1, atol=1e-5)
    found = np.take_along_axis(np.asarray(log_probs)[:, :, 0], subject.targets.T[:, :, None], axis=2)[:, :, 0]
    np.testing.assert_allclose(found.T, subject.target_log_probs(), atol=1e-4)


def test_step_by_step_a_text_has_the_probabilities_that_it_has_as_a_whole(subject):
    check_steps(subject)


def test_what_stands_at_padding_changes_nothing(subject):
    source = np.where(subject.mask, subject.source, (subject.source + 1) % V)

    np.testing.assert_allclose(subject.target_log_probs(source), subject.target_log_probs(), atol=1e-5)


@pytest.mark.parametrize("name", ["dot", "all"])
def test_how_much_padding_there_is_changes_nothing(name):
    subject = subject_of(name)
    wider = np.pad(subject.source, ((0, 0), (0, 2))), np.pad(subject.mask, ((0, 0), (0, 2)))
    longer = np.pad(subject.targets, ((0, 0), (0, 3)))

    found = subject.target_log_probs(*wider, longer)

    np.testing.assert_allclose(found[:, :T], subject.target_log_probs(), atol=1e-5)


def test_a_token_depends_on_its_source_and_on_those_before_it_alone(subject):
    whole = subject.target_log_probs()
    targets = subject.targets.copy()
    targets[:, 2] = (targets[:, 2] + 1) % V
    source = np.concatenate([subject.source[:1], (subject.source[1:] + 1) % V])

    later = subject.target_log_probs(targets=targets)
    beside = subject.target_log_probs(source)

    np.testing.assert_allclose(later[:, :2], whole[:, :2], atol=1e-5)
    assert np.abs(later[:, 3] - whole[:, 3]).max() > 1e-4
    np.testing.assert_allclose(beside[0], whole[0], atol=1e-5)
    # the first token, too, where there is no attention: the pooled source stands for the token before it
    assert np.abs(beside[1:, 0] - whole[1:, 0]).max() > 1e-4


@pytest.mark.parametrize("settings", [{}, {"input_feeding": True}], ids=["at once", "by steps"])
def test_somebody_elses_backbone_encodes_and_decodes(monkeypatch, settings):
    check_steps(Subject(settings, mingru(monkeypatch), mingru(monkeypatch)))


@pytest.mark.parametrize("name", ["general", "all"])
def test_dropout_is_for_training_alone(name):
    subject = subject_of(name)

    def read(given, train):
        rngs = {"dropout": jax.random.key(1)}
        return subject.network.apply(*given, train=train, rngs=rngs, mutable=["penalties"])[0].h

    given = (subject.params, subject.source, subject.mask, subject.targets)
    exact, dropped = jax.jit(lambda given: (read(given, False), read(given, True)))(given)

    assert np.abs(dropped - exact).max() > 1e-3


# Parts ----------------------------------------------------------------------------------------------------------------


def test_copies_of_a_word_add_up():
    shares = np.array([[[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]]], np.float32)
    source, targets = np.array([[4, 2, 4]], np.int32), np.array([[4, 2]], np.int32)

    of_targets, of_all = mass_of(shares, source, targets), mass_of_all(shares, source, 6)

    np.testing.assert_allclose(of_targets, [[0.2 + 0.3, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(of_all, [[[0, 0, 0.5, 0, 0.5, 0], [0, 0, 0, 0, 1, 0]]], rtol=1e-6)


def test_a_mixture_weighs_words_and_copies_by_the_gate_and_has_a_gradient_where_nothing_is_copied():
    gate = jnp.log(jnp.array([3.0]))  # g = 3/4

    def mixture(mass):
        return mixed(jnp.log(jnp.array([0.4])), gate, jnp.array([mass]))[0]

    # 3/4 * 0.4 + 1/4 * 0.2 = 0.35; without a copy 3/4 * 0.4
    assert jnp.exp(mixture(0.2)) == pytest.approx(0.35, rel=1e-5)
    assert jnp.exp(mixture(0.0)) == pytest.approx(0.3, rel=1e-5)
    assert jax.grad(lambda x: mixed(x, gate, jnp.zeros(1))[0])(jnp.log(jnp.array([0.4])))[0] == pytest.approx(1.0)


def test_what_is_asked_is_what_stands_in_the_first_line_and_below_it():
    who, mary, john, went, end = 1, 2, 3, 4, EOS
    source = np.array(
        [[who, mary, end, john, went, end, mary, went, end, who], [who, mary, 5, 6, end, 5, 5, 6, 7, mary]]
    )
    mask = np.arange(10)[None] < np.array([10, 8])[:, None]

    found = asked(source, mask, end)

    marked = [[6, 9], [5, 6, 7]]  # not the question itself, not ends of lines
    np.testing.assert_array_equal(found[0], np.isin(np.arange(10), marked[0]))
    np.testing.assert_array_equal(found[1, :8], np.isin(np.arange(8), marked[1]))


def test_a_text_of_one_line_asks_for_nothing():
    ids = np.array([[1, 2, 2, 1]])

    assert not np.any(asked(ids, np.ones_like(ids, bool), EOS))


def test_attention_overlaps_where_it_was_before():
    shares = jnp.array([[[0.7, 0.3]]])

    assert overlap(shares, jnp.array([[[0.5, 0.5]]]))[0, 0] == pytest.approx(0.5 + 0.3)
    assert overlap(shares, jnp.array([[[0.0, 0.0]]]))[0, 0] == 0


def test_coverage_adds_up_the_attention_before():
    subject = Subject({"attention": "additive", "coverage": True}, lstm(bidirectional=True), lstm())
    zeros, mask = jax.tree.map(jnp.zeros_like, subject.params), np.ones((B, S), bool)

    readout = jax.jit(partial(subject.network.apply, train=False))(zeros, subject.source, mask, subject.targets)

    # without weights all places have the same share, 1/S, and had t/S before step t: they overlap by nothing at the
    # first step and by all of it, 1, at each later one
    np.testing.assert_allclose(readout.overlap, np.tile([0, 1, 1, 1], (B, 1)), atol=1e-6)


def test_additive_scores_are_those_of_bahdanau():
    rng = np.random.default_rng(0)
    query, keys, coverage = (rng.normal(size=shape).astype(np.float32) for shape in [(2, 3, 4), (2, 5, 4), (2, 3, 5)])
    vector, of_coverage = rng.normal(size=(2, 4)).astype(np.float32)

    found = additive_scores(query, keys, coverage, vector, of_coverage)

    wanted = [
        [[vector @ np.tanh(q + k + c * of_coverage) for k, c in zip(keys[b], coverage[b, t], strict=True)]
         for t, q in enumerate(query[b])] for b in range(2)
    ]  # fmt: skip
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
