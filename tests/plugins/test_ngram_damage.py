"""Damaged models: said where that costs nothing, and never a reason to read or write outside of the tables."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram_tables import random_ngrams, tables

from lmtool.errors import DataError
from lmtool_ngram.model import NgramLanguageModel, load
from lmtool_ngram.tables import scoring, storage
from lmtool_ngram.tables.index import indexed
from lmtool_ngram.tables.lookup import Lookup
from lmtool_ngram.tables.quantize import quantize

RECORD = {"order": 3, "vocab_size": 40, "eos_id": 39}


def random_levels():
    rng = np.random.default_rng(0)
    levels = tables(rng, random_ngrams(rng, 3, 40, [400, 900], closed=True), 40, closed=True)
    return [levels[0], *map(indexed, levels[1:])]


def texts():
    rng = np.random.default_rng(1)
    return rng.integers(0, 40, (3, 200)).astype(np.int32), rng.integers(0, 40, (3, 2)).astype(np.int32)


@pytest.fixture
def saved(tmp_path):
    storage.save(tmp_path, random_levels(), RECORD)
    return tmp_path


def change(folder, name, made):
    """Another array in the place of one, and in the record."""
    array = made(np.load(folder / name))
    np.save(folder / name, array)
    record = json.loads((folder / "ngram.json").read_text())
    record["arrays"][name] = {"dtype": array.dtype.name, "length": len(array)}
    (folder / "ngram.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("name", "made", "message"),
    [
        ("starts-2.npy", lambda array: array[:-1], "do not go together"),
        ("log_probs-3.npy", lambda array: array[1:], "do not go together"),
        ("log_backoffs-2.npy", lambda array: array[:0], "do not go together"),
        ("words-1.npy", lambda array: array[1:], "do not go together"),
        ("starts-3.npy", lambda array: array + 1, "is damaged: order 3 has"),
        ("words-2.npy", lambda array: array.astype(np.float32), "cannot be float32"),
        ("log_probs-2.npy", lambda array: array.astype(np.uint8), "needs values for its codes"),
    ],
)
def test_arrays_that_do_not_belong_together_are_said(saved, name, made, message):
    change(saved, name, made)

    with pytest.raises(DataError, match=message):
        load(saved)


@pytest.mark.parametrize(
    "wrong",
    [
        {"order": 0}, {"order": "3"}, {"order": 4}, {"vocab_size": 41}, {"eos_id": 40}, {"eos_id": -1},
        {"arrays": {"../words-1.npy": {}}},
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_true_is_said(saved, wrong):
    record = json.loads((saved / "ngram.json").read_text())
    (saved / "ngram.json").write_text(json.dumps({**record, **wrong}))

    with pytest.raises(DataError, match=r"ngram\.json|words-\d\.npy"):
        load(saved)


def test_an_archive_in_the_place_of_an_array_is_said(saved):
    with (saved / "words-2.npy").open("wb") as file:
        np.savez(file, words=np.zeros(3))

    with pytest.raises(DataError, match=r"words-2\.npy is damaged"):
        load(saved)


@given(seed=st.integers(0, 1 << 30), high=st.sampled_from([2000, 1 << 32]))
@settings(max_examples=30, deadline=None)
def test_places_and_words_that_are_nowhere_are_not_looked_at(seed, high):
    rng, levels, (ids, context) = np.random.default_rng(seed), random_levels(), texts()

    def noise(array):
        return np.where(rng.random(len(array)) < 0.5, rng.integers(0, high, len(array)), array).astype(array.dtype)

    damaged = [levels[0], *(replace(one, starts=noise(one.starts), words=noise(one.words)) for one in levels[1:])]
    for tried in (damaged, [replace(one, index=noise(one.index)) for one in damaged]):
        looked_up = Lookup(tried)

        assert np.isfinite(looked_up.score(ids, context)[0]).all()
        assert np.isfinite(looked_up.next_log_probs(context)).all()


def test_an_index_without_an_empty_slot_is_gone_through_once():
    levels, (ids, context) = random_levels(), texts()
    full = [levels[0], *(replace(one, index=np.ones_like(one.index)) for one in levels[1:])]

    log_probs, _ = Lookup(full).score(ids, context)

    assert np.isfinite(log_probs).all()


def test_codes_without_a_value_stand_for_zero():
    levels, (ids, context) = quantize(random_levels(), 8), texts()
    first = [one.log_probs.values[0] for one in levels[1:]]

    def with_values(made):
        coded = [replace(one.log_probs, values=made(value)) for one, value in zip(levels[1:], first, strict=True)]
        return [levels[0], *(replace(one, log_probs=new) for one, new in zip(levels[1:], coded, strict=True))]

    cut = with_values(lambda value: np.array([value]))
    zeros = with_values(lambda value: np.append(value, np.zeros(255, np.float32)))

    assert (Lookup(cut).score(ids, context)[0] == Lookup(zeros).score(ids, context)[0]).all()


def test_arrays_that_are_not_aligned_are_looked_up_all_the_same():
    def shifted(array):
        memory = np.zeros(array.nbytes + 1, np.uint8)
        memory[1:] = array.view(np.uint8)
        return memory[1:].view(array.dtype)

    levels, (ids, context) = random_levels(), texts()
    names = ("words", "starts", "log_probs", "log_backoffs", "index")
    odd = [replace(one, **{name: shifted(getattr(one, name)) for name in names}) for one in levels]

    assert not odd[1].log_probs.flags.aligned
    assert (Lookup(odd).score(ids, context)[0] == Lookup(levels).score(ids, context)[0]).all()
    assert (Lookup(odd).next_log_probs(context) == Lookup(levels).next_log_probs(context)).all()


@pytest.mark.parametrize(("context", "message"), [([[0, 40]], "below 40"), ([[-2, 0]], "-1"), ([[0]], "2 words")])
def test_a_context_that_is_none_is_refused(context, message):
    looked_up, context = Lookup(random_levels()), np.array(context, dtype=np.int32)

    with pytest.raises(ValueError, match=message):
        looked_up.next_log_probs(context)
    with pytest.raises(ValueError, match=message):
        looked_up.score(np.zeros((1, 3), np.int32), context)


def test_tables_that_share_the_highest_order_alone_are_told_apart():
    levels, context = random_levels(), np.full((1, 2), -1, dtype=np.int32)
    others = [replace(levels[0], log_probs=levels[0].log_probs - 1), *levels[1:]]
    found = scoring.next_log_probs(levels, context)

    assert scoring.next_log_probs(others, context) == pytest.approx(found - 1)


def test_a_full_disk_is_said_before_an_index_is_filled(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)

    with pytest.raises(DataError, match=r"cannot write .*index-2\.npy: no space left"):
        storage.save(tmp_path, random_levels(), RECORD)
    assert not storage.is_model(tmp_path)


def test_a_file_system_that_cannot_reserve_space_is_written_to_all_the_same(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unsupported, raising=False)
    storage.save(tmp_path, random_levels(), RECORD)

    assert len(load(tmp_path).levels[1].index)


def test_a_model_over_one_that_shares_its_files_leaves_the_other_alone(saved, tmp_path_factory):
    folder, context = tmp_path_factory.mktemp("linked"), np.full((1, 2), -1, dtype=np.int32)
    expected = load(saved).next_log_probs(context)
    load(saved).save(folder)
    levels = [replace(one, log_probs=one.log_probs - 1) for one in random_levels()]

    NgramLanguageModel(levels, RECORD).save(folder)

    assert (load(saved).next_log_probs(context) == expected).all()
    assert load(folder).next_log_probs(context) == pytest.approx(expected - 1)


def test_a_model_is_saved_where_it_lies(saved):
    context = np.full((1, 2), -1, dtype=np.int32)
    model = load(saved)
    expected, files = model.next_log_probs(context), {file: file.stat().st_ino for file in saved.iterdir()}

    model.save(saved)

    assert (load(saved).next_log_probs(context) == expected).all()
    assert {file: file.stat().st_ino for file in saved.iterdir()} == files
