"""A language model a class, and Bayes' rule."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lmtool.api import Document
from lmtool.config import choose_inline
from lmtool.data.subset import write_subset
from lmtool.errors import ConfigError, DataError
from lmtool.registry import Registry
from lmtool.tasks.classify.generative import Generative, document_log_probs
from lmtool.testing import Subject, classifiers
from lmtool.testing.corpus import labelled_dataset


def subject(**config):
    choice = choose_inline("model", {"name": "ngram", **config}, Registry(), "model")
    return Subject(choice.found, choice.config)


def quiet(phase, fraction):
    pass


@pytest.mark.parametrize("check", classifiers.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("order", [1, 2])
def test_ngrams_are_classifiers(check, order):
    check(subject(order=order, smoothing="witten-bell"))


class Uniform:
    """Gives each token 1/V; with a state, the number of tokens read."""

    def __init__(self, vocab_size, stateful=False):
        self.vocab_size, self.stateful = vocab_size, stateful

    def initial_state(self, batch_size):
        return np.zeros(batch_size)

    def score(self, ids, state):
        # A later token is likelier, so that a state that leaks from one document to the next would show.
        read = state[:, None] + np.arange(ids.shape[1])
        log_probs = -np.log(self.vocab_size) + (0.001 * read if self.stateful else 0 * read)
        return log_probs, state + ids.shape[1]


class Uniforms:
    """Fits `Uniform` over as many words as the class has documents."""

    def fit(self, dataset, *, progress, scratch):
        return Uniform(dataset.split("train").num_documents)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return labelled_dataset(tmp_path_factory.mktemp("classes"))


def document(length):
    return Document(np.zeros(length, np.int32), "")


def test_bayes_rule_by_hand(dataset, tmp_path):
    counts = np.bincount(dataset.split("train").label_ids)
    model = Generative(Uniforms()).fit(dataset, progress=quiet, scratch=tmp_path)

    found = np.exp(model.log_probs([document(0), document(2)]))

    prior = (counts + 1) / (counts + 1).sum()
    posterior = prior / counts**2.0
    np.testing.assert_allclose(found, [prior, posterior / posterior.sum()], rtol=1e-9)


def test_a_stateful_model_reads_each_document_from_a_fresh_state():
    model = Uniform(10, stateful=True)
    lengths = [0, 1, 5, 200, 3] + [7] * 40

    found = document_log_probs(model, [document(length) for length in lengths])

    # Token t of a document has log(1/10) + t/1000, whatever else was read.
    expected = [-length * math.log(10) + 0.001 * length * (length - 1) / 2 for length in lengths]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_class_without_a_document_has_its_prior(dataset, tmp_path):
    y = dataset.split("train").label_ids
    some = write_subset(dataset, tmp_path / "some", {"train": ("train", np.flatnonzero(y != 1))})
    (tmp_path / "scratch").mkdir()
    model = Generative(Uniforms()).fit(some, progress=quiet, scratch=tmp_path / "scratch")

    probs = np.exp(model.log_probs([document(3)]))[0]

    assert probs[1] == pytest.approx(1 / ((y != 1).sum() + 3))
    assert probs.sum() == pytest.approx(1)


def test_documents_with_several_labels_are_refused(tmp_path):
    several = labelled_dataset(tmp_path / "data", multi=True)
    with pytest.raises(ConfigError, match="may have several labels"):
        Generative(Uniforms()).fit(several, progress=quiet, scratch=tmp_path)


def test_a_damaged_description_is_named(dataset, tmp_path):
    made = choose_inline("model", {"name": "ngram", "order": 1}, Registry(), "model")
    (tmp_path / "generative.json").write_text('{"format": 1, "labels": ["a"], "counts": []}')
    with pytest.raises(DataError, match=r"generative\.json is damaged"):
        Generative(made.load()(made.config)).load(tmp_path)
