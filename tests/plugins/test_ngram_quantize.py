"""Probabilities and back-offs as codes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram_tables import random_ngrams, tables

from lmtool_ngram.model import NgramLanguageModel, load
from lmtool_ngram.tables import quantize as quantizing
from lmtool_ngram.tables import storage
from lmtool_ngram.tables.columns import ArrayColumn
from lmtool_ngram.tables.lookup import Lookup
from lmtool_ngram.tables.quantize import codebook, quantize, quantize_saved

RECORD = {"order": 3, "vocab_size": 40, "eos_id": 39}


@pytest.fixture
def levels():
    rng = np.random.default_rng(0)
    return tables(rng, random_ngrams(rng, 3, 40, [400, 900], closed=True), 40, closed=True)


def decoded(levels):
    """The tables with the numbers that the codes stand for."""
    return [
        replace(one, log_probs=np.asarray(one.log_probs), log_backoffs=np.asarray(one.log_backoffs)) for one in levels
    ]


def texts():
    rng = np.random.default_rng(1)
    return rng.integers(0, 10, (3, 200)).astype(np.int32), rng.integers(0, 10, (3, 2)).astype(np.int32)


@given(numbers=st.lists(st.floats(-50, 0, width=32), min_size=1, max_size=300), bits=st.integers(1, 10))
@settings(max_examples=60, deadline=None)
def test_a_codebook_is_ascending_and_no_longer_than_the_codes_allow(numbers, bits):
    column = ArrayColumn(np.array(numbers, dtype=np.float32))

    values = codebook(column, bits)

    assert 1 <= len(values) <= 1 << bits
    assert (np.diff(values) > 0).all()
    if len(set(numbers)) <= 1 << bits:
        assert set(values.tolist()) == set(numbers)


def test_few_different_numbers_are_kept_however_often_they_occur(monkeypatch):
    monkeypatch.setattr(quantizing, "SAMPLE", 100)
    numbers = np.repeat(np.array([-3.3, -1.7, -0.2, 0.0], dtype=np.float32), [1000, 1000, 1000, 1])

    assert set(codebook(ArrayColumn(numbers), 8).tolist()) == set(numbers.tolist())


def test_zero_and_minus_infinity_are_kept():
    numbers = np.concatenate([np.linspace(-9, -1, 5000), [0.0, -np.inf]]).astype(np.float32)

    values = codebook(ArrayColumn(numbers), 5)

    assert {0.0, -np.inf} < set(values.tolist())
    assert len(values) <= 32


def test_steps_are_nearly_even_however_many_numbers_are_the_same():
    # 99 of 100 numbers are about -3; even steps over 9 nats with 256 values are 0.035 wide, half of that is the error.
    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.normal(-3, 0.01, 99_000), rng.uniform(-10, -1, 1000)]).astype(np.float32)

    values = codebook(ArrayColumn(numbers), 8)

    nearest = np.abs(values[None] - np.linspace(-10, -1, 400)[:, None]).min(axis=1)
    assert nearest.max() < 4 * 0.018


@pytest.mark.parametrize(("bits", "code_type"), [(4, "uint8"), (8, "uint8"), (9, "uint16"), (16, "uint16")])
def test_what_is_looked_up_are_the_numbers_of_the_codes(levels, bits, code_type):
    coded, (ids, context) = quantize(levels, bits), texts()

    found, plain = Lookup(coded), Lookup(decoded(coded))

    assert coded[1].log_probs.codes.dtype == coded[2].log_probs.codes.dtype == code_type
    assert (found.score(ids, context)[0] == plain.score(ids, context)[0]).all()
    assert (found.score(ids, context)[1] == Lookup(levels).score(ids, context)[1]).all()
    assert (found.next_log_probs(context) == plain.next_log_probs(context)).all()


def test_more_bits_are_nearer_to_the_exact_model(levels):
    ids, context = texts()
    exact = Lookup(levels).score(ids, context)[0]

    errors = [np.abs(Lookup(quantize(levels, bits)).score(ids, context)[0] - exact).max() for bits in (4, 6, 8, 16)]

    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == 0.0  # as many codes as there are numbers


def test_unigrams_stay_exact(levels):
    assert (quantize(levels, 4)[0].log_probs == levels[0].log_probs).all()


def test_a_model_without_context_has_nothing_to_quantize(levels):
    unigrams = replace(levels[0], log_backoffs=np.zeros(0, np.float32))
    ids, _ = texts()

    found = Lookup(quantize([unigrams], 8)).score(ids, np.zeros((3, 0), np.int32))[0]

    assert (found == unigrams.log_probs[ids]).all()


# On disk --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [5, 12])
def test_a_saved_model_is_quantized_in_its_place(levels, tmp_path, monkeypatch, bits):
    monkeypatch.setattr(quantizing, "_PIECE", 100)
    storage.save(tmp_path, levels, RECORD)
    before = sum(file.stat().st_size for file in tmp_path.glob("*.npy"))

    quantize_saved(tmp_path, bits)

    loaded, expected = load(tmp_path).levels, quantize(levels, bits)
    for one, other in zip(loaded[1:], expected[1:], strict=True):
        assert (np.asarray(one.log_probs) == np.asarray(other.log_probs)).all()
        assert (np.asarray(one.log_backoffs) == np.asarray(other.log_backoffs)).all()
        assert len(one.index)
        assert one.closed
    assert isinstance(loaded[1].log_probs.codes.base, np.memmap)
    assert bits > 8 or sum(file.stat().st_size for file in tmp_path.glob("*.npy")) < before
    assert not list(tmp_path.glob("*.new"))


def test_a_quantized_model_is_saved_and_loaded(levels, tmp_path):
    model = NgramLanguageModel(quantize(levels, 8), RECORD)
    ids, context = texts()

    model.save(tmp_path)

    assert (load(tmp_path).score(ids, context)[0] == model.score(ids, context)[0]).all()


def test_a_model_of_the_first_version_still_loads(levels, tmp_path):
    storage.save(tmp_path, levels, RECORD)
    record = json.loads((tmp_path / "ngram.json").read_text())
    arrays = {name: facts for name, facts in record["arrays"].items() if not name.startswith("index")}
    old = {key: value for key, value in record.items() if key != "closed"} | {"version": 1, "arrays": arrays}
    (tmp_path / "ngram.json").write_text(json.dumps(old))
    for file in tmp_path.glob("index-*"):
        file.unlink()
    ids, context = texts()

    loaded = load(tmp_path)

    assert not any(len(one.index) or one.closed for one in loaded.levels)
    assert (loaded.score(ids, context)[0] == Lookup(levels).score(ids, context)[0]).all()
