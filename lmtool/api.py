"""The contracts between the host and its plugins. Light: standard library only at run time.

A plugin's entry module yields `Component`s; each component's `target` follows the protocol of its kind below. What
every plugin of a kind must do is checked by `lmtool.testing`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from lmtool.array_types import Embedded, Hidden, Key, Mask, Stream
    from lmtool.data.dataset import Dataset

API_VERSION = 1
"""The version of the protocols in this module; a component made for another is not loaded."""

KINDS = ("reader", "tokenizer", "model", "task", "optimizer", "step", "evaluator", "tracker")
"""Kinds of components, each with its hook `lmtool_register_<kind>s`."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


# What a plugin's hooks yield ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A light description of something that a plugin offers.

    Raises:
        ValueError: if the name or a target is malformed.
    """

    name: str
    """Unique within its kind: lower-case letters, digits, hyphens."""
    target: str
    """`"package.module:attribute"`, imported on first use."""
    summary: str
    """One line for `lmtool plugins list`."""
    config: str | None = None
    """`"package.module:Class"`, a subclass of `lmtool.config.Config` in a module that imports nothing heavy."""
    capabilities: frozenset[str] = frozenset()
    """What the target can do. Models: `backbone` or `fitted`; `causal`, `stateful`."""
    api: int = API_VERSION
    """The version of the kind's protocol that the target follows."""
    version: int = 1
    """The version of its behaviour, recorded in runs; raised when the same config gives other numbers."""

    def __post_init__(self) -> None:
        _check_descriptor(self.name, self.target, self.config)
        object.__setattr__(self, "capabilities", frozenset(self.capabilities))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """A sub-command that a plugin adds: `target` names a `typer.Typer` application."""

    name: str
    target: str
    summary: str
    api: int = API_VERSION

    def __post_init__(self) -> None:
        _check_descriptor(self.name, self.target)


def _check_descriptor(name: str, *targets: str | None) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"`name` (={name!r}) must be lower-case letters, digits and hyphens")
    for target in filter(None, targets):
        if not _TARGET.fullmatch(target):
            raise ValueError(f"{name}: {target!r} must look like 'package.module:attribute'")


# Text ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """A piece of a corpus: one or more whole lines of one document.

    A large document is given in several records, so that nobody needs to hold it at once.
    """

    text: str
    """Lines joined by `\\n`, without the last line's end."""
    last: bool = True
    """False if the same document goes on in the next record."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What else the source says of the document: labels, targets."""


class Reader(Protocol):
    """Reads one format. Made by `target(config)`."""

    def read(self, source: str) -> Iterator[Record]:
        """The records of one source, in order, in bounded memory.

        Args:
            source: A file's path, `-` for stdin, or the rest of a `scheme:name` that the reader is registered for.

        Raises:
            DataError: names the source, the line and the cure.
        """
        ...


