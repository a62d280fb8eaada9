"""Answers of a decoder: searched for or drawn as a `DecodingConfig` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from lmtool.decoding.beam import BeamSearch
from lmtool.decoding.constraints import Constraints
from lmtool.decoding.paths import PathSearch, greedy
from lmtool.decoding.sampling import Sampler
from lmtool.decoding.slots import Documents, search_all

if TYPE_CHECKING:
    from lmtool.array_types import Key
    from lmtool.decoding.constraints import Prefixes
    from lmtool.decoding.result import Answers
    from lmtool.decoding.slots import Search
    from lmtool.decoding.steps import Step, Target
    from lmtool.settings import DecodingConfig


def decode(
    step: Step,
    state: Any,
    target: Target,
    decoding: DecodingConfig,
    *,
    memory: Any = None,
    slots: int | None = None,
    prefixes: Prefixes | None = None,
    source_mask: jax.Array | None = None,
    rows: jax.Array | None = None,
    key: Key | None = None,
    numbers: jax.Array | None = None,
) -> Answers:
    """Up to `decoding.n_best` answers to each of B documents, the best first. Traceable; the caller compiles it.

    An answer depends on its document alone, bit for bit, as far as `step` gives each document what it would alone.
    `decoding.max_length` and `replace_unknown` are the caller's: the greatest length is `target`'s.

    Args:
        step: The decoder; K is `beam`, 1 with a beam of 1, and of samples `n_best`.
        state: Before the first token: a pytree of arrays [B, …]. What is [B, K, …] in `step` is made of it here.
        target: The vocabulary and the greatest length.
        decoding: Known before tracing, as are `step` and `target`.
        memory: What the decoder looks at of each document at every step: a pytree of arrays [B, …], or None.
        slots: How many documents are worked on at once; all if left out. With more documents than slots, `step` is
            traced for as many rows as there are slots.
        prefixes: What the answers begin with.
        source_mask: bool [B, S], True where a document has tokens; for the coverage penalty, if documents are padded.
        rows: bool [B], False for padding: rows without a document, whose answers mean nothing and are not waited for.
        key: Of samples.
        numbers: int32 [B], of the documents: a sample depends on `key` and the document's number.

    Raises:
        ValueError: samples without a key and numbers.
    """
    leaves = jax.tree.leaves((state, memory))
    if not leaves:
        raise ValueError("`state` or `memory` must hold an array [B, …]: it says how many documents there are")
    count = leaves[0].shape[0]
    documents = Documents(
        rows=jnp.ones(count, bool) if rows is None else rows,
        memory=memory,
        state=state,
        prefixes=prefixes,
        source_mask=source_mask,
        numbers=jnp.zeros(count, jnp.int32) if numbers is None else jnp.asarray(numbers, jnp.int32),
    )
    constraints = Constraints(target.eos_id, decoding.min_length, decoding.no_repeat_ngram)
    search: Search[Any]
    if decoding.sample:
        if key is None or numbers is None:
            raise ValueError("samples need a `key`, and the `numbers` of the documents")
        search = PathSearch(step, target, constraints, decoding, Sampler(decoding, key))
    elif decoding.beam == 1:
        search = PathSearch(step, target, constraints, decoding, greedy)
    else:
        search = BeamSearch(step, target, constraints, decoding)
    return search_all(search, documents, count if slots is None else slots)


__all__ = ["decode"]
