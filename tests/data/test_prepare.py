"""Raw text to datasets: what decides them, what is cached, what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lmtool.api import Record
from lmtool.config import Config, DataConfig, choose
from lmtool.data import encoding
from lmtool.data.blocks import blocks
from lmtool.data.dataset import Dataset
from lmtool.data.encoding import encode
from lmtool.data.prepare import build, cached_path, make_plan, prepare
from lmtool.errors import DataError, UsageError
from lmtool.raw_config import Raw
from lmtool.registry import Registry
from lmtool.testing.corpus import TINY_TEXT
from lmtool_tokenizers.config import WordConfig
from lmtool_tokenizers.word import WordTokenizer

REGISTRY = Registry()


def chosen(name="word", **settings):
    return choose(Raw({"tokenizer": {"name": name, **settings}}), "tokenizer", REGISTRY)


@pytest.fixture
def data(tmp_path):
    """A config with a training and a validation text, and files that a test may change."""
    (tmp_path / "train.txt").write_text("a b c\nb c\n")
    (tmp_path / "valid.txt").write_text("a z\n")
    return DataConfig(train=[str(tmp_path / "train.txt")], valid=[str(tmp_path / "valid.txt")])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LMTOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def key(data, tokenizer=None, **options):
    return make_plan(data, tokenizer or chosen(), REGISTRY, **options).key


def content(dataset):
    return {name: dataset.split(name).read(0, 10**9).tolist() for name in dataset.split_names}


# encoding ------------------------------------------------------------------------------------------------------------


def test_other_processes_give_the_same_ids_in_the_same_order(monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK_CHARS", 500)
    lines = TINY_TEXT.splitlines()
    tokenizer = WordTokenizer.train(lines[:100], WordConfig())
    records = [Record("\n".join(lines[i : i + 3]), last=i % 2 == 0) for i in range(0, len(lines), 3)]

    def pieces(tokenizer, processes):
        found = list(encode(tokenizer, records, processes=processes))
        counts = sum((one.counts for one in found[1:]), found[0].counts)
        offsets = np.cumsum([0, *(len(one.ids) for one in found)])
        ends = [end + offset for one, offset in zip(found, offsets, strict=False) for end in one.document_ends.tolist()]
        return np.concatenate([one.ids for one in found]).tolist(), ends, counts

    one, threads, processes = pieces(tokenizer, 1), pieces(tokenizer, 2), pieces(OnlyLines(tokenizer), 2)

    assert one == threads == processes
    assert one[0] == tokenizer.encode_batch(lines).tolist()


class OnlyLines:
    """A tokenizer that does not take whole texts, which processes encode, not threads."""

    eos_id, unk_id, unit = 0, 1, "word"

    def __init__(self, tokenizer):
        self.tokenizer, self.vocab_size = tokenizer, tokenizer.vocab_size

    def encode_batch(self, lines):
        return self.tokenizer.encode_batch(lines)


def test_blocks_hold_whole_records_of_at_least_the_size():
    records = [Record("a" * 10), Record("b", last=False), Record("c\nd"), Record("e" * 30), Record("f")]

    found = list(blocks(records, size=12))

    assert [block.text for block in found] == ["a" * 10 + "\nb", "c\nd\n" + "e" * 30, "f"]
    assert [block.document_ends for block in found] == [(1,), (2, 3), (1,)]


class Failing:
    """Takes lines, no whole texts, and fails at one of them."""

    eos_id, unk_id, unit, vocab_size = 0, 1, "word", 3

    def encode_batch(self, lines):
        if "stop" in lines:
            raise DataError("cannot encode this line", hint="leave it out")
        if "fault" in lines:
            raise KeyError("a fault of the tokenizer")
        if "die" in lines:
            os.kill(os.getpid(), signal.SIGKILL)
        return WordTokenizer(("<eos>", "<unk>", "some")).encode_batch(lines)


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("stop", DataError, "cannot encode this line"),
        ("fault", RuntimeError, "(?s)KeyError.*a fault of the tokenizer"),
        ("die", RuntimeError, "ended with status -9"),
    ],
)
def test_what_goes_wrong_in_another_process_is_told_here(monkeypatch, line, error, message):
    monkeypatch.setattr(encoding, "BLOCK_CHARS", 5)
    records = [Record("some text")] * 20 + [Record(line)] + [Record("some text")] * 20

    with pytest.raises(error, match=message):
        list(encode(Failing(), records, processes=2))


def test_what_goes_wrong_in_another_thread_is_told_here(monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK_CHARS", 5)
    monkeypatch.setattr(WordTokenizer, "encode_text", lambda self, text: {}["a fault of the tokenizer"])

    with pytest.raises(KeyError, match="a fault of the tokenizer"):
        list(encode(WordTokenizer(("<eos>", "<unk>", "some")), [Record("some text")] * 20, processes=2))


# keys ----------------------------------------------------------------------------------------------------------------


def test_the_key_is_that_of_content_and_settings(data, tmp_path):
    base = key(data)
    (tmp_path / "other-name.txt").write_text("a b c\nb c\n")

    assert key(DataConfig(train=[str(tmp_path / "other-name.txt")], valid=data.valid)) == base
    assert key(data, chosen(min_count=2)) != base
    assert key(data, chosen("char")) != base
    assert key(DataConfig(train=data.train)) != base
    assert key(DataConfig(train=data.valid, valid=data.train)) != base
    assert key(DataConfig(train=data.train, valid=data.valid, reader={"name": "jsonl"})) != base
    (tmp_path / "valid.txt").write_text("a y\n")
    assert key(data) != base


def test_a_file_that_a_setting_names_counts_by_its_content(data, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("one")
    one = key(data, chosen("bpe", file=str(path)))
    path.write_text("two")

    assert key(data, chosen("bpe", file=str(path))) != one


def test_the_vocabulary_comes_from_the_training_text_alone(data, tmp_path):
    dataset = build(make_plan(data, chosen(), REGISTRY), tmp_path / "out")

    assert dataset.tokenizer.words == ("<eos>", "<unk>", "b", "c", "a")
    assert content(dataset) == {"train": [4, 2, 3, 0, 2, 3, 0], "valid": [4, 1, 0]}
    assert dataset.split("valid").num_unknown == 1
    assert dataset.split("valid").num_unknown_bytes == 1


def test_stdin_is_one_text_not_two(data):
    with pytest.raises(UsageError, match="stdin is the train and the valid text at once"):
        make_plan(DataConfig(train=["-"], valid=["-"]), chosen(), REGISTRY)


def test_no_training_text_no_vocabulary(data):
    with pytest.raises(UsageError, match="tokenizer 'word' learns its vocabulary"):
        make_plan(DataConfig(valid=data.valid), chosen(), REGISTRY)
    make_plan(DataConfig(valid=data.valid), chosen("byte"), REGISTRY)
    with pytest.raises(UsageError, match="no text"):
        make_plan(DataConfig(), chosen(), REGISTRY)


# building ------------------------------------------------------------------------------------------------------------


def test_the_same_dataset_is_left_alone_another_one_is_an_error(data, tmp_path):
    out = tmp_path / "out"
    build(make_plan(data, chosen(), REGISTRY), out)
    before = (out / "dataset.json").stat()

    build(make_plan(data, chosen(), REGISTRY), out)
    assert (out / "dataset.json").stat() == before
    with pytest.raises(DataError, match="holds another dataset") as caught:
        build(make_plan(data, chosen("char"), REGISTRY), out)
    assert "--force" in str(caught.value.hint)

    assert build(make_plan(data, chosen("char"), REGISTRY), out, force=True).tokenizer.unit == "char"


def test_a_folder_of_something_else_is_never_replaced(data, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("three years of work")

    for force in (False, True):
        with pytest.raises(DataError, match="exists and is not a dataset"):
            build(make_plan(data, chosen(), REGISTRY), tmp_path / "out", force=force)
    assert os.listdir(tmp_path / "out") == ["thesis.tex"]


@pytest.mark.parametrize("name", ["train", "valid"])
def test_an_empty_text_is_an_error_and_leaves_nothing(data, tmp_path, name):
    (tmp_path / f"{name}.txt").write_text("")
    before = sorted(os.listdir(tmp_path))

    with pytest.raises(DataError, match=rf"the {name} text is empty: no line in .*{name}\.txt"):
        build(make_plan(data, chosen(), REGISTRY), tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == before


def test_a_text_that_changes_while_it_is_read_is_an_error(data, tmp_path):
    plan = make_plan(data, chosen(), REGISTRY)
    assert plan.key
    with (tmp_path / "train.txt").open("a") as file:
        file.write("more\n")

    with pytest.raises(DataError, match=r"train\.txt changed while it was read"):
        build(plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_progress_goes_from_0_to_1_in_each_phase(data, tmp_path):
    seen = {}

    def progress(phase, fraction):
        seen.setdefault(phase, []).append(fraction)

    build(make_plan(data, chosen(), REGISTRY), tmp_path / "out", progress=progress)

    assert list(seen) == ["learning the vocabulary", "encoding train", "encoding valid"]
    for fractions in seen.values():
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        assert 0 <= fractions[0] <= 1


def test_damage_is_repaired_by_force(data, tmp_path):
    build(make_plan(data, chosen(), REGISTRY), tmp_path / "out")
    path = tmp_path / "out" / "train-00000.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\7")

    with pytest.raises(DataError, match=r"train-00000\.npy is damaged"):
        build(make_plan(data, chosen(), REGISTRY), tmp_path / "out")
    build(make_plan(data, chosen(), REGISTRY), tmp_path / "out", force=True).verify()


# the cache -----------------------------------------------------------------------------------------------------------


def test_raw_text_is_tokenized_once(data, cache):
    first = prepare(data, chosen(), REGISTRY)
    stamp = (first.path / "dataset.json").stat()

    second = prepare(data, chosen(), REGISTRY)

    assert first.path == second.path == cached_path(first.key)
    assert cache in first.path.parents
    assert (second.path / "dataset.json").stat() == stamp


def test_other_text_or_settings_are_another_dataset(data, cache, tmp_path):
    paths = {prepare(data, chosen(), REGISTRY).path, prepare(data, chosen(min_count=2), REGISTRY).path}
    (tmp_path / "train.txt").write_text("other text\n")
    paths.add(prepare(data, chosen(), REGISTRY).path)

    assert len(paths) == 3


def test_a_damaged_cache_is_made_anew(data, cache):
    dataset = prepare(data, chosen(), REGISTRY)
    expected = content(dataset)
    for name in ("train-00000.npy", "dataset.json", "tokenizer/vocabulary.json"):
        path = dataset.path / name
        path.write_bytes(path.read_bytes()[:-20])

        assert content(prepare(data, chosen(), REGISTRY)) == expected


def test_processes_that_race_get_the_same_dataset(data, cache):
    code = """