class Tokenizer(Protocol):
    """Lines of text to ids and back. A pure, deterministic, picklable value.

    An id of `eos_id` stands for the end of a line and nothing else; `encode` never yields it.
    """

    vocab_size: int
    eos_id: int
    unk_id: int | None
    """None if every text can be encoded."""
    unit: Literal["byte", "char", "word", "subword"]
    """What one token is: with `word`, a token is one whitespace-separated word."""
    fingerprint: str
    """Hash of everything that decides the ids."""

    @classmethod
    def train(cls, lines: Iterable[str], config: Any) -> Tokenizer:
        """A tokenizer whose vocabulary comes from `lines` (the training text alone)."""
        ...

    def encode(self, line: str) -> list[int]:
        """The ids of one line, without `eos_id`."""
        ...

    def encode_batch(self, lines: Sequence[str]) -> Stream:
        """The ids of many lines in one stream, `eos_id` after each line. Must equal `encode` line by line."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text again; `eos_id` becomes a line end. `decode(encode(s)) == s` up to what the docs of it state."""
        ...

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Each id as a printable string."""
        ...

    def save(self, folder: Path) -> None:
        """Write plain files (JSON, text) into an existing folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Raises DataError if a file is missing or damaged."""
        ...


# Models --------------------------------------------------------------------------------------------------------------


class LanguageModel(Protocol):
    """A trained language model, as `eval`, `score` and `generate` see it: counted or neural, nobody can tell.

    A state summarises everything read so far, the last token included, for each of B independent streams. It is an
    opaque value that the caller hands back; it is never changed in place. A fresh state stands before the first line.
    """

    vocab_size: int
    stateful: bool
    """True if what was read in earlier lines changes predictions; False if each line starts anew."""

    def initial_state(self, batch_size: int) -> Any:
        """The state before any token, for `batch_size` streams."""
        ...

    def score(self, ids: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Log-probability, in nats, of each token given all before it, and the state after the last.

        Args:
            ids: int [B, T]; T may differ from call to call.
            state: For B streams.

        Returns:
            float [B, T], and the new state.
        """
        ...

    def next_log_probs(self, state: Any) -> np.ndarray:
        """float [B, V]: the distribution of the next token, in nats; its exponentials sum to one."""
        ...

    def save(self, folder: Path) -> None:
        """Write into an existing folder: arrays as `.npz`/`.safetensors`, the rest as JSON. Never a pickle."""
        ...


class FittedModel(Protocol):
    """A model that is estimated from the whole data set at once instead of taking steps. Made by `target(config)`."""

    def fit(self, dataset: Dataset, *, progress: Callable[[str, float], None]) -> LanguageModel:
        """Estimate from `dataset.split("train")` alone; other splits only for what the config says (say, weights).

        Args:
            dataset: See `lmtool.data.dataset`.
            progress: Called with a phase's name and the fraction of the whole work done, 0 to 1.
        """
        ...

    def load(self, folder: Path) -> LanguageModel:
        """What `LanguageModel.save` wrote. Raises DataError if it is damaged."""
        ...


class Backbone(Protocol):
    """Embedded tokens to hidden states: a `flax.linen.Module` made by `target(config)`; tasks add embedding and head.

    Position t sees positions up to t only, and two windows with the carry handed on equal one long window.
    """

    @property
    def features(self) -> int:
        """H, the size of the output."""
        ...

    def initial_carry(self, batch_size: int, input_size: int) -> Any:
        """A pytree of arrays [B, …] that stands for "nothing read yet"; a pure function of its arguments."""
        ...

    def __call__(self, x: Embedded, mask: Mask | None, carry: Any, *, train: bool) -> tuple[Hidden, Any]:
        """One window.

        Args:
            x: [B, T, E].
            mask: [B, T], False at padding, which comes after the last real position of a row and must change neither
                the other outputs nor the carry; None if there is no padding.
            carry: From `initial_carry` or the previous window.
            train: True for dropout and its like (`self.make_rng("dropout")`).

        Returns:
            [B, T, H] and the carry after the last unmasked position of each row.
        """
        ...


# Learning ------------------------------------------------------------------------------------------------------------


class Task(Protocol):
    """What is learned. Made by `target(config, dataset=…, backbone=…, training=…)`; see `lmtool.tasks`."""

    num_data: int
    """Training targets in one epoch."""

    def init(self, key: Key) -> Any:
        """Fresh parameters: a pytree of float32 arrays, a pure function of `key`."""
        ...

    def initial_carry(self) -> Any:
        """The carry at the start of an epoch; `()` if windows are independent."""
        ...

    @property
    def steps_per_epoch(self) -> int: ...

    def batch(self, step: int) -> Mapping[str, np.ndarray]:
        """The training batch of a step, counted from 0: a pure function of the seed and the step."""
        ...

    def loss(self, params: Any, carry: Any, batch: Mapping[str, Any], key: Key) -> tuple[Any, tuple[Any, Any]]:
        """Mean loss over the batch's unmasked targets, in nats, and `(new carry, number of targets)`. Traceable."""
        ...

    def predictor(self, params: Any) -> LanguageModel:
        """The trained model with these parameters."""
        ...

    @classmethod
    def load(cls, folder: Path, config: Any, *, backbone: Backbone) -> LanguageModel:
        """What the `save` of a predictor wrote. Raises DataError if it is damaged."""
        ...


