"""A trained network as a `TextModel`: exact in float32, few compiled shapes, bounded memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from lmtool.decoding import Prefixes, Target, hypotheses
from lmtool.errors import UsageError
from lmtool.facts import read_facts, write_facts
from lmtool.tasks import stored
from lmtool.tasks.buckets import grouped
from lmtool.tasks.files import FACTS
from lmtool.tasks.seq2seq.functions import Functions
from lmtool.tasks.seq2seq.network import Seq2SeqNetwork
from lmtool.tasks.seq2seq.pairs import cutter_of
from lmtool.tasks.side_by_side import most_at_once, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lmtool.api import Backbone, Document, Hypothesis
    from lmtool.array_types import Stream, StreamLogProbs
    from lmtool.settings import DecodingConfig
    from lmtool.tasks.seq2seq.config import Seq2SeqConfig

POSITIONS = 1 << 14
"""Positions that are read by one call, at most. The shapes of what is computed depend on widths alone, so that those of
a document do not depend on others, and neither do the last bits of what is said of it."""
MOST_ROWS = 32
DEPTH = 8
"""So many documents take turns in each slot, at most."""
NARROWEST = 16
"""Texts are padded to this width or a power of two of it: few shapes, each of which is compiled."""


@dataclass(frozen=True)
class Facts:
    """What a model knows besides its weights."""

    vocab_size: int
    eos_id: int
    target_vocab_size: int
    target_eos_id: int
    longest_target: int
    """Ids that were learned of a target, without the end."""

    @classmethod
    def parse(cls, values: Any) -> Facts:
        return cls(**{one.name: int(values[one.name]) for one in fields(cls)})


class JointTextModel:
    """Networks that write together: each next token has the mean of their probabilities.

    It has all methods of `lmtool.api.TextModel` but `save`.

    Args:
        functions: Of the networks, which read the same of a document.
        params: Of each of them.
        known: Which they share; not `facts`, which of a fitted model are what its run notes.
    """

    def __init__(self, functions: Functions, params: tuple[Any, ...], known: Facts) -> None:
        self.functions, self.all_params, self.known = functions, params, known
        self.vocab_size, self.target_vocab_size = known.vocab_size, known.target_vocab_size
        self._cutter = cutter_of(functions.networks[0].config, known.eos_id)

    def generate(
        self,
        documents: Sequence[Document],
        decoding: DecodingConfig,
        *,
        prefixes: Sequence[Stream] | None = None,
        seed: int = 0,
        first: int = 0,
    ) -> list[list[Hypothesis]]:
        self._check(decoding)
        longest = decoding.max_length or self.known.longest_target + 1  # its end is a token, too
        target = Target(self.target_vocab_size, self.known.target_eos_id, max(1, longest))
        key = jax.random.key(seed)

        def some(numbers: list[int], source: np.ndarray, mask: np.ndarray) -> list[list[Hypothesis]]:
            start = None if prefixes is None else _prefixes([prefixes[number] for number in numbers], len(source))
            rows = np.arange(len(source)) < len(numbers)
            places = np.zeros(len(source), np.int32)
            places[: len(numbers)] = np.array(numbers) + first
            how = {"target": target, "decoding": decoding, "slots": slots_of(source.shape[1])}
            answers = self.functions.answers(self.all_params, source, mask, start, rows, places, key, **how)
            return hypotheses(answers, len(numbers))

        out: list[list[Hypothesis]] = [[] for _ in documents]
        sources = self._sources(documents)
        batches = ((numbers, numbers, *arrays) for numbers, *arrays in self._batches(sources))
        for numbers, found in side_by_side(some, batches):
            for number, answers in zip(numbers, found, strict=True):
                out[number] = self._in_document(answers, documents[number])
        return out

    def _check(self, decoding: DecodingConfig) -> None:
        """Raises UsageError if attention is asked for that the model does not have, or more tokens than it writes."""
        if decoding.max_length is None and decoding.min_length > self.known.longest_target:
            what = f"min_length must be at most {self.known.longest_target}, the longest target of training"
            raise UsageError(f"{what}, got {decoding.min_length}", hint="or give a max_length, too")
        if self.functions.have_attention:
            return
        if asked := next((name for name in ("coverage_penalty", "replace_unknown") if getattr(decoding, name)), None):
            hint = "leave it out, or train with another `task.attention`"
            raise UsageError(f'{asked} looks at attention, which a model with attention = "none" does not have', hint)

    def _in_document(self, answers: list[Hypothesis], document: Document) -> list[Hypothesis]:
        """The same, with sources among all ids of the document, not among those that are read of it."""
        places = self._cutter.places(document.ids).astype(np.int32)
        return [one if one.sources is None else replace(one, sources=places[one.sources]) for one in answers]

    def _batches(self, sources: list[Stream]) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
        """Numbers of sources that are answered by one call, their ids and mask.

        The longest come first, since their answers are long, too: short ones fill the slots that are free at the end.
        """
        lengths = [len(source) for source in sources]
        for width, members in grouped([width_of(length) for length in lengths]):
            members.sort(key=lengths.__getitem__, reverse=True)
            for numbers in evenly(members, slots_of(width), rows_of(width)):
                yield numbers, *self.padded([sources[number] for number in numbers], rows_of(width), width)

    def target_log_probs(self, documents: Sequence[Document], targets: Sequence[Stream]) -> list[StreamLogProbs]:
        sources = self._sources(documents)
        ended = [np.append(target, self.known.target_eos_id).astype(np.int32) for target in targets]
        out = [np.zeros(0)] * len(sources)
        for numbers, found in side_by_side(self._some_log_probs, self._pairs(sources, ended)):
            for row, number in enumerate(numbers):
                out[number] = found[row, : len(ended[number])]
        return out

    def _some_log_probs(self, source: np.ndarray, mask: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.asarray(self.functions.target_log_probs(self.all_params, source, mask, targets), np.float64)

    def _pairs(self, sources: list[Stream], targets: list[Stream]) -> Iterator[tuple[Any, ...]]:
        """Numbers of pairs, and what is computed of them at once."""
        widths = [(width_of(len(one)), width_of(len(other))) for one, other in zip(sources, targets, strict=True)]
        for (source_width, target_width), members in grouped(widths):
            rows = slots_of(source_width + target_width)
            for start in range(0, len(members), rows):
                numbers = members[start : start + rows]
                source, mask = self.padded([sources[number] for number in numbers], rows, source_width)
                wanted, _ = self.padded([targets[number] for number in numbers], rows, target_width)
                yield numbers, source, mask, wanted

    def _sources(self, documents: Sequence[Document]) -> list[Stream]:
        """What is read of each document."""
        return [self._cutter.windows(document.ids)[0] for document in documents]

    @staticmethod
    def padded(texts: list[Stream], rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """int32 ids and bool mask, [rows, width]; a row without a text is read as a single id."""
        ids, mask = np.zeros((rows, width), np.int32), np.zeros((rows, width), bool)
        mask[:, 0] = True
        for row, text in enumerate(texts):
            ids[row, : len(text)], mask[row, : len(text)] = text, True
        return ids, mask


class NeuralTextModel(JointTextModel):
    """One network; see `lmtool.api.TextModel`."""

    def __init__(self, functions: Functions, params: Any, known: Facts) -> None:
        super().__init__(functions, (params,), known)
        self.params = params

    def with_params(self, params: Any) -> NeuralTextModel:
        return NeuralTextModel(self.functions, params, self.known)

    def averaged(self, params: Sequence[Any]) -> JointTextModel:
        networks = self.functions.networks * len(params)
        return JointTextModel(Functions(networks), tuple(params), self.known)

    def save(self, folder: Path) -> None:
        """`weights.safetensors`, its names the paths in the parameters (`backbone.layer_0_bias`), and `model.json`."""
        # Written by Python, so that a full disk is an OSError as everywhere.
        (folder / stored.WEIGHTS).write_bytes(stored.to_safetensors(self.params))
        write_facts(folder / FACTS, asdict(self.known))


def _prefixes(texts: list[Stream], rows: int) -> Prefixes:
    """What answers begin with, padded to few widths."""
    width = width_of(max(1, *map(len, texts)))
    ids, lengths = np.zeros((rows, width), np.int32), np.zeros(rows, np.int32)
    for row, text in enumerate(texts):
        ids[row, : len(text)], lengths[row] = text, len(text)
    return Prefixes(jnp.asarray(ids), jnp.asarray(lengths))


def slots_of(width: int) -> int:
    """How many documents of a width are read or answered at once.

    >>> [slots_of(width) for width in (16, 512, 1024)]
    [32, 32, 16]
    """
    return max(1, min(MOST_ROWS, POSITIONS // width))


def rows_of(width: int) -> int:
    """Of documents that are answered by one call: a multiple of `slots_of`.

    >>> [rows_of(width) for width in (16, 64, 128, 1024)]
    [256, 256, 128, 16]
    """
    return max(slots_of(width), min(DEPTH * MOST_ROWS, POSITIONS // width))


def evenly(members: list[int], slots: int, most: int) -> list[list[int]]:
    """Parts of at most so many, in which the order stays the same; each core gets one if there are enough."""
    at_least, threads = -(-len(members) // most), most_at_once()
    parts = max(at_least, min(-(-at_least // threads) * threads, -(-len(members) // slots)))
    return [members[start::parts] for start in range(parts)]


def width_of(length: int) -> int:
    """To which a text is padded.

    >>> [width_of(length) for length in (1, 16, 17, 100)]
    [16, 16, 32, 128]
    """
    return NARROWEST << max(0, (-(-length // NARROWEST) - 1).bit_length())


def load_text_model(folder: Path, config: Seq2SeqConfig, backbone: Backbone, encoder: Backbone) -> NeuralTextModel:
    """What `NeuralTextModel.save` wrote. Raises DataError if a file is missing, damaged, or another network's."""
    facts = read_facts(folder / FACTS, Facts.parse)
    network = Seq2SeqNetwork(config, facts.vocab_size, facts.eos_id, facts.target_vocab_size, encoder, backbone)
    params = stored.as_params(folder, stored.read_tensors(folder), network)
    return NeuralTextModel(Functions((network,)), params, facts)


__all__ = ["Facts", "Functions", "NeuralTextModel", "load_text_model"]
