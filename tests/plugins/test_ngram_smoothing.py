"""Smoothing and pruning: what the fast way leaves equals the formulas, and is a distribution in every context."""

from __future__ import annotations

import dataclasses
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from ngram_reference import BOS, EntropyPruned, Reference

from lmtool_ngram.config import NgramConfig
from lmtool_ngram.estimation import pruning
from lmtool_ngram.estimation.engine import estimate_levels
from lmtool_ngram.estimation.pruning import prune_by_entropy
from lmtool_ngram.model import NgramLanguageModel
from lmtool_ngram.tables.trie import Level

UNK, EOS, V = 4, 5, 6
NOTHING = -1

WAYS = ["modified-kneser-ney", "kneser-ney", "absolute", "witten-bell", "add-k", "stupid-backoff"]
# Words 0 to 2 and <unk>; 3 is in the vocabulary only.
corpora = st.lists(st.lists(st.sampled_from([0, 1, 2, UNK]), max_size=6), min_size=1, max_size=10)


@st.composite
def long_corpora(draw):
    """Lines of words 0 to 19, <unk> among them, few of them frequent, so that discounts have their closed form."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = rng.integers(0, 12, size=draw(st.integers(20, 60)))
    return [np.minimum(rng.geometric(0.25, size=length) - 1, 19).tolist() for length in lengths]


thresholds = st.sampled_from([[], [0, 1], [0, 0, 1], [0, 1, 2], [0, 0, 0, 3]])
unknowns = st.sampled_from(["word", "mass", "skip"])
SATURATED = [[a, b] for a in (0, 1, 2, 3, UNK) for b in (0, 1, 2, 3, UNK)] + [[0], [1], [2], [3], [UNK], []]
"""Each word is followed by every word."""


def levels_of(model):
    """A reference model's tables."""
    levels, below = [], [()]
    for n in range(1, model.order + 1):
        found = sorted((g for g in model.ngrams() if len(g) == n), key=lambda g: [EOS if w == BOS else w for w in g])
        places = {(BOS,) if g == (EOS,) else g: i for i, g in enumerate(below)}
        children = np.bincount([places[g[:-1]] for g in found], minlength=len(below)).astype(np.int64)
        log_probs = np.log([model.prob(g[-1], g[:-1]) for g in found])
        contexts = [(BOS,) if g == (EOS,) else g for g in found] if n < model.order else []
        levels.append(
            Level(
                np.array([g[-1] for g in found], dtype=np.uint16),
                np.concatenate([[0], np.cumsum(children)]).astype(np.uint32),
                log_probs.astype(np.float32),
                np.log([1.0 if (b := model.backoff(c)) is None else b for c in contexts]).astype(np.float32),
            )
        )
        below = found
    return levels


def at_line_start(ngram, eos_id):
    return (BOS, *ngram[1:]) if ngram[0] == eos_id else ngram


def ngrams_of(levels, eos_id):
    """Each order's n-grams as tuples, `BOS` at the start of a line, in order."""
    found = [[(int(word),) for word in levels[0].words]]
    for level in levels[1:]:
        parents = np.repeat(np.arange(len(level.starts) - 1), np.diff(level.starts.astype(np.int64)))
        pairs = zip(parents, level.words, strict=True)
        found.append([(*at_line_start(found[-1][parent], eos_id), int(word)) for parent, word in pairs])
    return found


def estimated(lines, config, vocab_size=V, eos_id=EOS):
    """The tables of the engine."""
    ids = np.array([word for line in lines for word in (*line, eos_id)], dtype=np.int32)
    return estimate_levels(ids, config, vocab_size, eos_id, UNK)[0]


def assert_equal(levels, reference, rel=1e-5):
    """All n-grams, their probabilities and back-offs; `rel` is for the back-offs."""
    eos_id = reference.eos_id
    names = ngrams_of(levels, eos_id)
    assert {name for order in names for name in order} == reference.ngrams()
    for level, order in zip(levels, names, strict=True):
        assert order == sorted(order, key=lambda g: [eos_id if w == BOS else w for w in g])
        assert np.exp(level.log_probs) == pytest.approx([reference.prob(g[-1], g[:-1]) for g in order], rel=2e-6)
    for level, order in zip(levels[:-1], names, strict=False):
        wanted = [reference.backoff(at_line_start(g, eos_id)) for g in order]
        pairs = zip(level.log_backoffs, wanted, strict=True)
        known = np.array([(math.exp(found), b) for found, b in pairs if b is not None]).reshape(-1, 2)
        assert known[:, 0] == pytest.approx(known[:, 1], rel=rel)


def assert_distributions(levels):
    """The probabilities sum to one in every context there is, seen and unseen, and none is zero."""
    model = NgramLanguageModel(levels, {"vocab_size": V, "eos_id": EOS})
    width = len(levels) - 1
    contexts = [c for n in range(width + 1) for c in product(range(EOS), repeat=n)]
    contexts += [(EOS, *c) for c in contexts if len(c) < width]
    states = np.array([(NOTHING,) * (width - len(c)) + c for c in contexts], dtype=np.int32).reshape(
        len(contexts), width
    )
    log_probs = model.next_log_probs(states)
    assert np.isfinite(log_probs).all()
    assert np.exp(log_probs).sum(axis=1) == pytest.approx(1, abs=1e-5)


