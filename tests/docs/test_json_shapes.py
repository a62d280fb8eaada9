"""The shapes of JSON objects that the page on the command line states are those that the commands print."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lmtool.testing.corpus import labelled_dataset, tiny_dataset

PAGE = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()
SECTIONS = dict(re.findall(r"^#+ `lmtool ?([^`]*)`\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL))
SHAPE = re.compile(r"`(\{\"[^`]*)`")


def stated(command):
    """Each shape that a command's section states, with the line that it is in."""
    return [(_parsed(shape), line) for line in SECTIONS[command].splitlines() for shape in SHAPE.findall(line)]


def _parsed(shape):
    filled = shape.replace("{…}", "null").replace("[…]", "null").replace("…", "null")
    return json.loads(re.sub(r"([A-Z]+):", r'"\1":', filled))


def differences(shape, found, line, where="answer"):
    """Keys that are stated and not there, and keys that are there and not named in the shape or in its line."""
    if isinstance(shape, list):
        return [one for value in found for one in differences(shape[0], value, line, where)]
    if not isinstance(shape, dict):
        return []
    if all(name.isupper() for name in shape):  # NAME, SPLIT: any key
        (inner,) = shape.values()
        return [one for name, value in found.items() for one in differences(inner, value, line, f"{where}.{name}")]
    named = re.compile("|".join(re.findall(r'`"(\w+…?)"`', line)).replace("…", r"\w+"))
    return [
        *(f"{where}.{key} is stated, and not there" for key in shape.keys() - found.keys()),
        *(f"{where}.{key} is not stated" for key in found.keys() - shape.keys() if not named.fullmatch(key)),
        *(one for key in shape.keys() & found.keys()
          for one in differences(shape[key], found[key], line, f"{where}.{key}")),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Has datasets, and runs of each kind that take no time: `words`, `classes` and `lead`."""
    folder = tmp_path_factory.mktemp("shapes")
    tiny_dataset(folder, "word")
    labelled_dataset(folder)
    pair = json.dumps({"text": "a cat sleeps . nobody sees it .", "title": "a cat sleeps ."})
    (folder / "pairs.jsonl").write_text(f"{pair}\n")
    (folder / "words.toml").write_text('[model]\nname = "ngram"\n[data]\npath = "word-dataset"\n')
    pairs = ["--train", "pairs.jsonl", "--test", "pairs.jsonl", "--target", "title", "-o", "pairs"]
    for arguments in (
        ["train", "words.toml", "-o", "words"],
        ["train", "--task", "classify", "--model", "linear", "--data", "word-classes", "-o", "classes"],
        ["tokenize", "--tokenizer", "word", *pairs],
        ["train", "--task", "seq2seq", "--model", "lead", "--data", "pairs", "-o", "lead"],
    ):
        subprocess.run([sys.executable, "-m", "lmtool", "-q", *arguments], cwd=folder, check=True, capture_output=True)
    return folder


PRINTED = [
    ("train words.toml -o words --json", "train", 0),
    ("train --task seq2seq --model lead --data pairs -o lead --json", "train", 0),
    ("repeat words.toml --seeds 2 -o repeated --json", "repeat", 0),
    ("eval words words --json", "eval", 0),
    ("eval classes classes --json", "eval", 0),
    ("eval lead lead --json", "eval", 0),
    ("score words --json", "score", 0),
    ("score words --json --summary", "score", 1),
    ("generate words --prompt the --json", "generate", 0),
    ("config show words.toml --json", "config show", 0),
    ("plugins list --json", "plugins list", 0),
    ("plugins show lstm --json", "plugins show", 0),
    ("plugins show optax --json", "plugins show", 0),
    ("plugins check evaluator distinct --json", "plugins check", 0),
    ("info --json", "info", 0),
    ("info words --json", "info", 1),
    ("info word-classes --json", "info", 2),
    ("info pairs --json", "info", 2),
]
"""A command, the section that states its shape, and which of the section's shapes it is."""


@pytest.mark.parametrize(("command", "section", "number"), PRINTED, ids=[command for command, _, _ in PRINTED])
def test_a_command_prints_the_shape_that_the_page_states(folder, command, section, number):
    arguments = [sys.executable, "-m", "lmtool", "-q", *command.split()]

    done = subprocess.run(arguments, cwd=folder, input="the cat\n", capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    shape, line = stated(section)[number]
    assert differences(shape, json.loads(done.stdout), line) == []


def test_the_scores_of_tokens_have_the_shape_that_the_page_states(folder):
    arguments = [sys.executable, "-m", "lmtool", "score", "words", "--json", "--tokens"]

    done = subprocess.run(arguments, cwd=folder, input="the cat\n", capture_output=True, text=True)

    shape, line = stated("score")[2]
    assert differences([shape], json.loads(done.stdout)["token_scores"], line) == []


def test_a_range_test_has_the_shape_that_the_page_states():
    from lmtool.cli.find_lr import to_json
    from lmtool.training.range_test import RangeTest

    found = RangeTest((0.1, 0.2), (2.0, 1.0), (2.0, 1.5), ended_early=False, steepest=0.1, lowest=0.2)

    shape, line = stated("train")[1]
    assert differences(shape, to_json(found), line) == []


def test_a_search_has_the_shape_that_the_page_states(tmp_path):
    from lmtool.tuning.record import Point, Record, Trial
    from lmtool.tuning.report import to_json

    trial = Trial(0, {"optimizer.learning_rate": 0.1}, "finished", (Point(1, 1.0, 2.0),), 1.0)

    shape, line = stated("tune")[0]
    assert differences(shape, to_json(Record(tmp_path, {}, [trial]), "loss"), line) == []


def test_every_stated_shape_is_compared():
    compared = {(section, number) for _, section, number in PRINTED} | {("score", 2), ("train", 1), ("tune", 0)}

    assert compared == {(command, number) for command in SECTIONS for number in range(len(stated(command)))}
