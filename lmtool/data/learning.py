"""Vocabularies, learned from the training text alone: of the text, of targets, or of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lmtool.api import Record
from lmtool.data.blocks import BLOCK_CHARS, blocks
from lmtool.data.progress import PassProgress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmtool.api import Tokenizer
    from lmtool.config import Choice
    from lmtool.data.plan import Plan
    from lmtool.data.progress import Progress


def tokenizers(plan: Plan, progress: Progress) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizer of the text and that of targets: the same object, if they share one."""
    text = plan.tokenizer.ready or _learn(_choice(plan.tokenizer.choice), plan, _text_of(plan), progress)
    own = plan.target_tokenizer
    if own is None:
        return text, text
    return text, own.ready or _learn(_choice(own.choice), plan, _targets_of(plan), progress, "target vocabulary")


def _choice(choice: Choice | None) -> Choice:
    assert choice is not None  # what is not ready was chosen
    return choice


def _text_of(plan: Plan) -> Iterator[Record]:
    """Training text, and the first targets where they share its tokenizer."""
    shared = plan.targets if plan.target_tokenizer is None else None
    for one in plan.splits.get("train", ()):
        yield from shared.both(one.records(), one.called) if shared else one.records()


def _targets_of(plan: Plan) -> Iterator[Record]:
    """The first target of each training document."""
    assert plan.targets is not None
    for one in plan.splits.get("train", ()):
        yield from (Record(texts[0]) for texts in plan.targets.of(one.records(), one.called))


def _learn(
    choice: Choice, plan: Plan, records: Iterable[Record], progress: Progress, what: str = "vocabulary"
) -> Tokenizer:
    tracked = PassProgress(f"learning the {what}", plan.splits.get("train", []), progress)
    target = choice.load()
    if hasattr(target, "train_text"):
        tokenizer = target.train_text(_texts(records, tracked), choice.config)
    else:
        tokenizer = target.train(_lines(records, tracked), choice.config)
    tracked.finish()
    return cast("Tokenizer", tokenizer)


def _texts(records: Iterable[Record], tracked: PassProgress) -> Iterator[str]:
    for block in blocks(records, BLOCK_CHARS):
        tracked.update()
        yield block.text


def _lines(records: Iterable[Record], tracked: PassProgress) -> Iterator[str]:
    for record in records:
        tracked.update()
        yield from record.text.split("\n")


__all__ = ["tokenizers"]
