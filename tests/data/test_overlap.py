"""Documents of other splits that are in the training text, too: counted, told, and no reason for another key."""

from __future__ import annotations

import json
import logging

import pytest

from lmtool.config import DataConfig, choose
from lmtool.data.dataset import RECORD, Dataset
from lmtool.data.prepare import build, make_plan
from lmtool.raw_config import Raw
from lmtool.registry import Registry

REGISTRY = Registry()


def make(folder, fields=None, **splits):
    """A dataset of documents by split, those of `train` labelled `a`, others `b`."""
    files = {}
    for name, texts in splits.items():
        rows = [{"text": text, "label": "a" if name == "train" else "b"} for text in texts]
        files[name] = [str(folder / f"{name}.jsonl")]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # `b` is a class that is learned, too
    with (folder / "train.jsonl").open("a") as file:
        file.write(json.dumps({"text": "of its own", "label": "b"}) + "\n")
    tokenizer = choose(Raw({"tokenizer": {"name": "byte"}}), "tokenizer", REGISTRY)
    data = DataConfig.model_validate({**files, **(fields or {"label": "label"})})
    return build(make_plan(data, tokenizer, REGISTRY), folder / "out", force=True)


@pytest.mark.parametrize("fields", [{"label": "label"}, {"target": "label"}], ids=["labels", "targets"])
def test_documents_that_are_in_the_training_text_are_counted_and_told(tmp_path, caplog, fields):
    train = ["one\ntwo", "three", "three"]
    valid = ["three", "three", "one", "two", "one\ntwo"]  # all but the third and fourth
    test = ["three", "four"]

    with caplog.at_level(logging.WARNING, "lmtool.data"):
        dataset = make(tmp_path, fields, train=train, valid=valid, test=test)

    assert {name: dataset.documents_in_train(name) for name in dataset.split_names} == {
        "train": None,
        "valid": 3,
        "test": 1,
    }
    assert caplog.messages == [
        "3 of 5 valid documents are in the training text, too",
        "1 of 2 test documents is in the training text, too",
    ]


def test_documents_without_a_word_are_not_counted(tmp_path, caplog):
    dataset = make(tmp_path, train=["", " \n", "x"], test=["", " \n", "y"])

    assert dataset.documents_in_train("test") == 0
    assert caplog.messages == []


def test_a_share_that_is_held_out_has_none(tmp_path, caplog):
    texts = [f"document {number % 50}" for number in range(100)]

    dataset = make(tmp_path, {"label": "label", "valid_fraction": 0.3}, train=texts)

    assert dataset.documents_in_train("valid") == 0
    assert caplog.messages == []


def test_a_dataset_that_does_not_say_opens_and_has_the_same_key(tmp_path):
    dataset = make(tmp_path, train=["x"], test=["x"])
    record = json.loads((dataset.path / RECORD).read_text())
    del record["splits"]["test"]["documents_in_train"]
    (dataset.path / RECORD).write_text(json.dumps(record))

    old = Dataset.open(dataset.path)

    assert old.documents_in_train("test") is None
    assert make(tmp_path, train=["x"], test=["x"]).documents_in_train("test") is None  # the same dataset: left as it is


def test_text_that_is_not_kept_is_not_compared(tmp_path, caplog):
    dataset = make(tmp_path, {"reader": {"name": "jsonl"}}, train=["x"], test=["x"])

    assert dataset.documents_in_train("test") is None
    assert caplog.messages == []
