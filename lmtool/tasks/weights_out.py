"""A trained network for other programs: its weights with their names, or its scoring function as it is compiled.

docs/reference/weights.md says what is in both.
"""

from __future__ import annotations

import contextlib
import json
import struct
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.tasks import stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmtool.api import Tokenizer
    from lmtool.tasks.network import LanguageModelNetwork

FORMATS = ("safetensors", "stablehlo", "word2vec")
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def export(format: str, network: LanguageModelNetwork, params: Any, tokenizer: Tokenizer) -> bytes:
    """The file's content; `format` is one of `FORMATS`."""
    if format == "safetensors":
        weights = stored.to_safetensors(params, network.output.constants())
        return with_metadata(weights, metadata(network, tokenizer))
    if format == "word2vec":
        return to_word2vec(embedding_table(network, params), tokenizer.tokens(range(network.vocab_size)))
    return to_stablehlo(network, params, tokenizer.eos_id)


def embedding_table(network: LanguageModelNetwork, params: Any) -> jax.Array:
    """float32 [V, E]: what the network reads for each id, however it keeps it."""
    weights = network.apply(params, method="output_weights")
    embedded: jax.Array = network.output.embed(weights, jnp.arange(network.vocab_size))
    return embedded


def to_word2vec(table: jax.Array, tokens: Sequence[str]) -> bytes:
    """Vectors [V, E] in the text format of word2vec: counts, then a token and its numbers in each line.

    A token with white space in it cannot be said in this format and is left out, as is an empty one.
    """
    rows = [(token, row) for token, row in zip(tokens, np.asarray(table), strict=True) if token.split() == [token]]
    lines = [f"{len(rows)} {table.shape[1]}"]
    lines += [f"{token} {' '.join(_shortest(number) for number in row)}" for token, row in rows]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def _shortest(number: np.float32) -> str:
    """The shortest decimal that is read as the same float32."""
    return np.format_float_positional(number, trim="-") if number else "0"


# Weights --------------------------------------------------------------------------------------------------------------


def metadata(network: LanguageModelNetwork, tokenizer: Tokenizer) -> dict[str, str]:
    """What it takes besides the weights to build the network anew, and to know what its ids stand for."""
    backbone = network.backbone
    settings: Any = getattr(backbone, "config", None)
    return {
        "format": "lmtool-weights",
        "version": "1",
        "vocab_size": str(network.vocab_size),
        "eos_id": str(tokenizer.eos_id),
        "unk_id": "" if tokenizer.unk_id is None else str(tokenizer.unk_id),
        "tokens": json.dumps(tokenizer.tokens(range(network.vocab_size)), ensure_ascii=False),
        "tokenizer": tokenizer.fingerprint,
        "task": network.config.model_dump_json(),
        "backbone": f"{type(backbone).__module__}:{type(backbone).__qualname__}",
        "backbone_config": settings.model_dump_json() if hasattr(settings, "model_dump_json") else "{}",
    }


def with_metadata(file: bytes, metadata: dict[str, str]) -> bytes:
    """A safetensors file with metadata. The library would write them in another order each time."""
    (length,) = struct.unpack("<Q", file[:8])
    header = {"__metadata__": metadata, **json.loads(file[8 : 8 + length])}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned
    return struct.pack("<Q", len(text)) + text + file[8 + length :]


# The scoring function -------------------------------------------------------------------------------------------------


def to_stablehlo(network: LanguageModelNetwork, params: Any, eos_id: int) -> bytes:
    """`score(ids, state) -> (log_probs, state)` with the weights inside, for any B and T, as `jax.export` writes it."""
    from jax import export

    batch, time = export.symbolic_shape("B, T")
    scoring = Scoring(network, params, eos_id)
    arguments = (_shape(batch, time), scoring.state_shapes(batch))
    try:
        jax.eval_shape(scoring.score, *arguments)
    except Exception:  # a backbone may want to know B and T, and raise anything if it cannot
        scoring.read = scoring.read_singly
    with _without_paths():
        exported = export.export(jax.jit(scoring.score), platforms=PLATFORMS)(*arguments)
    return bytes(exported.serialize())


@contextlib.contextmanager
def _without_paths() -> Iterator[None]:
    """Leave out of what is compiled where the code lies: nobody's business, and one model would give many files."""
    config: Any = jax.config
    before = config.jax_traceback_in_locations_limit
    config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        config.update("jax_traceback_in_locations_limit", before)


class Scoring:
    """The function that is exported; its state is a tuple of arrays [B, …] that are all zero before the first token.

    They are the leaves of the carry before the last token, and that token's id plus one.
    """

    def __init__(self, network: LanguageModelNetwork, params: Any, eos_id: int) -> None:
        self.network, self.params, self.eos_id = network, params, eos_id
        self.fresh = jax.tree.map(np.asarray, network.initial_carry(1))
        self.read = self.read_at_once

    def state_shapes(self, batch_size: Any) -> tuple[jax.ShapeDtypeStruct, ...]:
        leaves = jax.tree.leaves(self.fresh)
        return (*(_shape(batch_size, *one.shape[1:], dtype=one.dtype) for one in leaves), _shape(batch_size))

    def score(self, ids: jax.Array, state: tuple[jax.Array, ...]) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """int32 [B, T] to float32 [B, T], nats, and the state after the last token."""
        *leaves, last = state
        carry = jax.tree.unflatten(jax.tree.structure(self.fresh), leaves)
        carry = jax.tree.map(lambda one, fresh: jnp.where(_like(last > 0, one), one, fresh), carry, self.fresh)
        first = jnp.where(last > 0, last - 1, self.eos_id)
        inputs = jnp.concatenate([first[:, None], ids[:, :-1]], axis=1)
        with jax.default_matmul_precision("highest"):
            h, carry = self.read(inputs, carry)
            weights = self.network.apply(self.params, method="output_weights")
            log_probs = self.network.output.log_probs(weights, h.reshape(-1, h.shape[-1]))
        chosen = jnp.take_along_axis(log_probs, ids.reshape(-1, 1), axis=1).reshape(ids.shape)
        return chosen, (*jax.tree.leaves(carry), ids[:, -1] + 1)

    def read_at_once(self, inputs: jax.Array, carry: Any) -> tuple[jax.Array, Any]:
        """[B, T, E] and the carry."""
        read: tuple[jax.Array, Any] = self.network.apply(self.params, inputs, None, carry, train=False)
        return read

    def read_singly(self, inputs: jax.Array, carry: Any) -> tuple[jax.Array, Any]:
        """The same row by row and step by step: the backbone always sees B = T = 1."""

        def step(carry: Any, token: jax.Array) -> tuple[Any, jax.Array]:
            h, carry = self.read_at_once(token[None, None], carry)
            return carry, h[0, 0]

        def row(tokens: jax.Array, carry: Any) -> tuple[jax.Array, Any]:
            carry, hs = jax.lax.scan(step, jax.tree.map(lambda one: one[None], carry), tokens)
            return hs, jax.tree.map(lambda one: one[0], carry)

        read: tuple[jax.Array, Any] = jax.vmap(row)(inputs, carry)
        return read


def _shape(*sizes: Any, dtype: Any = np.int32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)  # type: ignore[no-untyped-call]


def _like(rows: jax.Array, array: jax.Array) -> jax.Array:
    """[B] as [B, 1, …], with as many axes as `array` has."""
    return rows.reshape(rows.shape + (1,) * (array.ndim - 1))


__all__ = ["FORMATS", "export"]
