"""Augmentations: how often they change what, and that lines, ids and chance are what they must be."""

from __future__ import annotations

import numpy as np
import pytest

from lmtool.config import DataConfig, choose, load_config
from lmtool.data.prepare import build, make_plan
from lmtool.errors import ConfigError
from lmtool.raw_config import Raw
from lmtool.registry import Registry
from lmtool.signals import StopRequest
from lmtool.testing import augmentations, checks, conformance
from lmtool.testing.corpus import tiny_dataset
from lmtool.training import train
from lmtool.training.augmentation import make_augmentations
from lmtool_augmentations.base import every_other
from lmtool_augmentations.noise import TABLE
from lmtool_augmentations.propose import draw

registry = Registry(third_party=False)


@conformance("augmentation", "delete")
def test_delete(check):
    check()


@conformance("augmentation", "delete", config={"rate": 1.0})
def test_delete_all(check):
    check()


@conformance("augmentation", "swap", config={"rate": 0.5})
def test_swap(check):
    check()


@conformance("augmentation", "unk")
def test_unknown(check):
    check()


@conformance("augmentation", "replace", config={"probability": 0.5})
def test_replace(check):
    check()


@conformance("augmentation", "noise", config={"rate": 0.2})
def test_noise(check):
    check()


@pytest.fixture(scope="module")
def ngram(tmp_path_factory):
    """The path of a trigram model of the text that augmentations are tested with."""
    path = tmp_path_factory.mktemp("runs") / "ngram"
    flags = {"model.name": "ngram", "model.order": 3, "data.path": str(augmentations.dataset().path)}
    return str(train(load_config(None, registry, flags=flags), augmentations.dataset(), path, registry,
                     stop=StopRequest()).path)  # fmt: skip


@pytest.mark.parametrize("label", sorted(checks("augmentation", "propose", {"run": "any"})))
def test_propose(label, ngram):
    checks("augmentation", "propose", {"run": ngram})[label]()


def made(name, dataset, **settings):
    augment = make_augmentations([{"name": name, **settings}], dataset, registry)
    assert augment
    return augment


@pytest.fixture(scope="module")
def words():
    return augmentations.dataset()


@pytest.fixture(scope="module")
def lines(words):
    """2,000 ids, whole lines."""
    ids = words.split("train").read(0, 2000)
    return ids[: np.flatnonzero(ids == words.eos_id)[-1] + 1]


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("letters"), "byte")


# Rates ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["delete", "unk", "replace"])
def test_a_rate_is_the_share_of_tokens_that_are_changed(name, words, lines):
    after = made(name, words, rate=0.25)(lines, np.random.default_rng(1))

    real = (lines != words.eos_id).sum()
    if name == "delete":
        share = (len(lines) - len(after)) / real
    elif name == "unk":
        share = (after == words.unk_id).sum() / real
    else:  # a draw may be the token that was there
        share = (after != lines).sum() / real
    # 4 standard deviations of a share of 1,800
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 1800) + (0.03 if name == "replace" else 0)


def test_a_probability_is_the_share_of_documents_that_are_changed(words, lines):
    augment = made("unk", words, rate=1.0, probability=0.3)

    changed = [(augment(lines[:20], np.random.default_rng([0, n])) != lines[:20]).any() for n in range(1000)]

    assert abs(np.mean(changed) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 1000)


# Each -----------------------------------------------------------------------------------------------------------------


def test_deleting_keeps_the_order_and_one_token(words, lines):
    rest = made("delete", words, rate=0.5)(lines, np.random.default_rng(0))
    last = made("delete", words, rate=1.0)(lines, np.random.default_rng(0))

    places = iter(lines.tolist())
    assert all(one in places for one in rest.tolist())  # a subsequence
    assert (last != words.eos_id).sum() == 1


def test_swapping_moves_each_token_by_one_at_most_within_its_line(words, lines):
    after = made("swap", words, rate=1.0)(lines, np.random.default_rng(0))

    for before, swapped in zip(split(lines, words.eos_id), split(after, words.eos_id), strict=True):
        # at a rate of one: pairs from the left, and what is left over stays
        pairs = len(before) // 2 * 2
        expected = before[:pairs].reshape(-1, 2)[:, ::-1].ravel()
        assert swapped.tolist() == [*expected, *before[pairs:]]


def split(ids, eos_id):
    """Lines without their ends."""
    return [line[:-1] for line in np.split(ids, np.flatnonzero(ids == eos_id) + 1) if len(line)]


def test_of_touching_places_every_other_is_taken():
    chosen = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1], bool)

    assert every_other(chosen).astype(int).tolist() == [1, 0, 0, 1, 0, 1, 0, 0, 1]


def test_replacements_are_as_frequent_as_tokens_are_in_the_training_text(words):
    train_ids = words.split("train").read(0, words.split("train").num_tokens)
    counts = np.bincount(train_ids, minlength=words.vocab_size).astype(float)
    counts[[words.eos_id, words.unk_id]] = 0
    one = np.full(20_000, int(counts.argmax()), np.int32)

    drawn = np.bincount(made("replace", words, rate=1.0)(one, np.random.default_rng(0)), minlength=words.vocab_size)

    expected = counts / counts.sum()
    assert np.abs(drawn / 20_000 - expected).max() < 4 * np.sqrt(expected.max() / 20_000)
    assert not drawn[counts == 0].any()


