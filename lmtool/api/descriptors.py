"""What a plugin's hooks yield: light descriptions of components and commands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

API_VERSION = 1
"""The version of the protocols of this package; a component made for another is not loaded."""

KINDS = ("reader", "tokenizer", "model", "task", "optimizer", "step", "evaluator", "tracker", "augmentation")
"""Kinds of components, each with its hook `lmtool_register_<kind>s`."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A light description of something that a plugin offers.

    Raises:
        ValueError: if a field is malformed.
    """

    name: str
    """Unique within its kind: lower-case letters, digits, hyphens."""
    target: str
    """`"package.module:attribute"`, imported on first use."""
    summary: str
    """One line for `lmtool plugins list`."""
    config: str | None = None
    """`"package.module:Class"`, a subclass of `lmtool.config.Config` in a module that imports nothing heavy.

    With the capability `family` it names a `Family` instead.
    """
    capabilities: frozenset[str] = frozenset()
    """What the target can do.

    Models: `backbone` or `fitted`; `causal`, `stateful`, `imported`; `classifier` if what is fitted is a `Classifier`,
    `texts` if it is an `Answerer`; `resumable` if what is fitted goes on from what an interrupted `fit` left.
    Tasks: `classes` if their models are classifiers, `texts` if they answer texts with texts, language models
    otherwise; `encoder` if the target also takes `encoder`, a second backbone; `reward` if it takes `reward`, a
    `TextEvaluator` that its setting of that name chooses, and goes on from a run. Readers: the suffixes that they read;
    `targets` if their records are pairs of texts, with a field `target`, which then is kept without being asked for.
    Tokenizers: `fixed` if they need no text to learn from; `lossless` if `decode(encode(line))` is the line.
    Any kind: `family` if it stands for many, of which `name:member` says one.
    """
    api: int = API_VERSION
    """The version of the kind's protocol that the target follows."""
    version: int = 1
    """The version of its behaviour, recorded in runs; raised when the same config gives other numbers."""

    def __post_init__(self) -> None:
        _check_descriptor(self.name, self.summary, self.target, self.config)
        object.__setattr__(self, "capabilities", frozenset(self.capabilities))
        if not all(isinstance(capability, str) for capability in self.capabilities):
            raise ValueError(f"{self.name}: `capabilities` (={set(self.capabilities)!r}) must be strings")
        if not isinstance(self.version, int):
            raise ValueError(f"{self.name}: `version` (={self.version!r}) must be a whole number")


class Family(Protocol):
    """Many components under one name and with one target, which knows the member by the class of its settings."""

    def members(self) -> Sequence[str]:
        """Their names, in the order in which they are listed."""
        ...

    def config_class(self, member: str) -> Any:
        """The subclass of `lmtool.config.Config` that has a member's settings, the same at each call.

        Raises:
            PluginError: if there is no such member, with the one that may be meant.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """A sub-command that a plugin adds: `target` names a `typer.Typer` application."""

    name: str
    target: str
    summary: str
    api: int = API_VERSION

    def __post_init__(self) -> None:
        _check_descriptor(self.name, self.summary, self.target)


def _check_descriptor(name: str, summary: str, *targets: str | None) -> None:
    if not isinstance(summary, str):
        raise ValueError(f"{name}: `summary` (={summary!r}) must be a string")
    if not _NAME.fullmatch(name):
        raise ValueError(f"`name` (={name!r}) must be lower-case letters, digits and hyphens")
    for target in filter(None, targets):
        if not _TARGET.fullmatch(target):
            raise ValueError(f"{name}: {target!r} must look like 'package.module:attribute'")
