"""Looking n-grams up: whole batches against one word after another."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram_tables import by_words, katz_all, random_ngrams, tables

from lmtool_ngram.model import fit_ids, load
from lmtool_ngram.tables import index, lookup
from lmtool_ngram.tables.index import SEARCHED, indexed
from lmtool_ngram.tables.lookup import NOTHING, Lookup


def model(seed, order, vocab_size=40, *, closed=True, size=200):
    rng = np.random.default_rng(seed)
    ngrams = random_ngrams(rng, order, vocab_size, [size * n for n in range(1, order)], closed=closed)
    levels = tables(rng, ngrams, vocab_size, closed=closed)
    return levels, by_words(levels, ngrams)


def texts(seed, table, shape, order, vocab_size=40):
    """Random words, half of them from n-grams of the table; contexts, some with nothing in front."""
    rng = np.random.default_rng(seed)
    known = np.concatenate([list(one) for one in rng.permutation(np.array(list(table), dtype=object))[:200]])
    ids = np.where(rng.random(shape) < 0.2, rng.integers(0, vocab_size, shape), np.resize(known, shape))
    context = rng.integers(0, vocab_size, (shape[0], order - 1))
    gone = rng.integers(0, order, shape[0])
    context[np.arange(order - 1)[None] < gone[:, None]] = NOTHING
    return ids.astype(np.int32), context.astype(np.int32)


seeds = st.integers(0, 1 << 30)


@given(seed=seeds, order=st.integers(1, 6), rows=st.integers(1, 4), steps=st.integers(0, 40), closed=st.booleans())
@settings(max_examples=60, deadline=None)
def test_batches_equal_one_word_after_another(seed, order, rows, steps, closed):
    levels, table = model(seed, order, closed=closed)
    ids, context = texts(seed, table, (rows, steps), order)
    expected = katz_all(table, ids, context)

    for tried in (levels, [levels[0], *map(indexed, levels[1:])]):
        log_probs, matched = Lookup(tried).score(ids, context)

        assert log_probs == pytest.approx(expected[..., 0], abs=1e-5)
        assert (matched == expected[..., 1]).all()


@given(seed=seeds, order=st.integers(1, 5), rows=st.integers(1, 3), closed=st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_next_word_is_given_what_scoring_it_gives(seed, order, rows, closed):
    levels, table = model(seed, order, closed=closed)
    _, context = texts(seed, table, (rows, 1), order)

    log_probs = Lookup(levels).next_log_probs(context)

    expected = [[katz_all(table, np.array([[w]]), one[None])[0, 0, 0] for w in range(40)] for one in context]
    assert log_probs == pytest.approx(np.array(expected), abs=1e-5)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_of_any_size_give_the_same(monkeypatch, block):
    levels, table = model(1, 4)
    ids, context = texts(1, table, (3, 50), 4)
    expected = Lookup(levels).score(ids, context)

    monkeypatch.setattr(lookup, "BLOCK", block)
    found = Lookup(levels).score(ids, context)

    assert all((one == other).all() for one, other in zip(found, expected, strict=True))


def test_words_of_32_bits_are_looked_up_like_those_of_16():
    levels, table = model(2, 3)
    ids, context = texts(2, table, (2, 60), 3)
    wide = [replace(level, words=level.words.astype(np.int32)) for level in levels]

    for tried in (wide, [wide[0], *map(indexed, wide[1:])]):
        assert (Lookup(tried).score(ids, context)[0] == Lookup(levels).score(ids, context)[0]).all()


@pytest.mark.parametrize("ids", [[[0, 40]], [[-1, 3]]])
def test_an_id_outside_the_vocabulary_is_refused(ids):
    with pytest.raises(ValueError, match="`ids` must be at least 0 and below 40"):
        Lookup(model(3, 3)[0]).score(np.array(ids), np.zeros((1, 2), np.int32))


# The index ------------------------------------------------------------------------------------------------------------


def test_an_index_holds_what_has_many_continuations_and_nothing_else():
    levels, _ = model(4, 3)
    sizes = np.diff(levels[1].starts.astype(int))

    slots = indexed(levels[1]).index

    places = (slots[slots > 0] & ((1 << index.place_bits(len(levels[1]))) - 1)) - 1
    many = np.repeat(sizes > SEARCHED, sizes)
    assert sorted(places.tolist()) == np.flatnonzero(many).tolist()
    assert 0 < many.sum() <= index.LOAD * len(slots)


def test_an_index_that_is_filled_in_segments_is_as_good(monkeypatch):
    levels, table = model(5, 4)
    ids, context = texts(5, table, (2, 80), 4)
    expected = Lookup(levels).score(ids, context)[0]

    monkeypatch.setattr(index, "SEGMENT", 16)
    monkeypatch.setattr(index, "_PIECE", 5)
    found = Lookup([levels[0], *map(indexed, levels[1:])]).score(ids, context)[0]

    assert (found == expected).all()


# Counted models -------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """A model of 40 words on disk, and a text."""
    rng = np.random.default_rng(0)
    ids = np.minimum(rng.zipf(1.5, 3000), 40).astype(np.int32) - 1
    ids[::9] = 40
    fit_ids(np.append(ids, 40), 3, 41, 40).save(tmp_path)
    return tmp_path, ids[None, :200]


def test_a_saved_model_is_indexed_and_mapped(saved):
    levels = load(saved[0]).levels

    assert all(len(level.index) and level.closed for level in levels[1:])
    assert isinstance(levels[1].index.base, np.memmap)


def ngrams_of(levels):
    """For each order the set of its n-grams."""
    found = [[(word,) for word in range(len(levels[0]))]]
    for level in levels[1:]:
        parents = np.repeat(np.arange(len(level.starts) - 1), np.diff(level.starts.astype(int)))
        found.append([(*found[-1][p], int(w)) for p, w in zip(parents, level.words, strict=True)])
    return list(map(set, found))


@given(
    ids=st.lists(st.integers(0, 6), min_size=1, max_size=150),
    order=st.integers(2, 5),
    prune=st.sampled_from([[], [0, 1], [0, 0, 1], [0, 1, 2]]),
)
@settings(max_examples=30, deadline=None)
def test_counting_and_pruning_by_counts_leave_the_end_of_each_ngram(ids, order, prune):
    levels = fit_ids(np.array([*ids, 6], dtype=np.int32), order, 7, 6, prune=prune).levels

    ngrams = ngrams_of(levels)

    assert all(level.closed for level in levels[1:])
    assert all({ngram[1:] for ngram in ngrams[n]} <= ngrams[n - 1] for n in range(1, order))


def test_pruning_by_entropy_is_not_relied_on_to_do_so():
    ids = np.random.default_rng(0).integers(0, 6, 2000).astype(np.int32)
    levels = fit_ids(np.append(ids, 6), 3, 7, 6, prune_entropy=1e-4).levels

    assert not any(level.closed for level in levels[1:])


def test_one_long_stream_equals_its_lines(saved):
    folder, ids = saved
    scored = load(folder)
    lines = np.split(ids[0], np.flatnonzero(ids[0] == 40) + 1)

    together = scored.score(ids, scored.initial_state(1))[0][0]

    singly = [scored.score(line[None], scored.initial_state(1))[0][0] for line in lines if len(line)]
    assert (together == np.concatenate(singly)).all()


def test_threads_share_a_model(saved):
    folder, ids = saved
    shared = load(folder)
    expected = load(folder).score(ids, shared.initial_state(1))[0]

    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(lambda _: shared.score(ids, shared.initial_state(1))[0], range(40)))

    assert all((one == expected).all() for one in scores)


def score_in_process(handle, ids):
    """The scores, and where the tables lie."""
    return handle.score(ids, handle.initial_state(1))[0], handle.levels[2].log_probs.base.filename


def test_processes_are_sent_a_name_and_map_the_same_files(saved):
    folder, ids = saved
    handle = load(folder)
    expected = handle.score(ids, handle.initial_state(1))[0]

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(score_in_process, [handle] * 2, [ids] * 2))

    assert len(pickle.dumps(handle)) < 1000
    assert all((scores == expected).all() for scores, _ in results)
    assert {str(file) for _, file in results} == {str(folder / "log_probs-3.npy")}