def test_proposals_are_what_the_model_finds_likely(words, lines, ngram):
    """In this text "the" follows "of", "and" and the like only; the model knows, the unigram distribution does not."""
    by_word = {word: number for number, word in enumerate(words.tokenizer.tokens(range(words.vocab_size)))}
    document = words.tokenizer.encode_batch(["seven sacks of flour ."] * 200)
    places = np.flatnonzero(document == by_word["of"])

    after = made("propose", words, rate=0.5, run=ngram)(document, np.random.default_rng(0))

    # "sacks" is always followed by "of", whatever else: back-off gives the rest little
    assert (after[places] == by_word["of"]).mean() > 0.8
    assert not np.isin(after[document != words.eos_id], [words.eos_id, words.unk_id]).any()


def test_proposals_do_not_depend_on_how_many_are_drawn_at_once(words, lines, ngram, monkeypatch):
    augment = made("propose", words, rate=0.3, run=ngram)
    at_once = augment(lines[:100], np.random.default_rng(0))
    monkeypatch.setattr("lmtool_augmentations.propose.AT_ONCE", 1)
    one_by_one = augment(lines[:100], np.random.default_rng(0))

    assert np.array_equal(at_once, one_by_one)


def test_a_draw_is_the_token_where_the_sum_of_probabilities_passes_the_ticket():
    probs = np.random.default_rng(0).dirichlet(np.full(1000, 0.05), size=50)
    probs[:, [0, 130]] = 0
    tickets = np.random.default_rng(1).random(50)
    with np.errstate(divide="ignore"):
        log_probs = np.log(probs)

    expected = [
        int(np.searchsorted(np.cumsum(row) / row.sum(), one, side="right"))
        for row, one in zip(probs, tickets, strict=True)
    ]

    assert draw(log_probs, tickets).tolist() == expected
    assert draw(log_probs[:1], np.ones(1)).tolist() == [int(np.flatnonzero(probs[0].astype(np.float32))[-1])]
    assert draw(np.log(np.full((1, 300), 1 / 300)), np.zeros(1), excluded=[0, 1]).tolist() == [2]


@pytest.mark.parametrize(
    ("kind", "possible"),
    [
        ("delete", {"ab", "b", "a", ""}),
        ("swap", {"ba", "ab"}),
        ("insert", {("a" + x + "b" + y) for x in ["", *"qsz"] for y in ["", *"vgn"]}),
        ("replace", {x + y for x in "aqsz" for y in "bvgn"}),
    ],
)
def test_noise_does_what_its_kinds_say(kind, possible, letters):
    augment = made("noise", letters, rate=0.5, kinds=[kind])
    ids = letters.tokenizer.encode_batch(["ab"])

    found = {letters.tokenizer.decode(augment(ids, np.random.default_rng(n)).tolist())[:-1] for n in range(300)}

    assert found == possible


def test_keys_are_beside_each_other_both_ways():
    for key in range(128):
        assert all(key in TABLE[beside] for beside in TABLE[key] if beside), chr(key)
    assert {chr(one) for one in TABLE[ord("G")]} == {"F", "H", "T", "B"}


def test_noise_leaves_white_space_and_unknown_words_alone(words, lines):
    noisy = made("noise", words, rate=0.3)(lines, np.random.default_rng(0))
    unknown = np.where(lines == words.eos_id, words.eos_id, words.unk_id).astype(np.int32)

    # as many words as before, but for those of one letter that were left out
    assert 0.97 * len(lines) < len(noisy) <= len(lines)
    assert np.array_equal(made("noise", words, rate=1.0)(unknown, np.random.default_rng(0)), unknown)


def test_noise_takes_other_scripts(tmp_path):
    (tmp_path / "a.txt").write_text("春眠不覺曉 處處聞啼鳥\n" * 3, encoding="utf-8")
    choice = choose(Raw({"tokenizer": {"name": "byte"}}), "tokenizer", registry)
    dataset = build(make_plan(DataConfig(train=[str(tmp_path / "a.txt")]), choice, registry), tmp_path / "data")
    ids = dataset.split("train").read(0, 1000)

    texts = [dataset.tokenizer.decode(made("noise", dataset, rate=0.5)(ids, np.random.default_rng(n)).tolist())
             for n in range(20)]  # fmt: skip

    assert set("".join(texts)) == set("春眠不覺曉處處聞啼鳥 \n")
    assert len(set(texts)) > 1


# Config ---------------------------------------------------------------------------------------------------------------


def test_several_are_applied_one_after_the_other(words, lines):
    both = make_augmentations(["delete", {"name": "unk", "rate": 1.0}], words, registry)
    assert both

    after = both(lines, np.random.default_rng(0))

    assert set(after.tolist()) == {words.eos_id, words.unk_id}
    assert len(after) < len(lines)
    assert make_augmentations([], words, registry) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["delet"], r"no augmentation named 'delet' \(did you mean 'delete'\?\)"),
        ([{"name": "delete", "rate": 2.0}], r"training\.augment\.rate must be at most 1\.0, got 2\.0"),
        ([{"rate": 0.5}], "training.augment: an augmentation must have a `name`"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_read(settings, message):
    with pytest.raises(Exception, match=message):
        load_config(None, registry, flags={"model.name": "lstm", "training.augment": settings})


def test_what_a_tokenizer_has_no_use_for_is_said(tmp_path, ngram):
    dataset = tiny_dataset(tmp_path, "byte")

    with pytest.raises(ConfigError, match="'unk' has no use, since no text is unknown"):
        made("unk", dataset)
    with pytest.raises(ConfigError, match="has another tokenizer than the dataset"):
        made("propose", dataset, run=ngram)
