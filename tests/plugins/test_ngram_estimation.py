"""Counting and smoothing: the fast way gives what the papers' equations give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram_reference import BOS, Reference

from lmtool_ngram import kneser_ney, windows
from lmtool_ngram.counting import count_ngrams
from lmtool_ngram.discounts import counts_of_counts, lmplz_corrections, modified_kneser_ney
from lmtool_ngram.kneser_ney import estimate

A, B, C, EOS = 0, 1, 2, 3
NAMES = "abc"

small_corpora = st.lists(st.lists(st.integers(0, 4), max_size=7), min_size=1, max_size=12)
"""Lines of words 0 to 4."""


@st.composite
def large_corpora(draw):
    """Lines of words 0 to 19, few of them frequent, so that discounts have their closed form."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = rng.integers(0, 12, size=draw(st.integers(20, 80)))
    return [np.minimum(rng.geometric(0.25, size=length) - 1, 19).tolist() for length in lengths]


def stream(lines, eos_id):
    return np.array([word for line in lines for word in (*line, eos_id)], dtype=np.int32)


def lines_of(text):
    return [[NAMES.index(word) for word in line] for line in text.split()]


def ngrams(levels, eos_id):
    """Each order's n-grams as tuples, `BOS` at the start of a line, in order."""
    found = [[(int(word),) for word in levels[0].words]]
    for level in levels[1:]:
        pairs = zip(level.parents, level.words, strict=True)
        found.append([(*found[-1][parent], int(word)) for parent, word in pairs])
    return [[(BOS if n > 1 and g[0] == eos_id else g[0], *g[1:]) for g in order] for n, order in enumerate(found, 1)]


def fast(lines, order, vocab_size, eos_id, *, as_lmplz=False):
    ids = stream(lines, eos_id)
    corrections = list(lmplz_corrections(np.concatenate([[eos_id], ids]), order, eos_id)) if as_lmplz else []
    counts = count_ngrams(ids, order, eos_id=eos_id, vocab_size=vocab_size)
    return list(estimate(counts, vocab_size=vocab_size, corrections=corrections))


@pytest.mark.parametrize("key_bits", [63, 12, 3])
@given(lines=small_corpora, order=st.integers(1, 10))
@settings(max_examples=30, deadline=None)
def test_every_ngram_is_counted_with_its_suffix(key_bits, lines, order):
    # Few bits to a key make several sorts of what else is one.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "KEY_BITS", key_bits)
        levels = list(count_ngrams(stream(lines, 5), order, eos_id=5, vocab_size=6))
    expected = Reference(lines, order, 6, 5).counts
    found = ngrams(levels, 5)

    for n, (level, names) in enumerate(zip(levels, found, strict=True), start=1):
        assert {name: c for name, c in zip(names, level.counts.tolist(), strict=True) if c} == expected[n]
        if n > 1:
            assert names == sorted(names, key=lambda g: [5 if w == BOS else w for w in g])
            assert names[level.line_starts] == [g for g in names if g[0] == BOS]
            assert [found[n - 2][i] for i in level.suffixes] == [g[1:] for g in names]


@pytest.mark.parametrize(("as_lmplz", "block"), [(False, 1 << 20), (True, 3)])
@given(lines=small_corpora | large_corpora(), order=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_probabilities_and_backoffs_equal_the_reference(as_lmplz, block, lines, order):
    expected = Reference(lines, order, 21, 20, as_lmplz=as_lmplz)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kneser_ney, "BLOCK", block)
        orders = fast(lines, order, 21, 20, as_lmplz=as_lmplz)
    names = ngrams(orders, 20)

    for n, estimates in enumerate(orders, start=1):
        if len(estimates.words):
            assert estimates.discounts == pytest.approx(expected.discounts[n], abs=1e-12)
        for name, prob in zip(names[n - 1], estimates.probs, strict=True):
            assert prob == pytest.approx(expected.prob(name[-1], name[:-1]), abs=1e-9)
        contexts = [(BOS,) if g == (20,) else g for g in names[n - 2]] if n > 1 else [()]
        for context, backoff in zip(contexts, estimates.context_backoffs, strict=True):
            assert backoff == pytest.approx(expected.backoff(context), abs=1e-9)


