"""Small trained runs that the tests of `eval`, `score` and `generate` use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from text_runs import TEST, TRAIN, write_pairs

from lmtool.testing.corpus import labelled_dataset, labelled_documents, tiny_dataset


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `test.txt`, datasets `word-dataset` and `char-dataset`, and runs `words`, `chars` and `lstm`.

    Never written to. `words` and `chars` are n-gram models, `lstm` a stateful network over the words.
    """
    folder = tmp_path_factory.mktemp("tiny")
    for tokenizer in ("word", "char"):
        tiny_dataset(folder, tokenizer)

    def train(model: str, tokenizer: str, run: str, *settings: str) -> None:
        options = [word for setting in settings for word in ("--set", setting)]
        arguments = ["train", "--model", model, "--data", f"{tokenizer}-dataset", "-o", run, *options]
        subprocess.run([sys.executable, "-m", "lmtool", "-q", *arguments], cwd=folder, check=True, capture_output=True)

    train("ngram", "word", "words", "model.order=3")
    train("ngram", "char", "chars", "model.order=4")
    train("lstm", "word", "lstm", "model.hidden_size=8", "training.max_steps=60", "training.batch_size=4")
    return folder


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `train.jsonl` and the like, the dataset `word-classes`, and classifiers.

    Never written to. `linear` and `bayes`, an n-gram model a class, give each document one class, and so does the
    network `cnn`, which has hardly been trained; `several` any number of labels, those of `several-text`.
    """
    folder = tmp_path_factory.mktemp("labelled")
    labelled_dataset(folder)
    labelled_dataset(folder / "several-text", multi=True)

    def train(model: str, data: str, run: str, *settings: str) -> None:
        options = [word for setting in settings for word in ("--set", setting)]
        arguments = ["train", "--model", model, "--task", "classify", "--data", data, "-o", run, *options]
        subprocess.run([sys.executable, "-m", "lmtool", "-q", *arguments], cwd=folder, check=True, capture_output=True)

    train("linear", "word-classes", "linear")
    train("ngram", "word-classes", "bayes", "model.order=2")
    train("linear", "several-text/word-labels", "several")
    train(
        "cnn",
        "word-classes",
        "cnn",
        "training.max_steps=2",
        "task.embedding_size=8",
        "model.channels=8",
        "model.num_layers=1",
    )
    return folder


@pytest.fixture
def labelled_text(lmtool):
    """Writes sixty labelled documents, the first of them as `train.jsonl` and the rest under another name."""

    def write(num_train: int, rest: str) -> None:
        rows = [json.dumps(row) + "\n" for row in labelled_documents(60)]
        (lmtool.cwd / "train.jsonl").write_text("".join(rows[:num_train]))
        (lmtool.cwd / f"{rest}.jsonl").write_text("".join(rows[num_train:]))

    return write


@pytest.fixture(scope="session")
def text_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `test.jsonl`, a dataset `pairs`, and runs `copy` and `lead`. Never written to."""
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder / "train.jsonl", [*TRAIN, *TEST])
    write_pairs(folder / "test.jsonl", TEST)

    def run(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "lmtool", "-q", *arguments], cwd=folder, check=True, capture_output=True)

    text = ["--train", "train.jsonl", "--test", "test.jsonl", "--set", "data.reader.text_field=body"]
    run("tokenize", "--tokenizer", "word", *text, "--target", "title", "-o", "pairs")
    for model, name in (("copy-source", "copy"), ("lead", "lead")):
        run("train", "--task", "seq2seq", "--model", model, "--data", "pairs", "-o", name)
    return folder


@pytest.fixture(scope="session")
def text_network(text_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a small network that learned the titles of `text_runs`. Never written to."""
    run = tmp_path_factory.mktemp("network") / "lstm"
    settings = ("model.hidden_size=8", "task.embedding_size=8", "training.max_steps=20", "training.batch_size=4")
    options = [word for setting in settings for word in ("--set", setting)]
    arguments = ["train", "--task", "seq2seq", "--model", "lstm", "--data", str(text_runs / "pairs"), "-o", str(run)]
    subprocess.run([sys.executable, "-m", "lmtool", "-q", *arguments, *options], check=True, capture_output=True)
    return run