def is_as_lmplz(rules):
    """`lmplz` knows one way of smoothing, and no unknown mass."""
    return rules["smoothing"] == "modified-kneser-ney" and rules["unknown"] != "mass"


@pytest.mark.parametrize("smoothing", WAYS)
@given(corpora, st.integers(1, 4), thresholds, unknowns)
@example(SATURATED, 3, [], "word")
@settings(max_examples=25, deadline=None)
def test_every_ngram_equals_the_formulas_and_all_sums_are_one(smoothing, lines, order, prune, unknown):
    rules = {"smoothing": smoothing, "add_k": 0.25, "prune": prune, "unknown": unknown}
    levels = estimated(lines, NgramConfig(order=order, **rules))

    assert_equal(levels, Reference(lines, order, V, EOS, unk_id=UNK, as_lmplz=is_as_lmplz(rules), **rules))
    assert_distributions(levels)


@pytest.mark.parametrize("smoothing", WAYS)
@given(long_corpora(), st.integers(2, 4), thresholds, unknowns)
@settings(max_examples=6, deadline=None)
def test_long_texts_equal_the_formulas(smoothing, lines, order, prune, unknown):
    rules = {"smoothing": smoothing, "add_k": 0.25, "prune": prune, "unknown": unknown}
    levels = estimated(lines, NgramConfig(order=order, **rules), 21, 20)

    assert_equal(levels, Reference(lines, order, 21, 20, unk_id=UNK, as_lmplz=is_as_lmplz(rules), **rules))


@pytest.mark.parametrize("smoothing", WAYS)
@given(corpora, st.integers(1, 3), thresholds, unknowns)
@settings(max_examples=15, deadline=None)
def test_the_reference_sums_to_exactly_one(smoothing, lines, order, prune, unknown):
    rules = {"smoothing": smoothing, "add_k": 0.25, "prune": prune, "unknown": unknown}
    reference = Reference(lines, order, V, EOS, unk_id=UNK, **rules)

    for context in [(), (BOS,), (0,), (BOS, 1), (0, 1), (2, 2), (UNK, 0), (3, 1)]:
        assert sum(reference.exact_prob(word, context) for word in range(V)) == 1


def log_marginals_of(model):
    """How often each n-gram is a context: a line starts as often as one ends."""
    names, total = ngrams_of(levels_of(model), EOS), sum(model.counts[1].values())
    counts = [[max(model.counts[len(g)][g], 1) for g in order] for order in names[:-1]]
    return [np.log(np.array(order) / total).astype(np.float32) for order in counts]


@pytest.mark.parametrize("smoothing", WAYS)
@given(
    corpora,
    st.integers(1, 4),
    st.sampled_from([1e-4, 3e-3, 0.02, 0.1]),
    st.sampled_from([[], [0, 0, 1]]),
    st.booleans(),
)
@example(SATURATED, 3, 0.01, [], False)
@settings(max_examples=25, deadline=None)
def test_entropy_pruning_equals_the_formulas(smoothing, lines, order, threshold, prune, in_text):
    reference = Reference(lines, order, V, EOS, smoothing=smoothing, prune=prune)
    expected = EntropyPruned(reference, threshold, in_text=in_text)
    assume(all(abs(rise - threshold) > 1e-6 for rise in expected.rises.values()))  # rounding decides nothing

    log_marginals = log_marginals_of(reference) if in_text else []
    levels = prune_by_entropy(levels_of(reference), threshold, log_marginals)

    assert_equal(levels, expected, rel=1e-3)  # what 32-bit probabilities leave of one may be small
    assert_distributions(levels)


@pytest.mark.parametrize("smoothing", WAYS)
@given(corpora, st.integers(1, 4), st.sampled_from([1e-3, 0.02]), thresholds, unknowns)
@settings(max_examples=15, deadline=None)
def test_both_ways_of_pruning_equal_the_formulas(smoothing, lines, order, threshold, prune, unknown):
    rules = {"smoothing": smoothing, "add_k": 0.25, "prune": prune, "unknown": unknown}
    reference = Reference(lines, order, V, EOS, unk_id=UNK, as_lmplz=is_as_lmplz(rules), **rules)
    expected = EntropyPruned(reference, threshold)
    assume(all(abs(rise - threshold) > 1e-6 for rise in expected.rises.values()))

    levels = estimated(lines, NgramConfig(order=order, prune_entropy=threshold, **rules))

    assert_equal(levels, expected, rel=1e-3)
    assert_distributions(levels)


@given(corpora, st.integers(2, 4))
@settings(max_examples=10, deadline=None)
def test_entropy_pruning_in_pieces_and_of_many_words_is_the_same(lines, order):
    levels = levels_of(Reference(lines, order, V, EOS))
    wide = [dataclasses.replace(level, words=level.words.astype(np.int32)) for level in levels]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pruning, "BLOCK", 3)
        in_pieces = prune_by_entropy(wide, 0.01)

    for one, other in zip(in_pieces, prune_by_entropy(levels, 0.01), strict=True):
        for name in ("words", "starts", "log_probs", "log_backoffs"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
