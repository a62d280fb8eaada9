"""Looking n-grams up on a device: the same as on the host, inside whatever JAX makes of it."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram_tables import random_ngrams, tables

from lmtool_ngram.tables import device, scoring
from lmtool_ngram.tables.device import DeviceTables
from lmtool_ngram.tables.lookup import NOTHING, Lookup
from lmtool_ngram.tables.quantize import quantize

VOCAB_SIZE, EOS = 12, 11


def random_levels(seed, order, *, closed=True):
    rng = np.random.default_rng(seed)
    sizes = [12 * n for n in range(1, order)]
    return tables(rng, random_ngrams(rng, order, VOCAB_SIZE, sizes, closed=closed), VOCAB_SIZE, closed=closed)


def texts(seed, rows, steps, order):
    rng = np.random.default_rng(seed)
    context = rng.integers(0, 4, (rows, order - 1))
    context[np.arange(order - 1)[None] < rng.integers(0, order, rows)[:, None]] = NOTHING
    ids = np.where(rng.random((rows, steps)) < 0.3, rng.integers(0, VOCAB_SIZE, (rows, steps)), 1)
    return ids.astype(np.int32), context.astype(np.int32)


seeds = st.integers(0, 1 << 30)


@given(seed=seeds, order=st.integers(1, 5), closed=st.booleans())
@settings(max_examples=15, deadline=None)
def test_scores_are_those_of_the_host(seed, order, closed):
    levels, (ids, context) = random_levels(seed, order, closed=closed), texts(seed, 3, 20, order)
    expected, expected_matched = Lookup(levels).score(ids, context)

    log_probs, matched = device.score(DeviceTables.from_levels(levels), jnp.asarray(ids), jnp.asarray(context))

    assert (log_probs.dtype, matched.dtype) == (np.float32, np.int8)
    assert (np.asarray(matched) == expected_matched).all()
    assert np.asarray(log_probs) == pytest.approx(expected, abs=1e-5, rel=1e-6)


@given(seed=seeds, order=st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_the_distribution_of_the_next_token_is_that_of_the_host(seed, order):
    levels, (_, context) = random_levels(seed, order), texts(seed, 4, 1, order)

    log_probs = device.next_log_probs(DeviceTables.from_levels(levels), jnp.asarray(context))

    assert log_probs.dtype == np.float32
    assert np.asarray(log_probs) == pytest.approx(Lookup(levels).next_log_probs(context), abs=1e-5, rel=1e-6)


def test_more_continuations_than_are_taken_at_once_are_all_there(monkeypatch):
    levels, (_, context) = random_levels(1, 3), texts(1, 4, 1, 3)
    monkeypatch.setattr(device, "CHUNK", 2)

    log_probs = device.next_log_probs(DeviceTables.from_levels(levels), jnp.asarray(context))

    assert np.asarray(log_probs) == pytest.approx(Lookup(levels).next_log_probs(context), abs=1e-5)


@given(seed=seeds, steps=st.integers(0, 6), order=st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_contexts_go_on_as_on_the_host(seed, steps, order):
    ids, context = texts(seed, 3, steps, order)
    ids[ids > 5] = EOS

    found = device.next_context(jnp.asarray(ids), jnp.asarray(context), EOS)

    assert np.asarray(found).tolist() == scoring.next_context(ids, context, EOS).tolist()


def test_it_is_compiled_once_for_all_tables_of_a_shape():
    levels, (ids, context) = random_levels(2, 3), texts(2, 2, 8, 3)
    other = [replace(level, log_probs=level.log_probs - 1) for level in levels]
    compiled = jax.jit(device.score)

    one, _ = compiled(DeviceTables.from_levels(levels), ids, context)
    two, _ = compiled(DeviceTables.from_levels(other), ids, context)

    assert compiled._cache_size() == 1
    assert np.asarray(two) == pytest.approx(np.asarray(one) - 1, abs=1e-5)


def test_it_can_be_mapped_over_another_axis():
    levels, (ids, context) = random_levels(3, 4), texts(3, 6, 8, 4)
    on_device = DeviceTables.from_levels(levels)
    expected, _ = device.score(on_device, jnp.asarray(ids), jnp.asarray(context))
    ids, context = (jnp.asarray(one).reshape(2, 3, -1) for one in (ids, context))

    log_probs, _ = jax.jit(jax.vmap(device.score, in_axes=(None, 0, 0)))(on_device, ids, context)

    assert np.asarray(log_probs.reshape(6, 8)) == pytest.approx(np.asarray(expected))


def test_a_loss_that_mixes_it_in_has_a_gradient():
    levels, (ids, context) = random_levels(4, 3), texts(4, 2, 8, 3)
    on_device = DeviceTables.from_levels(levels)

    def loss(weight):
        mixed = jnp.logaddexp(jnp.log(weight) + device.score(on_device, ids, context)[0], jnp.log(1 - weight) - 3.0)
        return -mixed.mean() - device.next_log_probs(on_device, context).mean() * weight

    assert np.isfinite(jax.jit(jax.grad(loss))(jnp.float32(0.3)))


def test_codes_are_decoded():
    levels, (ids, context) = quantize(random_levels(5, 3), 4), texts(5, 2, 20, 3)

    log_probs, _ = device.score(DeviceTables.from_levels(levels), jnp.asarray(ids), jnp.asarray(context))

    assert np.asarray(log_probs) == pytest.approx(Lookup(levels).score(ids, context)[0], abs=1e-5)


def test_more_ngrams_than_places_have_numbers_are_refused(monkeypatch):
    monkeypatch.setattr(device, "MOST", 20)

    with pytest.raises(ValueError, match=r"an order has \d+ n-grams; fewer than 2\^31"):
        DeviceTables.from_levels(random_levels(6, 3))