class Optimizer(Protocol):
    """Gradient to update: optax's `init` and `update`, and how weights are sampled and averaged."""

    def init(self, params: Any) -> Any: ...

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]: ...

    def sample_params(self, params: Any, state: Any, *, key: Key) -> Any:
        """The weights at which the gradient is taken; the parameters themselves by default."""
        ...

    def eval_params(self, params: Any, state: Any) -> Any:
        """The weights to evaluate and to ship; the parameters themselves by default."""
        ...


class OptimizerFactory(Protocol):
    """The target of an optimizer component."""

    def __call__(self, config: Any, *, total_steps: int, num_data: int) -> Any:
        """An `Optimizer`, or a plain `optax.GradientTransformation`.

        Args:
            config: Of the component's config class.
            total_steps: Steps that the whole training will take; for schedules.
            num_data: Training targets in one epoch; for variational methods.
        """
        ...


class StepFactory(Protocol):
    """The target of a step component: compiles loss and optimizer into one update on the device."""

    def __call__(
        self, config: Any, loss: Callable[..., Any], optimizer: Optimizer, *, max_grad_norm: float | None
    ) -> Any:
        """`step(state, batch) -> (state, metrics)`, jit-compiled once; see `lmtool.training_state`.

        Args:
            config: Of the component's config class.
            loss: `Task.loss`.
            optimizer: Whose gradients are taken at `sample_params`.
            max_grad_norm: Global norm to which gradients are scaled down; None to leave them.
        """
        ...


# Evaluation ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenPredictions:
    """What a language model gave to a stretch of text, made of whole lines.

    All arrays have length N, the number of predicted tokens, the end of each line included. A text comes as a stream of
    these; words and bytes may be told for all of it at once, in a piece without tokens.
    """

    log_probs: np.ndarray
    """float64, nats given to each token."""
    is_unknown: np.ndarray
    """bool, True where the token is the tokenizer's `<unk>`."""
    line: np.ndarray
    """int, the line that each token belongs to; ascending, from 0 in each piece."""
    num_words: int
    """Whitespace-separated words of the text."""
    num_bytes: int
    """UTF-8 bytes of the text, one for each line end included."""
    num_lines: int
    num_unknown_bytes: int = 0
    """UTF-8 bytes of the text's unknown tokens."""
    token_unit: str = "subword"
    """The tokenizer's `unit`."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of an evaluation."""

    value: float
    n: int
    """What it is a mean over: tokens, words, bytes."""
    stderr: float | None = None
    lower_bound: bool = False
    """True if the model gives unknown words to a class, so that the true figure is higher."""


class Evaluator(Protocol):
    """Numbers from predictions, as a stream: the order and the size of the pieces change nothing.

    Made by `target(config)`.
    """

    takes: Literal["tokens"]
    """The kind of predictions that it asks for."""

    def init(self) -> Any: ...

    def update(self, state: Any, predictions: TokenPredictions) -> Any: ...

    def compute(self, state: Any) -> dict[str, Metric]: ...


class Tracker(Protocol):
    """Somewhere to send metrics. Made by `target(config, run=Path)`. Called on the host, at log intervals only."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


__all__ = [
    "API_VERSION",
    "KINDS",
    "Backbone",
    "CommandSpec",
    "Component",
    "Evaluator",
    "FittedModel",
    "LanguageModel",
    "Metric",
    "Optimizer",
    "OptimizerFactory",
    "Reader",
    "Record",
    "StepFactory",
    "Task",
    "TokenPredictions",
    "Tokenizer",
    "Tracker",
]