def test_bigrams_worked_by_hand():
    # Bigrams of "ab ab ac": <s>a 3, ab 2, ac 1, b</s> 2, c</s> 1: n1 = n2 = 2, n3 = 1, n4 = 0, y = 2 / (2 + 2·2) = 1/3,
    # D1 = 1 - 2/3·2/2 = 1/3, D2 = 2 - 3/3·1/2 = 3/2, D3+ = 3 - 0 = 3.
    # Unigrams count the words before them: a 1, b 1, c 1, </s> 2. There is no 3, so D = 0.5, 1, 1.5.
    unigrams, bigrams = fast(lines_of("ab ab ac"), 2, 4, EOS)

    assert unigrams.is_fallback
    assert bigrams.discounts == pytest.approx((1 / 3, 3 / 2, 3))
    # b() = (3·0.5 + 1) / 5 = 1/2; a, b, c: (1 - 0.5)/5 + 1/2 · 1/4 = 0.225; </s>: (2 - 1)/5 + 1/8 = 0.325
    assert unigrams.probs == pytest.approx([0.225, 0.225, 0.225, 0.325])
    # b(a) = (3/2 + 1/3) / 3 = 11/18, b(b) = 3/2 / 2, b(c) = 1/3, b(<s>) = 3/3
    assert bigrams.context_backoffs == pytest.approx([11 / 18, 3 / 4, 1 / 3, 1])
    # ab: (2 - 3/2)/3 + 11/18·0.225   ac: (1 - 1/3)/3 + 11/18·0.225   b</s>: (2 - 3/2)/2 + 3/4·0.325
    # c</s>: (1 - 1/3)/1 + 1/3·0.325   <s>a: (3 - 3)/3 + 1·0.225
    expected = [1 / 6 + 0.1375, 2 / 9 + 0.1375, 0.25 + 0.24375, 2 / 3 + 0.325 / 3, 0.225]
    assert bigrams.probs == pytest.approx(expected)


def test_discounts_follow_the_closed_form():
    # n1 = 4, n2 = 2, n3 = 2, n4 = 1: y = 4/8, D1 = 1 - 2·½·2/4, D2 = 2 - 3·½·2/2, D3+ = 3 - 4·½·1/2
    counts = np.array([1, 1, 1, 1, 2, 2, 3, 3, 4, 9])

    assert modified_kneser_ney(counts_of_counts(counts)) == pytest.approx((0.5, 0.5, 2.0))


@pytest.mark.parametrize(
    "counts",
    [
        [],
        [2, 2, 3],  # nothing seen once
        [1, 1, 3],  # nothing seen twice
        [1, 1, 2],  # nothing seen three times
        [1, 2, 3, 3, 3, 3],  # y = 1/3, D2 = 2 - 3·⅓·4/1 < 0
        [1, 2, 3, 3],  # D2 = 2 - 3·⅓·2/1 = 0: nothing would be left to unseen words
    ],
)
def test_discounts_that_are_undefined_or_not_positive_are_none(counts):
    assert modified_kneser_ney(counts_of_counts(np.array(counts, dtype=np.int64))) is None


def test_lmplz_counts_the_last_ngram_plainly():
    # c appears last. It stands twice after b: 1 different word before it, 2 occurrences; bc after a and b.
    text = np.concatenate([[EOS], stream(lines_of("abc bbc"), EOS)])

    assert list(lmplz_corrections(text, 4, EOS)) == [(1, 2), (2, 2), (1, 1)]


def test_without_words_only_line_ends_are_left():
    # Two empty lines: </s> twice as a unigram, </s> at the start of a line twice; no 3-gram fits into a line.
    orders = fast([[], []], 3, 2, 1)

    assert [len(estimates.words) for estimates in orders] == [2, 1, 0]
    assert not orders[2].is_fallback
