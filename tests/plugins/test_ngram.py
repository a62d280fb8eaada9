"""The n-gram model in use: scores, unknown words, states, storage."""

from __future__ import annotations

import json
import logging
import math
import pickle
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram_reference import BOS, Reference

from lmtool.errors import DataError
from lmtool_ngram.config import NgramConfig
from lmtool_ngram.model import Ngram, fit_ids
from lmtool_ngram.tables.scoring import NOTHING
from lmtool_ngram.tables.storage import RECORD

A, B, C, UNK, EOS = range(5)
NAMES = "abc?"
TEXT = "ab ab ac abc b?c a"

corpora = st.lists(st.lists(st.integers(0, 4), max_size=7), min_size=1, max_size=12)


def stream(lines, eos_id):
    return np.array([word for line in lines for word in (*line, eos_id)], dtype=np.int32)


def encode(text):
    return stream([[NAMES.index(word) for word in line] for line in text.split(" ")], EOS)


class FakeDataset:
    """What `fit` asks of a dataset."""

    path = "data"

    def __init__(self, ids, unk_id=UNK):
        self.ids = ids
        self.tokenizer = SimpleNamespace(vocab_size=5, eos_id=EOS, unk_id=unk_id)

    def split(self, name):
        assert name == "train"
        return SimpleNamespace(num_tokens=len(self.ids), read=lambda start, stop: self.ids[start:stop])


def fit(text=TEXT, order=3, unknown="word", **tokenizer):
    config = NgramConfig(order=order, unknown=unknown)
    return fit_dataset(FakeDataset(encode(text), **tokenizer), config)


def fit_dataset(dataset, config, progress=lambda phase, fraction: None):
    with tempfile.TemporaryDirectory() as scratch:
        return Ngram(config).fit(dataset, progress=progress, scratch=Path(scratch))


def score(model, ids):
    return model.score(ids[None], model.initial_state(1))[0][0]


def after(model, text):
    """p(a), p(b), p(c), p(?), p(end) after the words of a line."""
    ids = encode(text)[None, :-1]
    return np.exp(model.next_log_probs(model.score(ids, model.initial_state(1))[1])[0])


@pytest.fixture
def model():
    return fit()


@given(lines=corpora, order=st.integers(1, 4), history=st.lists(st.integers(0, 6), max_size=6))
@settings(max_examples=150, deadline=None)
def test_every_distribution_equals_the_reference_and_sums_to_one(lines, order, history):
    # Words 5 and 6 are in the vocabulary and not in the text; 7 is the end of a line.
    model, expected = fit_ids(stream(lines, 7), order, 8, 7), Reference(lines, order, 8, 7, as_lmplz=True)
    _, state = model.score(np.array([history], dtype=np.int32).reshape(1, -1), model.initial_state(1))

    probs = np.exp(model.next_log_probs(state)[0])

    assert probs.sum() == pytest.approx(1, abs=1e-6)
    assert probs == pytest.approx([expected.prob(word, (BOS, *history)) for word in range(8)], rel=1e-5)


