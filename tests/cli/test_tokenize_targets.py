"""`lmtool tokenize --target`, from the shell: datasets of pairs of texts."""

from __future__ import annotations

import json

import pytest

from lmtool.data.dataset import Dataset
from lmtool.run import Run

ROWS = [
    {"source": "a man walks", "target": "ein mann geht"},
    {"source": "a dog", "target": "ein hund"},
    {"source": "a man", "target": "ein mann"},
]
READ = ("--set", "data.reader.text_field=source")


def write(folder, name, rows):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def pairs(lmtool):
    write(lmtool.cwd, "train.jsonl", ROWS)
    write(lmtool.cwd, "test.jsonl", [{"source": "a cat", "targets": ["eine katze", "ein hund"]}])
    return lmtool.cwd


def test_figures_of_targets_are_shown_beside_those_of_text(lmtool, pairs):
    options = ["--tokenizer", "word", "--train", "train.jsonl", "--test", "test.jsonl", *READ]
    fields = ["--target", "targets", "--target", "target"]

    shown = lmtool("tokenize", *options, *fields, "-o", "data")
    printed = lmtool("tokenize", *options, *fields, "-o", "data", "--json")

    assert shown.stdout == "data\n"
    assert "targets in 'targets, target': the same tokenizer" in shown.stderr
    assert "3 documents; targets: 10 tokens" in shown.stderr  # seven words and three ends
    assert "1 documents, 1 unknown; targets: 3 tokens, 2 unknown" in shown.stderr
    splits = printed.json["splits"]
    assert (splits["train"]["targets"]["tokens"], splits["train"]["targets"]["unknown"]) == (10, 0)
    assert (splits["test"]["targets"]["tokens"], splits["test"]["targets"]["unknown"]) == (3, 2)
    assert printed.json["targets"] == {"fields": ["targets", "target"]}
    assert Dataset.open(pairs / "data").split("test").references(0) == ("eine katze", "ein hund")


def test_a_second_tokenizer_is_learned_and_taken_by_with(lmtool, pairs):
    options = ["--target", "target", *READ]
    own = ["--set", "data.target_tokenizer=char"]
    write(pairs, "new.jsonl", [{"source": "a man", "target": "hund"}])

    made = lmtool("tokenize", "--tokenizer", "word", "--train", "train.jsonl", *options, *own, "-o", "data", "--json")
    new = lmtool("tokenize", "--with", "data", "--test", "new.jsonl", *options, "-o", "new", "--json")
    filtered = lmtool("tokenize", "--with", "data/target-tokenizer", "--tokens", "-", input="hund\n")
    refused = lmtool("tokenize", "--with", "data", "--test", "new.jsonl", *options, *own, "-o", "other")

    assert made.json["targets"]["tokenizer"]["name"] == "char"
    assert new.json["targets"]["tokenizer"]["fingerprint"] == made.json["targets"]["tokenizer"]["fingerprint"]
    assert new.json["tokenizer"]["fingerprint"] == made.json["tokenizer"]["fingerprint"]
    assert new.json["splits"]["test"]["targets"]["unknown"] == 0
    assert filtered.stdout == "h u n d\n"
    assert refused.code == 2
    assert "--set data.target_tokenizer is for learning a tokenizer" in refused.stderr


def test_a_shared_tokenizer_is_taken_for_both(lmtool, pairs):
    lmtool("tokenize", "--tokenizer", "word", "--train", "train.jsonl", "--target", "target", *READ, "-o", "data")
    write(pairs, "new.jsonl", [{"source": "hund", "target": "man"}])

    new = lmtool("tokenize", "--with", "data", "--test", "new.jsonl", "--target", "target", *READ, "-o", "n", "--json")

    assert new.json["splits"]["test"]["unknown"] == new.json["splits"]["test"]["targets"]["unknown"] == 0


