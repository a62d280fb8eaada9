"""A small English text, and datasets made of it, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmtool.config import DataConfig, choose
from lmtool.data.dataset import Dataset
from lmtool.data.prepare import build, make_plan
from lmtool.raw_config import Raw
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


CLASSES = {"trade": (0, 2, 4), "water": (3, 5), "house": (1, 6)}
"""Names of classes, and whose sentences belong to each, by their places in `_WHO`."""


def labelled_documents(count: int = 240, *, multi: bool = False) -> list[dict[str, Any]]:
    """Documents of one to three sentences, a line each: `text`, and the class of whom they speak of as `label`.

    Args:
        count: How many; the first 7 or more have all classes.
        multi: True for lists of labels, of which some are empty: the class, and `may` where a sentence names May.
    """
    documents: list[dict[str, Any]] = []
    for number in range(count):
        sentences = [_sentence(number + 7 * one) for one in range(1 + number % 3)]  # of the same person
        label = next(name for name, members in CLASSES.items() if number % 7 in members)
        text = "\n".join(sentences)
        labels = [label, "may"] if "May" in text else [label] if number % 5 else []
        documents.append({"text": text, "label": labels if multi else label})
    return documents


def labelled_dataset(folder: Path, tokenizer: str = "word", *, multi: bool = False, **settings: Any) -> Dataset:
    """A dataset of `labelled_documents`: 160 to train on, 40 to validate, 40 to test.

    Args:
        folder: Any folder; the text goes into it, the dataset into a folder below it.
        tokenizer: A tokenizer's name.
        multi: True for documents with any number of labels.
        **settings: The tokenizer's.
    """
    documents = labelled_documents(multi=multi)
    parts = {"train": documents[:160], "valid": documents[160:200], "test": documents[200:]}
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        lines = "".join(json.dumps(one) + "\n" for one in part)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    registry = Registry()
    choice = choose(Raw({"tokenizer": {"name": tokenizer, **settings}}), "tokenizer", registry)
    files = {name: [str(folder / f"{name}.jsonl")] for name in parts}
    data = DataConfig.model_validate({**files, "label": "label"})
    kind = f"{tokenizer}-{'labels' if multi else 'classes'}"
    return build(make_plan(data, choice, registry), folder / kind, force=True)


def answered_documents(count: int = 120) -> list[dict[str, Any]]:
    """Questions of who did something, each with some sentences as its `context`, and as its `answers` who it was."""
    documents = []
    for number in range(count):
        sentences = [_sentence(number + 2 * one) for one in range(1 + number % 3)]
        does, what = _DOES[(number * 3 + number // 7) % 8], _WHAT[(number * 2 + number // 5) % 5]
        who = _WHO[number % 7]
        answers = [who[0].upper() + who[1:], who]
        documents.append({"question": f"Who {does} {what} ?", "context": "\n".join(sentences), "answers": answers})
    return documents


def answered_dataset(folder: Path, tokenizer: str = "word", **settings: Any) -> Dataset:
    """A dataset of `answered_documents`, the question before its context: 80 to train on, 20 to validate, 20 to test.

    Args:
        folder: Any folder; the text goes into it, the dataset into a folder below it.
        tokenizer: A tokenizer's name.
        **settings: The tokenizer's.
    """
    documents = answered_documents()
    parts = {"train": documents[:80], "valid": documents[80:100], "test": documents[100:]}
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        lines = "".join(json.dumps(one) + "\n" for one in part)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    registry = Registry()
    choice = choose(Raw({"tokenizer": {"name": tokenizer, **settings}}), "tokenizer", registry)
    reader = {"name": "jsonl", "text_field": ["question", "context"]}
    files = {name: [str(folder / f"{name}.jsonl")] for name in parts}
    data = DataConfig.model_validate({**files, "reader": reader, "target": "answers"})
    return build(make_plan(data, choice, registry), folder / f"{tokenizer}-answers", force=True)


__all__ = [
    "CLASSES",
    "TINY_TEXT",
    "answered_dataset",
    "answered_documents",
    "labelled_dataset",
    "labelled_documents",
    "tiny_dataset",
]