import sys
from lmtool.config import Config, DataConfig, choose
from lmtool.raw_config import Raw
from lmtool.data.prepare import prepare
from lmtool.registry import Registry
registry = Registry()
dataset = prepare(DataConfig(train=[sys.argv[1]]), choose(Raw(), "tokenizer", registry), registry)
print(dataset.path, dataset.split("train").num_tokens)
"""
    command = [sys.executable, "-c", code, data.train[0]]

    racing = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = {process.communicate()[0] for process in racing}

    assert all(process.returncode == 0 for process in racing)
    assert len(answers) == 1
    assert answers.pop().endswith(" 7\n")  # a b c, b c, and two line ends
    assert len(os.listdir(cache / "datasets")) == 1


def test_a_dataset_is_taken_as_it_is_and_must_fit_the_config(data, tmp_path):
    build(make_plan(data, chosen(min_count=2), REGISTRY), tmp_path / "out")
    there = DataConfig(path=str(tmp_path / "out"))

    assert prepare(there, None, REGISTRY).path == tmp_path / "out"
    assert prepare(there, chosen(min_count=2), REGISTRY).vocab_size == 4
    for other in (chosen("char"), chosen(min_count=1)):
        with pytest.raises(DataError, match="were written with tokenizer 'word'"):
            prepare(there, other, REGISTRY)
    with pytest.raises(UsageError, match=r"data\.path names a dataset"):
        prepare(DataConfig(path=str(tmp_path / "out"), train=data.train), None, REGISTRY)


def test_a_killed_process_leaves_a_leftover_that_the_next_one_removes(tmp_path):
    big = tmp_path / "big.txt"
    big.write_text(TINY_TEXT * 2000)  # 47 MB: long enough to be killed at work
    command = [sys.executable, "-m", "lmtool", "tokenize", "--tokenizer", "byte", "--train", str(big), "-o", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not any(name.startswith(".out") for name in os.listdir(tmp_path)):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert [name for name in os.listdir(tmp_path) if name.startswith(".out")]

    big.write_text("small\n")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == ["big.txt", "out"]
    assert Dataset.open(tmp_path / "out").split("train").num_tokens == 6
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["splits"]["train"]["counts"]["lines"] == 1


def test_a_setting_that_came_later_changes_no_key_at_its_default(data):
    class Before(Config):
        size: int = 1

    class Now(Before):
        LATER = frozenset({"later"})
        later: str = ""

    assert Now().identity() == Before().identity() == {"size": 1}
    assert Now(later="a").identity() == {"size": 1, "later": "a"}
    assert "punctuation" not in make_plan(data, chosen(), REGISTRY).tokenizer.settings()
    assert key(data, chosen(punctuation="split")) != key(data)