@given(lines=corpora, text=corpora, order=st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_scores_of_a_text_equal_the_reference(lines, text, order):
    model, expected = fit_ids(stream(lines, 5), order, 6, 5), Reference(lines, order, 6, 5, as_lmplz=True)

    scores = score(model, stream(text, 5))

    words = [(word, (BOS, *line[:i])) for line in text for i, word in enumerate([*line, 5])]
    assert np.exp(scores) == pytest.approx([expected.prob(*word) for word in words], rel=1e-5)


@pytest.mark.parametrize("vocab_size", [1 << 16, (1 << 16) + 1, 1 << 20])
def test_any_size_of_vocabulary_will_do(vocab_size):
    spread = vocab_size - 1 - np.arange(5) * (vocab_size // 7)
    small, large = fit_ids(encode(TEXT), 4, 5, EOS), fit_ids(spread[encode(TEXT)], 4, vocab_size, int(spread[EOS]))
    everything = encode("abcab ?a cbb")

    # Only the part of 1/V in each probability differs: it tends to nothing as V grows.
    longest = small.match(everything[None], small.initial_state(1))[1]
    assert (large.match(spread[everything][None], large.initial_state(1))[1] == longest).all()
    assert np.exp(large.next_log_probs(large.initial_state(1))).sum() == pytest.approx(1, abs=1e-6)


def test_bigrams_worked_by_hand():
    # "ab ab ac" has D = 1/3, 3/2, 3 for bigrams (see test_ngram_counting) and 0.5, 1, 1.5 for unigrams, where a, b, c
    # follow one word each, the end two. V = 5: p(a) = 0.5/5 + 1/2 · 1/5 = 0.2, p(end) = 1/5 + 1/10 = 0.3.
    model = fit("ab ab ac", order=2)

    # ab 2, ac 1: b(a) = (3/2 + 1/3) / 3 = 11/18
    expected = [11 / 18 * 0.2, 1 / 6 + 11 / 18 * 0.2, 2 / 9 + 11 / 18 * 0.2, 11 / 18 * 0.1, 11 / 18 * 0.3]
    assert after(model, "a") == pytest.approx(expected)
    assert math.exp(score(model, encode("ab"))[1]) == pytest.approx(expected[B])


def test_a_context_that_was_never_seen_backs_off_at_no_cost(model):
    assert after(model, "?cccc") == pytest.approx(after(model, "??cccc"))
    assert after(model, "bbb") == pytest.approx(after(model, "ccbb"))


def test_each_line_starts_anew(model):
    ids = encode("abc b a")

    singly = np.concatenate([score(model, encode(line)) for line in ("abc", "b", "a")])

    assert score(model, ids) == pytest.approx(singly, abs=0)


def test_match_tells_the_order_of_the_longest_ngram_found():
    model = fit("abc", order=3)

    # a after the start: 2; b: start-a-b, 3; b again: "bb" was never seen, 1; c: "bc", 2; a: 1; end: 1
    _, matched, _ = model.match(encode("abbca")[None], model.initial_state(1))

    assert matched.tolist() == [[2, 3, 1, 2, 1, 1]]


# Unknown words --------------------------------------------------------------------------------------------------------


def test_unknown_as_a_word_has_its_counts():
    model, renamed = fit("a?b a?b a?a"), fit("acb acb aca")

    assert after(model, "a?")[UNK] == after(renamed, "ac")[C]
    assert after(model, "a?")[B] == after(renamed, "ac")[B]


def test_unknown_skipped_trains_on_the_text_without_it():
    skipping, without = fit("a?b ab ac", unknown="skip"), fit("ab ab ac")

    assert after(skipping, "a") == pytest.approx(after(without, "a"), abs=0)


def test_unknown_skipped_gets_what_is_kept_for_unseen_words():
    # p(?) = b() / V with b() = (3·0.5 + 1) / 5; after a, where 3/2 + 1/3 of 3 are kept, 11/18 of that
    model = fit("a?b ab ac", order=2, unknown="skip")

    assert math.exp(score(model, encode("?"))[0]) == pytest.approx(1 / 2 / 5)
    assert math.exp(score(model, encode("a?"))[1]) == pytest.approx(11 / 18 / 10)


def test_unknown_skipped_breaks_the_context():
    model = fit("abc abc bc a?b", unknown="skip")

    # Nothing that holds ? was counted: after it nothing of the line is known, whatever stood before it.
    assert after(model, "ab?") == pytest.approx(np.exp(model.levels[0].log_probs))
    assert after(model, "ab") != pytest.approx(np.exp(model.levels[0].log_probs))


def test_unknown_that_is_not_in_the_vocabulary_cannot_be_skipped():
    assert after(fit(unknown="skip", unk_id=None), "b") == pytest.approx(after(fit(), "b"), abs=0)


def test_a_text_without_lines_is_an_error():
    with pytest.raises(DataError, match="data has no text to train on"):
        fit_dataset(FakeDataset(np.zeros(0, np.int32)), NgramConfig())


# Small texts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 10])
@pytest.mark.parametrize("ids", [[EOS], [EOS, EOS, EOS], [A, EOS], [A] * 50 + [EOS]], ids=str)
def test_the_smallest_texts_make_models(ids, order):
    model = fit_ids(np.array(ids, dtype=np.int32), order, 5, EOS)

    assert np.exp(model.next_log_probs(model.initial_state(1))).sum() == pytest.approx(1, abs=1e-6)
    assert np.isfinite(score(model, encode("abc a"))).all()


def test_discounts_that_cannot_be_estimated_are_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        fit("ab ab ac", order=2)

    (record,) = caplog.records
    assert record.getMessage().startswith("discounts of order 1 cannot be estimated")


def test_progress_ends_with_all_the_work():
    said = []
    fit_dataset(FakeDataset(encode(TEXT)), NgramConfig(order=3), progress=lambda *phase: said.append(phase))

    assert said[0] == ("counting", 0.0)
    assert said[-1] == ("order 3", 1.0)
    assert [fraction for _, fraction in said] == sorted(fraction for _, fraction in said)


# States ---------------------------------------------------------------------------------------------------------------


def test_a_state_holds_the_words_of_the_line_so_far():
    model = fit(order=4)
    texts = np.array([encode("abcab")[:5], encode("a c b")[:5]])

    _, state = model.score(texts, model.initial_state(2))

    # After "a c b" without its last end: the start of the line and b.
    assert state.tolist() == [[C, A, B], [NOTHING, EOS, B]]
    assert model.initial_state(1).tolist() == [[NOTHING, NOTHING, EOS]]


def test_a_state_is_never_changed(model):
    state = model.initial_state(2)
    state.flags.writeable = False
    text = np.array([encode("ab"), encode("?c")])
    text.flags.writeable = False

    _, later = model.score(text, state)
    model.next_log_probs(state)

    assert not np.shares_memory(later, text)


# Storage --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path)
    return tmp_path


def load(folder):
    return Ngram(NgramConfig()).load(folder)


def test_a_loaded_model_is_the_saved_one(model, saved):
    loaded, ids = load(saved), encode("abc ?ab c")

    assert loaded.settings == model.settings
    assert score(loaded, ids).tolist() == score(model, ids).tolist()
    assert all(not isinstance(level.words, np.memmap) for level in loaded.levels)


def test_a_loaded_model_is_memory_mapped(saved):
    base = load(saved).levels[1].log_probs.base

    assert isinstance(base, np.memmap)


def test_a_model_sent_to_another_process_opens_the_files_again(model, saved):
    message = pickle.dumps(load(saved))

    assert len(message) < 1000
    code = (
        "import pickle, sys; import numpy as np; model = pickle.loads(sys.stdin.buffer.read());"
        "print(model.score(np.array([[0, 1, 4]]), model.initial_state(1))[0].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], input=message, capture_output=True, check=True)
    assert json.loads(done.stdout) == [score(model, encode("ab")).tolist()]


def test_a_model_that_was_never_saved_can_be_pickled(model):
    copy = pickle.loads(pickle.dumps(model))

    assert score(copy, encode("abc")).tolist() == score(model, encode("abc")).tolist()


def test_threads_can_share_a_model(saved):
    model, ids = load(saved), encode("abc ?ab cab " * 50 + "a")

    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(lambda _: score(model, ids).tolist(), range(16)))

    assert all(one == scores[0] for one in scores)


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(DataError, match=f"no n-gram model in {tmp_path}: ngram.json is missing"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other", "version": 1}', "\x00"])
def test_a_damaged_record_is_an_error(saved, text):
    (saved / RECORD).write_text(text)

    with pytest.raises(DataError, match=r"ngram\.json is damaged"):
        load(saved)


def test_a_newer_format_is_an_error(saved):
    record = json.loads((saved / RECORD).read_text())
    (saved / RECORD).write_text(json.dumps(record | {"version": 99}))

    with pytest.raises(DataError, match="has format version 99; this lmtool reads up to 2"):
        load(saved)


@pytest.mark.parametrize("file", ["words-1.npy", "starts-2.npy", "log_probs-3.npy", "log_backoffs-2.npy"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "other"])
def test_a_damaged_array_is_named(saved, file, damage):
    path = saved / file
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "other":
        np.save(path, np.zeros(3))
    else:
        path.write_bytes(data[:-1] if damage == "cut" else b"")

    with pytest.raises(DataError, match=file.replace(".", r"\.")):
        load(saved)
