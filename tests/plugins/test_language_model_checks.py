"""The kit's checks of language models find the faults that they are there for."""

from __future__ import annotations

import json
import pickle
import time
from types import SimpleNamespace

import numpy as np
import pytest

from lmtool.testing import backbones, checks, language_models


class Bigrams:
    """A model that is right: each row of `log_probs` [V, V] is what follows a token."""

    stateful = False

    def __init__(self, vocab_size, eos_id, seed=0):
        self.vocab_size, self.eos_id = vocab_size, eos_id
        weights = np.random.default_rng(seed).gamma(1.0, size=(vocab_size, vocab_size))
        self.log_probs = np.log(weights / weights.sum(axis=1, keepdims=True))

    def initial_state(self, batch_size):
        return np.full(batch_size, self.eos_id)

    def score(self, ids, state):
        before = np.concatenate([state[:, None], ids], axis=1)
        return self.log_probs[before[:, :-1], ids], before[:, -1]

    def next_log_probs(self, state):
        return self.log_probs[state]

    def save(self, folder):
        facts = {"vocab_size": self.vocab_size, "eos_id": self.eos_id, "log_probs": self.log_probs.tolist()}
        (folder / "bigrams.json").write_text(json.dumps(facts))

    @classmethod
    def load(cls, folder):
        facts = json.loads((folder / "bigrams.json").read_bytes())
        model = cls(facts["vocab_size"], facts["eos_id"])
        model.log_probs = np.array(facts["log_probs"])
        return model


class LacksMass(Bigrams):
    def next_log_probs(self, state):
        return super().next_log_probs(state) - 0.01

    def score(self, ids, state):
        log_probs, state = super().score(ids, state)
        return log_probs - 0.01, state


class OtherScores(Bigrams):
    def score(self, ids, state):
        log_probs, state = super().score(ids, state)
        return log_probs - 0.01, state


class LooksAhead(Bigrams):
    def score(self, ids, state):
        log_probs, state = super().score(ids, state)
        log_probs[:, :-1] += 0.01 * (ids[:, 1:] % 2)
        return log_probs, state


class ForgetsBetweenPieces(Bigrams):
    def score(self, ids, state):
        log_probs, _ = super().score(ids, state)
        return log_probs, self.initial_state(len(ids))


class MixesRows(Bigrams):
    def score(self, ids, state):
        log_probs, state = super().score(ids, state)
        return log_probs + 0.01 * ids.mean(), state


class ChangesState(Bigrams):
    def score(self, ids, state):
        log_probs, last = super().score(ids, state)
        state[:] = last
        return log_probs, state


class SaysItIsStateful(Bigrams):
    stateful = True

    def next_log_probs(self, state):
        return super().next_log_probs(state)


class RemembersLines(Bigrams):
    """The state is the last word that is no line's end."""

    def score(self, ids, state):
        log_probs, last = super().score(ids, state)
        words = np.where(ids == self.eos_id, -1, ids)
        return log_probs, np.where(last == self.eos_id, words.max(axis=1, initial=0), last)


class LoadsAnother(Bigrams):
    @classmethod
    def load(cls, folder):
        return cls(super().load(folder).vocab_size, 0, seed=1)


class SavesAPickle(Bigrams):
    def save(self, folder):
        super().save(folder)
        (folder / "extra.bin").write_bytes(pickle.dumps([1]))


class SavesAPickledArray(Bigrams):
    def save(self, folder):
        super().save(folder)
        np.save(folder / "extra.npy", np.array([{}], dtype=object))


class OtherVocabulary(Bigrams):
    def __init__(self, vocab_size, eos_id, seed=0):
        super().__init__(vocab_size + 1, eos_id, seed)


class NeedsTwoTokens(Bigrams):
    def score(self, ids, state):
        assert ids.shape[1] > 1
        return super().score(ids, state)


class RemembersLinesOfTheStream(Bigrams):
    """Right as long as `score` gets one line at a time."""

    def score(self, ids, state):
        log_probs, last = super().score(ids, state)
        return log_probs - 0.01 * (np.cumsum(ids == self.eos_id, axis=1) > 1), last


class KeepsItsPlace(Bigrams):
    """Right as long as nobody else asks meanwhile."""

    def score(self, ids, state):
        self.place = object()
        mine = self.place
        time.sleep(0.001)
        log_probs, last = super().score(ids, state)
        return log_probs - 0.01 * (self.place is not mine), last


class ExportsNothing(Bigrams):
    export_formats = ("json",)

    def export(self, format, file, tokenizer):
        pass


class ExportsTheTime(ExportsNothing):
    def export(self, format, file, tokenizer):
        file.write(str(time.perf_counter_ns()).encode())


def run(monkeypatch, check, model_class, seeds=lambda: 0):
    """The check on a component whose model is `model_class`."""

    def make(subject):
        rng = np.random.default_rng(5)
        ids = rng.integers(0, 7, (language_models.BATCH, language_models.TIME))
        tokenizer = SimpleNamespace(vocab_size=7, eos_id=2)
        return language_models.Trained(model_class(7, 2, seeds()), model_class.load, ids, tokenizer)

    monkeypatch.setattr(language_models, "make", make)
    monkeypatch.setattr(language_models, "_MADE", {})
    config = SimpleNamespace(model_dump_json=str)
    component = SimpleNamespace(target="", capabilities=frozenset({"fitted"}))
    getattr(language_models, f"check_{check}")(SimpleNamespace(component=component, config=config))


@pytest.mark.parametrize("check", language_models.CHECKS, ids=lambda check: check.__name__)
def test_a_right_model_passes(monkeypatch, check):
    run(monkeypatch, check.__name__.removeprefix("check_"), Bigrams)


@pytest.mark.parametrize(
    ("check", "model_class"),
    [
        ("shapes", OtherVocabulary),
        ("shapes", NeedsTwoTokens),
        ("probabilities_sum_to_one", LacksMass),
        ("scores_are_the_next_log_probs", OtherScores),
        ("causality", LooksAhead),
        ("pieces_equal_the_whole", ForgetsBetweenPieces),
        ("rows_are_apart", MixesRows),
        ("state_is_left_alone", ChangesState),
        ("stateful_is_true", SaysItIsStateful),
        ("stateful_is_true", RemembersLines),
        ("lines_in_one_stream", RemembersLinesOfTheStream),
        ("threads", KeepsItsPlace),
        ("exports", ExportsNothing),
        ("exports", ExportsTheTime),
        ("save_and_load", LoadsAnother),
        ("save_and_load", SavesAPickle),
        ("save_and_load", SavesAPickledArray),
    ],
)
def test_a_fault_is_found(monkeypatch, check, model_class):
    with pytest.raises(AssertionError):
        run(monkeypatch, check, model_class)


def test_a_model_that_depends_on_chance_is_found(monkeypatch):
    seeds = iter(range(10))

    with pytest.raises(AssertionError, match="second model"):
        run(monkeypatch, "same_text_same_model", Bigrams, seeds=lambda: next(seeds))


def test_each_check_is_offered_for_counted_and_neural_models():
    expected = {check.__name__.removeprefix("check_") for check in language_models.CHECKS}

    assert expected <= checks("model", "ngram").keys()
    assert expected <= checks("model", "lstm").keys()


def test_each_check_of_backbones_is_offered_beside_those_of_language_models():
    expected = {check.__name__.removeprefix("check_") for check in backbones.CHECKS}

    assert expected <= checks("model", "lstm").keys()
    assert not expected & {check.__name__.removeprefix("check_") for check in language_models.CHECKS}
