"""Averages over models, and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest
from fake_models import Bigram, Counting, Remembering
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.api import Document
from lmtool.errors import UsageError
from lmtool.posterior import SampledClassifier, SampledLanguageModel, Samples, entropy, log_mean, parse

ONE = Bigram([[0.5, 0.5], [0.2, 0.8]])
OTHER = Bigram([[0.1, 0.9], [1.0, 0.0]])


class Fixed:
    """A classifier that says the same of every document."""

    vocab_size, multi_label = 4, False

    def __init__(self, probabilities, *, multi_label=False):
        self.labels = tuple("abcdefgh"[: len(probabilities)])
        self.multi_label = multi_label
        with np.errstate(divide="ignore"):
            self.row = np.log(np.asarray(probabilities, np.float64))

    def log_probs(self, documents):
        return np.tile(self.row, (len(documents), 1))


DOCUMENTS = [Document(np.zeros(1, np.int32), "a"), Document(np.zeros(1, np.int32), "b")]


def test_the_next_token_has_the_average_of_the_samples_probabilities():
    model = SampledLanguageModel([ONE, OTHER])

    scores, state = model.score(np.array([[1, 0]]), model.initial_state(1))

    # after the start 1 has 0.5 and 0.9, after it 0 has 0.2 and 1
    np.testing.assert_allclose(np.exp(scores), [[0.7, 0.6]], rtol=1e-12)
    # after 0 again: 0.5 and 0.1, 0.5 and 0.9
    np.testing.assert_allclose(np.exp(model.next_log_probs(state)), [[0.3, 0.7]], rtol=1e-12)


def test_each_sample_keeps_a_state_of_its_own_and_pieces_equal_the_whole():
    model = SampledLanguageModel([Remembering(5), Bigram(np.random.default_rng(1).dirichlet(np.ones(5), 5))])
    ids = np.random.default_rng(2).integers(0, 5, (3, 12))

    whole, after = model.score(ids, model.initial_state(3))
    first, state = model.score(ids[:, :5], model.initial_state(3))
    second, state = model.score(ids[:, 5:], state)

    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, rtol=1e-12)
    np.testing.assert_allclose(np.exp(model.next_log_probs(state)).sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(model.next_log_probs(state), model.next_log_probs(after))


def test_what_no_sample_thinks_possible_is_impossible():
    never = Bigram([[1.0, 0.0], [1.0, 0.0]])

    assert log_mean([never.log_table, never.log_table])[0, 1] == -np.inf
    assert np.exp(log_mean([never.log_table, ONE.log_table])[0, 1]) == pytest.approx(0.25)


def test_a_classifiers_probabilities_are_averaged_and_its_doubt_is_told_apart():
    # two samples that are sure of different classes: ln 2 nats of doubt, all of it about the weights
    model = SampledClassifier([Fixed([1, 0]), Fixed([0, 1])])

    found = model.predictive(DOCUMENTS)

    np.testing.assert_allclose(np.exp(model.log_probs(DOCUMENTS)), np.full((2, 2), 0.5), rtol=1e-12)
    np.testing.assert_allclose(found.log_probs, model.log_probs(DOCUMENTS), rtol=1e-12)
    np.testing.assert_allclose(found.entropy, np.log(2), rtol=1e-12)
    np.testing.assert_allclose(found.mutual_information, np.log(2), rtol=1e-12)


def test_samples_that_agree_leave_no_doubt_about_the_weights():
    model = SampledClassifier([Fixed([0.25, 0.75])] * 7)

    found = model.predictive(DOCUMENTS)

    # -(1/4 ln 1/4 + 3/4 ln 3/4)
    np.testing.assert_allclose(found.entropy, 0.562335144618808, rtol=1e-12)
    np.testing.assert_allclose(found.mutual_information, 0.0, atol=1e-15)


def test_entropies_of_labels_add_up_where_there_may_be_several():
    log_probs = Fixed([0.5, 1.0, 0.25, 0.0], multi_label=True).row[None]

    # a coin, two labels that are sure, and -(1/4 ln 1/4 + 3/4 ln 3/4)
    np.testing.assert_allclose(entropy(log_probs, multi_label=True), [np.log(2) + 0.562335144618808], rtol=1e-12)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(2, 5), st.booleans(), st.integers(0, 1000))
def test_mutual_information_lies_between_zero_and_the_entropy(count, classes, multi_label, seed):
    rng = np.random.default_rng(seed)
    rows = rng.uniform(size=(count, classes)) if multi_label else rng.dirichlet(np.full(classes, 0.3), count)

    found = SampledClassifier([Fixed(row, multi_label=multi_label) for row in rows]).predictive(DOCUMENTS)

    assert (found.mutual_information >= 0).all()
    assert (found.mutual_information <= found.entropy + 1e-12).all()
    total = np.exp(found.log_probs).sum(axis=1)
    np.testing.assert_allclose(total, rows.mean(axis=0).sum(), rtol=1e-12)


def test_any_classifier_can_be_a_sample():
    model = SampledClassifier([Counting(), Counting()])

    np.testing.assert_allclose(model.log_probs(DOCUMENTS), Counting().log_probs(DOCUMENTS), rtol=1e-12)
    assert (model.labels, model.vocab_size, model.multi_label) == (("a", "b", "c"), 5, False)


def test_how_to_use_a_posterior_is_read_from_text():
    assert parse("mean", 3) is None
    assert parse("samples:12", 3) == Samples(12, 3)
    assert str(Samples(12)) == "samples:12"


@pytest.mark.parametrize(
    "text", ["samples:0", "samples:00", "samples", "samples:", "samples:-1", "samples:1.5", "Mean", ""]
)
def test_anything_else_is_no_way_to_use_a_posterior(text):
    with pytest.raises(UsageError, match="must be mean or samples:K"):
        parse(text, 0)


def test_a_negative_seed_is_refused():
    with pytest.raises(UsageError, match="seed must be at least 0, got -1"):
        parse("mean", -1)
