"""The embedding bag: features, gradients, determinism, labels, and what is saved."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from lmtool.api import Document
from lmtool.errors import DataError
from lmtool_bag.config import BagConfig
from lmtool_bag.features import Bags, Features, KeyTable, block_keys, learn_features
from lmtool_bag.model import EmbeddingBag, fit_documents
from lmtool_bag.scoring import averaged
from lmtool_bag.storage import Facts
from lmtool_bag.training import Labels, Trainer, Weights, initial

EOS = 0
FRUIT = ["red apple pie", "sour apple", "apple and pear", "ripe pear"]
CARS = ["fast red car", "car and engine", "an engine", "old car, new engine"]


def document(text, ids=()):
    return Document(np.asarray(ids, np.int32), text)


def keys_of(text, **config):
    keys, _ = block_keys([document(text)], BagConfig(**config), EOS)
    return keys.tolist()


def single(ids, classes):
    ids = np.asarray(ids, np.int32)
    return Labels(ids, np.arange(len(ids) + 1), classes, multi=False)


def fit(texts=tuple(FRUIT + CARS), labels=None, names=("fruit", "cars"), **config):
    labels = labels or single([0] * len(FRUIT) + [1] * len(CARS), 2)
    settings = {"min_count": 1, "dim": 8, "epochs": 30, "batch_size": 4, "learning_rate": 0.05, **config}
    documents = (document(text) for text in texts)
    return fit_documents(documents, labels, BagConfig(**settings), Facts(names, labels.multi, 7, EOS))


def test_words_are_runs_of_letters_and_digits_in_any_case():
    assert keys_of("Don't  STOP-2day_x", word_ngrams=1) == [
        key for word in ["don", "t", "stop", "2day_x"] for key in keys_of(word, word_ngrams=1)
    ]
    assert keys_of("Über", word_ngrams=1) == keys_of("über", word_ngrams=1)
    assert keys_of("Up", word_ngrams=1, lowercase=False) != keys_of("up", word_ngrams=1, lowercase=False)


def test_chinese_characters_are_words_and_its_punctuation_is_not():
    assert keys_of("好吃，量大。", word_ngrams=1) == [key for one in "好吃量大" for key in keys_of(one, word_ngrams=1)]


def test_marks_are_words_if_wanted():
    assert len(keys_of("wow!!", word_ngrams=1)) == 1
    assert keys_of("wow!!", word_ngrams=1, punctuation=True)[1:] == keys_of("! !", word_ngrams=1, punctuation=True)


def test_ngrams_are_features_beside_words():
    three = keys_of("a b c", word_ngrams=3)

    # 3 words, 2 bigrams, 1 trigram
    assert len(set(three)) == 6
    assert three[3:5] == keys_of("a b", word_ngrams=2)[2:] + keys_of("b c", word_ngrams=2)[2:]
    assert [key % 2 for key in three] == [0, 0, 0, 1, 1, 1]


def test_char_ngrams_see_the_ends_of_a_word():
    # <cät> with its two ends has 5 characters: 3 trigrams, 2 of four
    keys = keys_of("cät", word_ngrams=1, char_ngrams=[3, 4])

    assert len(set(keys)) == 1 + 3 + 2
    assert keys_of("cät", word_ngrams=1, char_ngrams=[3, 3])[1] in keys  # "<cä"
    assert len(set(keys) & set(keys_of("cätch", word_ngrams=1, char_ngrams=[3, 4]))) == 3  # <cä cät <cät


def test_buckets_bound_the_ngrams_and_leave_the_words():
    text = " ".join(f"word{i}" for i in range(50))
    exact, hashed = keys_of(text), keys_of(text, buckets=5)

    assert hashed[:50] == exact[:50]
    assert len(set(exact[50:])) == 49
    assert len(set(hashed[50:])) <= 5


def test_tokens_are_features_and_line_ends_are_not():
    config = BagConfig(units="tokens", word_ngrams=2)
    with_ends, _ = block_keys([document("", [5, EOS, 6, EOS])], config, EOS)
    without, _ = block_keys([document("", [5, 6])], config, EOS)

    assert len(without) == 3
    np.testing.assert_array_equal(with_ends, without)


def test_a_table_of_keys_grows_and_keeps_its_numbers():
    keys = np.random.default_rng(0).integers(1 << 63, size=100_000, dtype=np.uint64)
    table = KeyTable()
    first = table.numbers(keys[:10], learn=True)
    table.numbers(keys, learn=True)

    assert first.tolist() == list(range(10))
    np.testing.assert_array_equal(table.numbers(keys, learn=False), np.arange(100_000))
    assert table.numbers(np.array([1], np.uint64), learn=False).tolist() == [-1]


def test_tf_idf_is_that_of_its_definition():
    config = BagConfig(word_ngrams=1, min_count=1)
    features, bags = learn_features((document(text) for text in ["a a b", "b c"]), config, EOS)

    # b stands in both documents and comes first: idf 1; the others 1 + ln(3 / 2). "a" twice counts 1 + ln 2.
    rare = 1 + np.log(1.5)
    raw = np.array([(1 + np.log(2)) * rare, 1.0])
    np.testing.assert_allclose(bags.weights[:2], raw / np.linalg.norm(raw), rtol=1e-6)
    np.testing.assert_allclose(features.idf, [1, rare, rare], rtol=1e-6)
    assert bags.rows[1] == 0


def test_rare_features_are_left_out_and_shares_add_up_to_one():
    config = BagConfig(word_ngrams=1, min_count=2, weighting="mean")
    features, bags = learn_features((document(text) for text in ["a a b", "b c a", "d"]), config, EOS)

    assert len(features) == 2
    np.testing.assert_allclose(bags.weights, [2 / 3, 1 / 3, 1 / 2, 1 / 2])
    assert bags.starts.tolist() == [0, 2, 4, 4]


def jax_loss(weights, bags, labels, smoothing):
    """Sum over documents, in plain JAX."""
    dense = np.zeros((len(bags), len(weights.table)), np.float32)
    for i in range(len(bags)):
        part = slice(bags.starts[i], bags.starts[i + 1])
        np.add.at(dense[i], bags.rows[part], bags.weights[part])
    share = smoothing / (2 if labels.multi else labels.classes)
    targets = np.full((len(bags), labels.classes), share, np.float32)
    for i in range(len(bags)):
        targets[i, labels.ids[labels.starts[i] : labels.starts[i + 1]]] += 1 - smoothing

    def loss(table, output, bias):
        logits = dense @ table @ output.T + bias[None]
        if labels.multi:
            return jnp.sum(jnp.logaddexp(logits, 0.0) - targets * logits)
        return -jnp.sum(targets * jax.nn.log_softmax(logits))

    return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*weights)


BAGS = Bags(
    np.array([0, 1, 2, 1, 3, 4, 0], np.int32), np.linspace(0.2, 0.9, 7, dtype=np.float32), np.array([0, 3, 5, 7])
)
SEVERAL = Labels(np.array([0, 2, 1], np.int32), np.array([0, 2, 2, 3]), 3, multi=True)


@pytest.mark.parametrize("labels", [single([2, 0, 1], 3), SEVERAL])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradients_are_those_of_autodiff(labels, smoothing):
    config = BagConfig(dim=5, label_smoothing=smoothing, batch_size=3)
    rng = np.random.default_rng(0)
    weights = initial(config, 0, 6, 3)
    for array in weights:
        array[..., : config.dim] = rng.normal(size=array[..., : config.dim].shape)
    before = Weights(*(array.copy() for array in weights))
    trainer = Trainer(BAGS, labels, config, weights, rng)
    documents = np.arange(3, dtype=np.int32)

    loss, grads = jax_loss(before, BAGS, labels, smoothing)
    my_loss = trainer.step(documents, 0.01)

    assert my_loss == pytest.approx(float(loss) / 3, rel=1e-5)
    # Adam's first step is the learning rate times the sign of each gradient; a row's has the length sqrt(E) * rate.
    table_grad = np.asarray(grads[0])
    scale = np.sqrt(np.mean(table_grad**2, axis=1, keepdims=True))
    moved = np.divide(table_grad, scale, out=np.zeros_like(table_grad), where=scale > 0)
    np.testing.assert_allclose(before.table - weights.table, 0.01 * moved, atol=2e-6)
    for mine, old, grad in zip(weights[1:], before[1:], grads[1:], strict=True):
        np.testing.assert_allclose(old - mine, 0.01 * np.sign(grad), atol=2e-6)
    # Feature 5 stands in no document.
    np.testing.assert_array_equal(weights.table[5], before.table[5])


def test_a_row_that_is_moved_twice_takes_adams_second_step():
    config, labels = BagConfig(dim=16, batch_size=1), single([0, 1], 2)
    bags = Bags(np.array([0, 0], np.int32), np.ones(2, np.float32), np.array([0, 1, 2]))
    trainer = Trainer(bags, labels, config, initial(config, 0, 1, 2), np.random.default_rng(0))
    moment, table = 0.0, trainer.weights.table.astype(np.float64)
    for step, one in enumerate([0, 1], 1):
        part = Bags(bags.rows[:1], bags.weights[:1], bags.starts[:2])
        grad = np.asarray(jax_loss(trainer.weights, part, single([one], 2), 0.0)[1][0])
        moment = 0.999 * moment + 0.001 * np.mean(grad**2)
        table -= 0.1 * grad / (np.sqrt(moment / (1 - 0.999**step)) + 1e-8)
        trainer.step(np.array([one], np.int32), 0.1)

    np.testing.assert_allclose(trainer.weights.table, table, atol=1e-5)


def long_texts():
    rng = np.random.default_rng(0)
    return [" ".join(f"w{i}" for i in rng.zipf(1.3, 400) % 3000) for _ in range(40)]


@pytest.mark.parametrize("members", [1, 3])
def test_the_number_of_threads_changes_nothing(members):
    settings = {"members": members, "epochs": 2, "batch_size": 16, "dropout": 0.3, "word_dropout": 0.2}
    labels = single(np.arange(40) % 4, 4)

    one, two, five = (
        fit(long_texts(), labels, tuple("abcd"), threads=threads, **settings).scorer for threads in (1, 2, 5)
    )

    for other in (two, five):
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_the_seed_decides():
    assert np.array_equal(fit(seed=1).scorer.table, fit(seed=1).scorer.table)
    assert not np.array_equal(fit(seed=1).scorer.table, fit(seed=2).scorer.table)


def test_it_learns_and_says_the_same_of_a_document_beside_any_others():
    model = fit(dropout=0.2, word_dropout=0.1, members=2)
    documents = [document(text) for text in ["a ripe apple", "the old engine", "", "unheard of"]]

    log_probs = model.log_probs(documents)
    alone = np.concatenate([model.log_probs([one]) for one in documents])

    assert log_probs.dtype == np.float64
    assert log_probs[:2].argmax(axis=1).tolist() == [0, 1]
    np.testing.assert_array_equal(log_probs, alone)
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, rtol=1e-12)
    # Nothing known in either: what is left is the bias.
    np.testing.assert_array_equal(log_probs[2], log_probs[3])
    assert model.log_probs([]).shape == (0, 2)


def test_documents_may_have_any_number_of_labels():
    texts = ["red", "blue", "red blue", "grey"] * 3
    labels = Labels(np.array([0, 1, 0, 1] * 3, np.int32), np.array([0, 1, 2, 4, 4] * 1), 2, multi=True)
    starts = np.concatenate([[0], np.cumsum([1, 1, 2, 0] * 3)])
    model = fit(texts, Labels(labels.ids, starts, 2, multi=True), ("red", "blue"), epochs=60)

    probs = np.exp(model.log_probs([document(text) for text in ["red", "blue", "red blue", "grey"]]))

    np.testing.assert_array_equal(probs > 0.5, [[1, 0], [0, 1], [1, 1], [0, 0]])


@pytest.mark.parametrize("classes", [3, 40])
def test_members_are_the_mean_of_their_logits(classes):
    # With 40 classes two members of 8 numbers a feature are kept apart, else multiplied out.
    config, rng = BagConfig(dim=8), np.random.default_rng(0)
    members = [initial(config, member, 5, classes) for member in range(2)]
    members = [Weights(one.table, one.output, rng.normal(size=classes).astype(np.float32)) for one in members]
    dense = np.zeros((3, 5))
    for i in range(3):
        part = slice(BAGS.starts[i], BAGS.starts[i + 1])
        dense[i, BAGS.rows[part]] = BAGS.weights[part]
    logits = np.mean([dense @ one.table @ one.output.T + one.bias for one in members], axis=0)

    log_probs = averaged(members, 2).log_probs(BAGS, multi_label=False)

    np.testing.assert_allclose(log_probs, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), atol=1e-5)


def test_what_is_saved_says_the_same(tmp_path):
    model = fit(word_ngrams=2, char_ngrams=[2, 3])
    model.save(tmp_path)
    loaded = EmbeddingBag(model.config).load(tmp_path)
    documents = [document(text) for text in [*FRUIT, *CARS]]

    np.testing.assert_array_equal(loaded.log_probs(documents), model.log_probs(documents))
    assert (loaded.labels, loaded.multi_label, loaded.vocab_size) == (("fruit", "cars"), False, 7)


@pytest.mark.parametrize("name", ["bag.npz", "bag.json"])
def test_a_damaged_file_is_named(tmp_path, name):
    fit().save(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-30])

    with pytest.raises(DataError, match=rf"{name} is damaged"):
        EmbeddingBag(BagConfig()).load(tmp_path)


def test_arrays_that_do_not_go_together_are_damaged(tmp_path):
    fit().save(tmp_path)
    record = json.loads((tmp_path / "bag.json").read_text())
    (tmp_path / "bag.json").write_text(json.dumps({**record, "labels": ["one"]}))

    with pytest.raises(DataError, match="do not go together"):
        EmbeddingBag(BagConfig()).load(tmp_path)


def test_without_a_frequent_word_there_is_nothing_to_train_on():
    with pytest.raises(DataError, match="no word stands in 9 training documents"):
        fit(min_count=9)


@pytest.mark.parametrize("wrong", [{"char_ngrams": [3]}, {"char_ngrams": [4, 3]},
                                   {"char_ngrams": [2, 3], "units": "tokens"}])  # fmt: skip
def test_char_ngrams_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError, match="char_ngrams"):
        BagConfig(**wrong)


def test_features_of_many_documents_come_in_blocks(monkeypatch):
    monkeypatch.setattr("lmtool_bag.features.BLOCK", 10)
    config = BagConfig(min_count=1)
    features, bags = learn_features((document(text) for text in FRUIT + CARS), config, EOS)
    parts = list(Features(config, EOS, features.keys, features.idf).bags(document(text) for text in FRUIT + CARS))

    assert len(parts) > 2
    np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), bags.rows)
    np.testing.assert_array_equal(np.concatenate([part.weights for part in parts]), bags.weights)
