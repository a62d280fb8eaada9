"""The linear model: what it counts, how it weighs, and what its probabilities are."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import MultinomialNB
from sklearn.svm import LinearSVC

from lmtool.api import Document
from lmtool.config import DataConfig, choose, choose_inline
from lmtool.data.prepare import build, make_plan
from lmtool.errors import ConfigError, DataError
from lmtool.raw_config import Raw
from lmtool.registry import Registry
from lmtool.testing.corpus import labelled_dataset, labelled_documents
from lmtool_linear.config import LinearConfig
from lmtool_linear.features import WORD, Features
from lmtool_linear.model import Linear
from lmtool_linear.sharpness import best_temperature, log_probs_of
from lmtool_linear.weights import log_count_ratios

REGISTRY = Registry()


def linear(**config):
    return Linear(LinearConfig.model_validate(config))


def fit(dataset, **config):
    return linear(**config).fit(dataset, progress=lambda phase, fraction: None, scratch=None)


def documents(*texts):
    return [Document(np.zeros(0, np.int32), text) for text in texts]


def make(folder, rows, **splits):
    """A dataset of rows `(text, label)`."""
    folder.mkdir(exist_ok=True)
    files = {}
    for name, part in {"train": rows, **splits}.items():
        files[name] = [str(folder / f"{name}.jsonl")]
        lines = [json.dumps({"text": text, "label": label}) for text, label in part]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    data = DataConfig.model_validate({**files, "label": "label"})
    tokenizer = choose(Raw({"tokenizer": {"name": "word"}}), "tokenizer", REGISTRY)
    return build(make_plan(data, tokenizer, REGISTRY), folder / "dataset", force=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return labelled_dataset(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="module")
def texts():
    rows = labelled_documents()
    return [row["text"] for row in rows[:160]], [row["text"] for row in rows[200:]]


def terms(config, *texts):
    features = Features(LinearConfig.model_validate({"min_count": 1, **config}), eos_id=0)
    features.fit(documents(*texts))
    return features.terms()


# Features -------------------------------------------------------------------------------------------------------------


def test_words_are_runs_of_letters_single_signs_and_single_han_characters():
    assert terms({"words": 1}, "It's 你好, x2!") == {"words": ["!", "'", ",", "it", "s", "x2", "你", "好"]}


def test_n_grams_of_words_reach_over_line_ends_and_keep_case_if_asked():
    assert terms({"words": 2, "lowercase": False}, "A b\nA") == {"words": ["A", "A b", "b", "b A"]}


def test_n_grams_of_tokens_end_with_the_line():
    features = Features(LinearConfig(words=2, min_count=1, unit="token"), eos_id=9)
    features.fit([Document(np.array([4, 5, 9, 6, 9], np.int32), "")])

    assert features.terms() == {"tokens": ["4", "4 5", "5", "6"]}


def test_rare_n_grams_are_left_out_and_none_at_all_is_an_error():
    assert terms({"words": 1, "min_count": 2}, "a b", "a c") == {"words": ["a"]}
    with pytest.raises(DataError, match="no n-gram is in 2 of the 2 training documents"):
        terms({"words": 1, "min_count": 2}, "a b", "c d")


def test_vectors_are_those_of_scikit_learn_and_have_length_one(texts):
    features = Features(LinearConfig(), eos_id=0)
    found = features.fit(documents(*texts[0]))
    expected = TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    wanted = expected.fit_transform(texts[0])

    np.testing.assert_allclose(found.toarray(), wanted.toarray(), rtol=0, atol=1e-6)
    both = Features(LinearConfig(chars=[2, 3]), eos_id=0).fit(documents(*texts[0]))
    np.testing.assert_allclose(both.multiply(both).sum(axis=1), 1, rtol=0, atol=1e-5)


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("svm", LinearSVC(random_state=0)),
        ("logistic", LogisticRegression(max_iter=1000)),
        ("naive-bayes", MultinomialNB(alpha=0.1)),
    ],
)
def test_decisions_are_those_of_scikit_learn(dataset, texts, name, peer):
    model = fit(dataset, classifier=name)
    x = Features(LinearConfig(), dataset.eos_id)
    vectors, y = x.fit(documents(*texts[0])), dataset.split("train").label_ids

    predicted = model.log_probs(documents(*texts[1])).argmax(axis=1)

    assert (predicted == peer.fit(vectors, y).predict(x.transform(documents(*texts[1])))).all()


def test_logistic_regression_keeps_its_own_probabilities(dataset, texts):
    model = fit(dataset, classifier="logistic")
    features = Features(LinearConfig(), dataset.eos_id)
    peer = LogisticRegression(max_iter=1000).fit(features.fit(documents(*texts[0])), dataset.split("train").label_ids)

    expected = peer.predict_log_proba(features.transform(documents(*texts[1])))

    np.testing.assert_allclose(model.log_probs(documents(*texts[1])), expected, rtol=0, atol=1e-4)


def test_log_count_ratios_count_a_document_once(tmp_path):
    features = Features(LinearConfig(words=1, min_count=1), eos_id=0)
    x = features.fit(documents("a a a b", "a", "b b"))
    has = np.array([True, True, False])

    # Columns a, b. Inside: a in 2 documents, b in 1; outside: a in 0, b in 1; 1 is added to each.
    inside, outside = np.array([3, 2]) / 5, np.array([1, 2]) / 3
    np.testing.assert_allclose(log_count_ratios(x, has, 1.0), np.log(inside / outside), rtol=1e-6)


def test_nb_svm_without_interpolation_weighs_by_ratios_alone(tmp_path):
    rows = [("good film", "p"), ("good plot", "p"), ("bad film", "n"), ("bad plot", "n")] * 5
    model = fit(make(tmp_path / "d", rows), words=1, nb_features=True, nb_interpolation=0.0, tf="binary", idf=False)
    column = {term: i for i, term in enumerate(model.features.terms()["words"])}
    positive = model.weights.matrix[list(model.labels).index("p")]

    # The ratio of `film` is log 1 = 0: whatever the classifier thinks of it, it has no weight.
    assert positive[column["film"]] == pytest.approx(0, abs=1e-6)
    assert positive[column["good"]] == pytest.approx(-positive[column["bad"]], rel=1e-4)
    assert positive[column["good"]] > 0


def test_a_class_that_counts_more_is_said_more_often(tmp_path):
    rows = [("same words", "a")] * 6 + [("same words", "b")] * 4
    dataset = make(tmp_path / "d", rows)
    say = documents("same words")

    plain = fit(dataset, classifier="naive-bayes").log_probs(say)[0]
    weighted = fit(dataset, classifier="naive-bayes", class_weights={"b": 2.0}).log_probs(say)[0]

    assert plain.argmax() == 0
    assert weighted.argmax() == 1  # 2 · 4 against 6


def test_class_weights_of_no_class_are_refused(dataset):
    with pytest.raises(ConfigError, match="names 'trad', which is no class"):
        fit(dataset, class_weights={"trad": 2.0})


# Probabilities --------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 50))
def test_the_temperature_is_where_the_log_loss_is_least(seed, true_temperature):
    rng = np.random.default_rng(seed)
    decisions = rng.normal(size=(400, 3)) * true_temperature
    log_probs = log_probs_of(decisions, true_temperature, multi_label=False)
    y = np.array([rng.choice(3, p=np.exp(row)) for row in log_probs])

    found = best_temperature(decisions, y)

    def loss(temperature):
        return log_loss(y, np.exp(log_probs_of(decisions, temperature, multi_label=False)), labels=[0, 1, 2])

    assert loss(found) <= min(loss(0.9 * found), loss(1.1 * found)) + 1e-9


def test_probabilities_do_not_promise_more_than_they_hold(tmp_path):
    """Labels are coin flips: a classifier that learns them by heart must not be sure of the next one."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(40)]
    rows = [(" ".join(rng.choice(words, 8)), str(rng.integers(2))) for _ in range(400)]
    model = fit(make(tmp_path / "d", rows), words=1, C=100.0)

    fresh = documents(*(" ".join(rng.choice(words, 8)) for _ in range(100)))
    surest = np.exp(model.log_probs(fresh)).max(axis=1)

    assert surest.mean() < 0.65


