"""What goes into a dataset: sources, readers, tokenizers, labels, targets; and the key that stands for all of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lmtool.config import DEFAULT_TARGET, choose_inline
from lmtool.data import sources
from lmtool.data.dataset import FORMAT_VERSION
from lmtool.data.holdout import Share
from lmtool.data.reading import Reading, digest_of_file, readings
from lmtool.data.targets import TargetFields
from lmtool.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmtool.api import Tokenizer
    from lmtool.config import Choice, DataConfig
    from lmtool.data.labels import Labels
    from lmtool.registry import Found, Registry

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class TokenizerPlan:
    """Where a tokenizer comes from."""

    found: Found
    ready: Tokenizer | None = None
    """None to train the chosen one."""
    choice: Choice | None = None
    """None if a ready one came without settings."""

    def settings(self) -> dict[str, Any]:
        return self.choice.config.identity() if self.choice else {}

    def describe(self) -> dict[str, Any]:
        """For keys."""
        made = {"fingerprint": self.ready.fingerprint} if self.ready else {"settings": self.settings()}
        return {**self.found.record(), **made, "files": _digests_of_files(self.settings())}


@dataclass(frozen=True)
class Plan:
    """Everything that goes into a dataset; two plans with the same key give the same ids."""

    splits: Mapping[str, list[Reading]]
    tokenizer: TokenizerPlan
    label: str | None = None
    """The field of labels; None if none are kept."""
    labels: Labels | None = None
    """What is known of them already; None to learn them from the training text."""
    targets: TargetFields | None = None
    """The fields of targets; None if none are kept."""
    target_tokenizer: TokenizerPlan | None = None
    """None if targets share that of the text."""

    @property
    def keeps_text(self) -> bool:
        """Whether the dataset holds the text of its documents."""
        return self.label is not None or self.targets is not None

    @cached_property
    def states(self) -> list[list[tuple[int, int]]]:
        """Of all files, before the first is read."""
        return self._states()

    def _states(self) -> list[list[tuple[int, int]]]:
        return [one.state() for split in self.splits.values() for one in split]

    def check_unchanged(self) -> None:
        """Raise DataError if a file was written to since the key was made."""
        names = [one.source.name for split in self.splits.values() for one in split]
        for name, before, now in zip(names, self.states, self._states(), strict=True):
            if before != now:
                raise DataError(f"{name} changed while it was read", hint="run the command again when it is complete")

    @cached_property
    def digests(self) -> dict[str, list[str]]:
        """sha256 of each source."""
        _ = self.states
        fields = [*([self.label] if self.label is not None else []), *(self.targets.names if self.targets else ())]
        made = {one.source: one.digest(fields) for split in self.splits.values() for one in split}
        return {name: [made[one.source] for one in split] for name, split in self.splits.items()}

    @cached_property
    def key(self) -> str:
        """sha256 of the content of all sources, of readers, tokenizer, settings and versions."""
        contents: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "tokenizer": self.tokenizer.describe(),
            "splits": {
                name: [[one.describe(), digest] for one, digest in zip(split, self.digests[name], strict=True)]
                for name, split in self.splits.items()
            },
        }
        if self.label is not None:
            contents["labels"] = {"field": self.label, "known": self.labels.to_json() if self.labels else None}
        if self.targets is not None:
            own = self.target_tokenizer.describe() if self.target_tokenizer else None
            contents["targets"] = {**self.targets.to_json(), "tokenizer": own}
        return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def _digests_of_files(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings that name files count by content."""
    paths = {name: Path(value) for name, value in settings.items() if isinstance(value, str)}
    return {name: digest_of_file(path) for name, path in paths.items() if path.is_file()}


def make_plan(
    data: DataConfig,
    tokenizer: Choice | None,
    registry: Registry,
    *,
    ready: tuple[Tokenizer, Found] | None = None,
    labels: Labels | None = None,
    ready_target: tuple[Tokenizer, Found] | None = None,
) -> Plan:
    """What a config asks for.

    Args:
        data: Sources by split, and the reader.
        tokenizer: To train; None if there is a ready one.
        registry: Where readers are looked up.
        ready: A tokenizer and its component, to be used as it is.
        labels: With `data.label` and without training text: the labels that there are, say those of a run.
        ready_target: With `data.target`: a tokenizer of targets and its component, to be used as it is.

    Raises:
        UsageError: if there is nothing to read, or nothing to learn the vocabulary or the labels from.
        DataError: if a source is missing.
    """
    splits = _splits(data, _sources(data), registry)
    if data.target is None and any(_gives_targets(one) for split in splits.values() for one in split):
        data = data.model_copy(update={"target": DEFAULT_TARGET})
    known = _labels(data, splits, labels)
    chosen = _tokenizer(tokenizer, splits, ready)
    if data.target is None:
        if data.target_tokenizer is not None:
            raise UsageError("data.target_tokenizer has no use without data.target", "`--target FIELD` keeps targets")
        return Plan(splits, chosen, data.label, known)
    own = _target_tokenizer(data, splits, registry, ready_target)
    return Plan(splits, chosen, data.label, known, TargetFields(data.target_fields), own)


