"""A small English text, and datasets made of it, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lmtool.config import DataConfig, Raw, choose
from lmtool.data.dataset import Dataset
from lmtool.data.prepare import build, make_plan
from lmtool.registry import Registry

_WHO = (
    "the miller",
    "the old clerk",
    "a young baker",
    "the ferryman",
    "her sister",
    "the night watch",
    "a tired nurse",
)
_DOES = ("counted", "carried", "forgot", "mended", "sold", "watched", "painted", "hid")
_WHAT = ("seven sacks of flour", "the brass lamp", "a letter from the coast", "two grey geese", "the broken clock")
_WHEN = ("before the rain came", "while the town slept", "on the first of May", "and said nothing", "for a few coins")


def _sentence(number: int) -> str:
    """A plain sentence; neighbours differ, and each word turns up often."""
    who, does = _WHO[number % 7], _DOES[(number * 3 + number // 7) % 8]
    what, when = _WHAT[(number * 2 + number // 5) % 5], _WHEN[(number + number // 11) % 5]
    sentence = f"{who} {does} {what} {when} ."
    return sentence[0].upper() + sentence[1:]


TINY_TEXT = "".join(f"{_sentence(number)}\n" for number in range(400))
"""400 lines of plain English, words and full stops apart."""


def tiny_dataset(folder: Path, tokenizer: str = "char", **settings: Any) -> Dataset:
    """A dataset of `TINY_TEXT`: 320 lines to train on, 40 to validate, 40 to test.

    Args:
        folder: Any folder; the text goes into it, the dataset into a folder below it.
        tokenizer: A tokenizer's name.
        **settings: Its settings.
    """
    lines = TINY_TEXT.splitlines(keepends=True)
    parts = {"train": lines[:320], "valid": lines[320:360], "test": lines[360:]}
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        (folder / f"{name}.txt").write_text("".join(part), encoding="utf-8")
    registry = Registry()
    choice = choose(Raw({"tokenizer": {"name": tokenizer, **settings}}), "tokenizer", registry)
    data = DataConfig.model_validate({name: [str(folder / f"{name}.txt")] for name in parts})
    return build(make_plan(data, choice, registry), folder / f"{tokenizer}-dataset", force=True)


__all__ = ["TINY_TEXT", "tiny_dataset"]