def test_a_class_without_a_training_document_is_possible_but_unlikely(tmp_path):
    from lmtool.data.subset import write_subset

    rows = [("good film", "p"), ("bad film", "n"), ("odd film", "o")] * 4
    whole = make(tmp_path / "d", rows)
    some = write_subset(whole, tmp_path / "some", {"train": ("train", [i for i in range(12) if i % 3 != 2])})
    model = fit(some, words=1)

    probs = np.exp(model.log_probs(documents("good film", "odd")))

    # 8 documents, and one more as if of class `o`
    np.testing.assert_allclose(probs[:, list(model.labels).index("o")], 1 / 9, rtol=1e-6)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=0, atol=1e-9)


def test_one_class_is_certain(tmp_path):
    model = fit(make(tmp_path / "d", [("a b", "x"), ("a c", "x")]))

    assert model.log_probs(documents("a", "")).tolist() == [[0.0], [0.0]]


def test_a_label_that_every_document_has_is_likely_and_one_that_none_has_is_not(tmp_path):
    rows = [("good film", ["film", "p"]), ("bad film", ["film", "n"])] * 5
    model = fit(make(tmp_path / "d", rows), words=1)
    probs = dict(zip(model.labels, np.exp(model.log_probs(documents("good film")))[0], strict=True))

    assert probs["film"] > 0.5
    assert probs["p"] > 0.5 > probs["n"]


def test_settings_that_count_nothing_are_refused():
    with pytest.raises(ConfigError, match="nothing is counted"):
        choose_inline("model", {"name": "linear", "words": 0}, REGISTRY, "model")
    with pytest.raises(ConfigError, match="nb_features has no use with classifier 'ridge'"):
        choose_inline("model", {"name": "linear", "nb_features": True, "classifier": "ridge"}, REGISTRY, "model")
    with pytest.raises(ConfigError, match="the shortest and the longest"):
        choose_inline("model", {"name": "linear", "chars": [5, 2]}, REGISTRY, "model")