def _gives_targets(reading: Reading) -> bool:
    """Whether the source is pairs of texts and nothing else: nobody needs to say that their targets are wanted."""
    return "targets" in reading.choice.found.component.capabilities


def _sources(data: DataConfig) -> dict[str, list[str]]:
    """What a user named, by split."""
    specs = {name: getattr(data, name) for name in SPLITS if getattr(data, name)}
    if not specs:
        raise UsageError(
            "no text: data.train, data.valid and data.test are empty",
            "`lmtool train --data FILE` or `lmtool tokenize --train FILE` names one",
        )
    if len(fed := [name for name, names in specs.items() if sources.STDIN in names]) > 1:
        raise UsageError(f"stdin is the {' and the '.join(fed)} text at once", hint="`-` may stand for one of them")
    return specs


def _labels(data: DataConfig, splits: Mapping[str, Any], labels: Labels | None) -> Labels | None:
    """Those that are known; None to learn them, or to keep none."""
    if data.label is None or "train" in splits:
        return None
    if labels is None:
        raise UsageError(
            "labels are learned from the training text, and there is none",
            hint="`--train FILE` names it; `--with RUN|DATASET` takes those of a classifier or of a labelled dataset",
        )
    return labels


def _tokenizer(
    tokenizer: Choice | None, splits: Mapping[str, Any], ready: tuple[Tokenizer, Found] | None
) -> TokenizerPlan:
    if ready:
        return TokenizerPlan(ready[1], ready[0])
    if tokenizer is None:
        raise UsageError("no tokenizer given", "`--tokenizer NAME` names one, `--with RUN` takes that of a run")
    if "train" not in splits:
        untrained(tokenizer)
    return TokenizerPlan(tokenizer.found, None, tokenizer)


def _target_tokenizer(
    data: DataConfig, splits: Mapping[str, Any], registry: Registry, ready: tuple[Tokenizer, Found] | None
) -> TokenizerPlan | None:
    """None if targets share that of the text."""
    if ready is None and data.target_tokenizer is None:
        return None
    given = data.target_tokenizer
    choice = None if given is None else choose_inline("tokenizer", given, registry, "data.target_tokenizer")
    if ready and choice and choice.found.record() != ready[1].record():
        what = f"data.target_tokenizer asks for '{choice.name}', and targets are to be read with one that is there, a"
        raise UsageError(f"{what} '{ready[1].component.name}'", hint="leave it out")
    return _tokenizer(choice, splits, ready)


def _splits(data: DataConfig, specs: Mapping[str, list[str]], registry: Registry) -> dict[str, list[Reading]]:
    splits = {name: readings(names, data.reader, registry) for name, names in specs.items()}
    if not data.valid_fraction:
        return splits
    if "valid" in splits or "train" not in splits:
        problem = "data.valid names the validation text" if "valid" in splits else "there is no training text"
        raise UsageError(f"data.valid_fraction is {data.valid_fraction}, and {problem}", "leave one of them out")
    train = splits.pop("train")
    parts = {"train": Share(data.valid_fraction, held_out=False), "valid": Share(data.valid_fraction, held_out=True)}
    return {name: [replace(one, share=share) for one in train] for name, share in parts.items()} | splits


def untrained(tokenizer: Choice) -> Tokenizer:
    """A tokenizer that needs no training text. Raises UsageError if it does need some."""
    fixed = "fixed" in tokenizer.found.component.capabilities or getattr(tokenizer.config, "file", None)
    if not fixed:
        raise UsageError(
            f"tokenizer '{tokenizer.name}' learns its vocabulary from training text, and there is none",
            hint="`--train FILE` names it, with `-o DATASET`; `--with RUN|DATASET` takes a tokenizer that is there",
        )
    return cast("Tokenizer", tokenizer.load().train((), tokenizer.config))


__all__ = ["SPLITS", "Plan", "TokenizerPlan", "make_plan", "untrained"]