def test_the_same_command_again_does_nothing_and_other_targets_are_refused(lmtool, pairs):
    options = ["--tokenizer", "word", "--train", "train.jsonl", *READ, "-o", "data"]
    lmtool("tokenize", *options, "--target", "target")

    again, without = lmtool("tokenize", *options, "--target", "target"), lmtool("tokenize", *options)

    assert (again.code, again.stdout) == (0, "data\n")
    assert without.code == 1
    assert "data holds another dataset" in without.stderr


def test_a_text_that_lies_in_another_field_is_named_with_the_cure(lmtool, pairs):
    done = lmtool("tokenize", "--tokenizer", "word", "--train", "train.jsonl", "--target", "target", "-o", "data")

    assert done.code == 1
    assert "train.jsonl:1: no field 'text'\n" in done.stderr
    assert "it has source, target; `--set data.reader.text_field=source` sets another" in done.stderr


def test_a_target_that_is_missing_leaves_nothing_behind(lmtool, pairs):
    write(pairs, "bad.jsonl", [*ROWS, {"source": "a", "answers": []}])

    def refused(field):
        done = lmtool("tokenize", "--tokenizer", "word", "--train", "bad.jsonl", "--target", field, *READ, "-o", "data")
        assert (done.code, done.stdout) == (1, "")
        assert not (pairs / "data").exists()
        return done.stderr

    assert "error: document 4 of bad.jsonl has no target in a field 'target'\n" in refused("target")
    assert "error: document 1 of bad.jsonl has no target in a field 'answers'\n" in refused("answers")
    write(pairs, "bad.jsonl", [{"source": "a", "answers": []}])
    assert "error: document 1 of bad.jsonl: the list of targets in field 'answers' is empty\n" in refused("answers")


def test_questions_and_their_contexts_are_one_text(lmtool):
    row = {"context": "Mary went home.\nJohn slept.", "question": "Where is Mary?", "answers": [{"text": "home"}]}
    write(lmtool.cwd, "qa.jsonl", [row])
    fields = ["--set", 'data.reader.text_field=["question", "context"]']

    lmtool("tokenize", "--tokenizer", "word", "--train", "qa.jsonl", *fields, "--target", "answers", "-o", "data")
    missing = lmtool("tokenize", "--tokenizer", "word", "--train", "qa.jsonl", "--set",
                     'data.reader.text_field=["question", "kontext"]', "-o", "other")  # fmt: skip

    split = Dataset.open(lmtool.cwd / "data").split("train")
    assert split.document(0).text == "Where is Mary?\nMary went home.\nJohn slept."
    assert split.num_lines == 3
    assert split.references(0) == ("home",)
    assert "qa.jsonl:1: no field 'kontext'" in missing.stderr


def test_settings_without_a_name_go_to_the_reader_of_each_file(lmtool, pairs):
    (pairs / "valid.csv").write_text("source;target\na;ein\n")
    options = ["--tokenizer", "word", "--target", "target", "-o", "data"]
    both = ["--train", "train.jsonl", "--valid", "valid.csv", *READ]

    done = lmtool("tokenize", *options, "--valid", "valid.csv", "--train", "valid.csv", *READ,
                  "--set", 'data.reader.delimiter=";"')  # fmt: skip
    other = lmtool("tokenize", *options, *both, "--set", 'data.reader.delimiter=";"')

    assert done.code == 0, done.stderr
    assert Dataset.open(pairs / "data").split("valid").references(0) == ("ein",)
    assert other.code != 0
    assert "unknown key data.reader.delimiter" in other.stderr


def test_a_run_knows_the_reader_whose_settings_have_no_name(lmtool, pairs):
    done = lmtool("train", "--model", "ngram", "--set", 'data.train=["train.jsonl"]', *READ, "-o", "run")

    assert done.code == 0, done.stderr
    assert Run.open(pairs / "run").reader == {"name": "jsonl", "text_field": "source"}


def test_targets_belong_to_datasets_and_not_to_a_filter(lmtool):
    done = lmtool("tokenize", "--tokenizer", "byte", "--target", "x", "-", input="a\n")

    assert done.code == 2
    assert "--target x is for making a dataset" in done.stderr
