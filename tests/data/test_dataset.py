"""Datasets: what is written is what is read, and damage is seen."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.api import Record
from lmtool.data import prepare
from lmtool.data.counts import Counts, num_words
from lmtool.data.dataset import ArrayFile, Dataset
from lmtool.data.encoding import encode
from lmtool.data.writer import ArrayWriter, SplitWriter, smallest_type
from lmtool.errors import DataError
from lmtool.testing.corpus import TINY_TEXT, tiny_dataset
from lmtool_tokenizers.byte import ByteTokenizer
from lmtool_tokenizers.config import WordConfig
from lmtool_tokenizers.word import WordTokenizer

line = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]))
documents = st.lists(st.lists(line, min_size=1, max_size=4), min_size=1, max_size=6)


def records_of(documents):
    """Each document in pieces of one line."""
    return [Record(line, last=i == len(lines) - 1) for lines in documents for i, line in enumerate(lines)]


def written(folder, tokenizer, records, shard_tokens):
    folder.mkdir(exist_ok=True)
    writer = SplitWriter(folder, "train", tokenizer.vocab_size, shard_tokens)
    for encoded in encode(tokenizer, records):
        writer.write(*encoded)
    entry = writer.close([])
    record = {"splits": {"train": entry}, "key": "", "tokenizer": {}}
    return Dataset(folder, json.loads(json.dumps(record))).split("train")


@settings(max_examples=60, deadline=None)
@given(documents, st.integers(1, 50))
def test_the_text_comes_back_from_shards_of_any_size(tmp_path_factory, documents, shard_tokens):
    folder = tmp_path_factory.mktemp("split")
    text = "".join(f"{line}\n" for lines in documents for line in lines)

    split = written(folder, ByteTokenizer(), records_of(documents), shard_tokens)

    ids = split.read(0, split.num_tokens)
    assert ids.dtype == np.int32
    assert bytes(ids.tolist()).decode() == text
    assert np.array_equal(np.concatenate(split.shards()), ids)
    assert all(len(shard) <= shard_tokens for shard in split.shards())
    starts = [0, *split.document_ends.tolist()]
    pieces = [bytes(split.read(a, b).tolist()).decode() for a, b in pairwise(starts)]
    assert pieces == ["".join(f"{line}\n" for line in lines) for lines in documents]


@settings(max_examples=60, deadline=None)
@given(documents)
def test_counts_are_those_of_the_text(tmp_path_factory, documents):
    folder = tmp_path_factory.mktemp("split")
    known = WordTokenizer.train([line for lines in documents[:1] for line in lines], WordConfig())
    text = "".join(f"{line}\n" for lines in documents for line in lines)
    words = text.split()
    unknown = [word for word in words if word not in known.words[2:]]

    split = written(folder, known, records_of(documents), 1000)

    assert split.num_documents == len(documents)
    assert split.num_lines == text.count("\n")
    assert split.num_words == len(words)
    assert split.num_tokens == len(words) + text.count("\n")
    assert split.counts.chars == len(text)
    assert split.num_bytes == len(text.encode())
    assert split.num_unknown == len(unknown) == np.count_nonzero(split.read(0, 10**9) == known.unk_id)
    assert split.num_unknown_bytes == sum(len(word.encode()) for word in unknown)


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab \t\x0b\x1c\x85\xa0\u2003\u3000中é\n")))
def test_words_are_counted_as_str_split_does(text):
    assert num_words(text) == len(text.split())


def test_read_clips_as_a_slice_does(tmp_path):
    split = tiny_dataset(tmp_path, "byte").split("valid")
    whole = split.read(0, split.num_tokens)

    assert np.array_equal(split.read(-5, 10), whole[:10])
    assert np.array_equal(split.read(10, 10**9), whole[10:])
    assert len(split.read(20, 10)) == 0


def test_ids_have_the_smallest_type():
    sizes = (2, 256, 257, 65536, 65537)

    assert [smallest_type(size).name for size in sizes] == ["uint8", "uint8", "uint16", "uint16", "uint32"]


@pytest.mark.parametrize("length", [0, 1, 9, 10, 12345])
def test_an_array_that_was_written_in_pieces_is_a_plain_npy_file(tmp_path, length):
    values = np.arange(length, dtype=np.uint16)
    writer = ArrayWriter(tmp_path / "a.npy", np.dtype(np.uint16))
    for start in range(0, length, 1000):
        writer.write(values[start : start + 1000])
    entry = writer.close()

    assert np.array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), values)
    file = ArrayFile(tmp_path / "a.npy", entry["dtype"], entry["length"], entry["sha256"])
    file.verify()
    assert np.array_equal(file.open(), values)


def test_splits_and_their_names(tmp_path):
    dataset = tiny_dataset(tmp_path, "word")

    assert dataset.split_names == ("train", "valid", "test")
    assert dataset.fingerprint == dataset.tokenizer.fingerprint
    assert (dataset.vocab_size, dataset.eos_id, dataset.unk_id) == (dataset.tokenizer.vocab_size, 0, 1)
    text = "".join(dataset.tokenizer.decode(dataset.split(name).read(0, 10**9)) for name in dataset.split_names)
    assert text == TINY_TEXT
    with pytest.raises(DataError, match=r"no split 'dev' in .*; it has train, valid, test"):
        dataset.split("dev")


# damage ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("whole"), "char").path


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def use(path):
    dataset = Dataset.open(path)
    _ = dataset.tokenizer
    for name in dataset.split_names:
        dataset.split(name).shards()


def files(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def test_every_missing_cut_or_changed_file_is_seen(whole, copy):
    assert len(files(copy)) == 9  # 3 splits of a shard and document ends, dataset.json, a tokenizer of two files
    for name in files(copy):
        content = (whole / name).read_bytes()
        flipped = bytearray(content)
        flipped[-3] ^= 1  # in a JSON file that may be white space, but not in these
        for damage in (None, b"", content[:-1] if name.endswith("npy") else content[:-5], bytes(flipped)):
            (copy / name).unlink() if damage is None else (copy / name).write_bytes(damage)
            with pytest.raises(DataError) as caught:
                use(copy)
            assert str(copy) in caught.value.message
            (copy / name).write_bytes(content)
    use(copy)


@pytest.mark.parametrize("change", [{"version": 99}, {"format": "other"}, {"key": None}, {"splits": [1]}])
def test_a_description_that_is_not_ours_is_refused(copy, change):
    record = json.loads((copy / "dataset.json").read_text())
    record |= change
    if change == {"key": None}:
        del record["key"]
    (copy / "dataset.json").write_text(json.dumps(record))

    with pytest.raises(DataError, match="version 99" if "version" in change else "damaged"):
        Dataset.open(copy)


@pytest.mark.parametrize("entry", ["shards", "counts", "document_ends"])
def test_a_description_that_lacks_an_entry_or_does_not_add_up_is_refused(copy, entry):
    whole = json.loads((copy / "dataset.json").read_text())
    lacking, wrong = json.loads(json.dumps(whole)), json.loads(json.dumps(whole))
    del lacking["splits"]["valid"][entry]
    wrong["splits"]["valid"]["counts"]["tokens"] += 1

    for record in (lacking, wrong):
        (copy / "dataset.json").write_text(json.dumps(record))
        with pytest.raises(DataError, match=r"dataset\.json is damaged"):
            Dataset.open(copy)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_what_is_no_dataset_is_named(tmp_path, make):
    make(tmp_path / "x")

    with pytest.raises(DataError, match=r"tmp|x") as caught:
        Dataset.open(tmp_path / "x")

    assert "lmtool tokenize" in str(caught.value.hint)


def test_another_tokenizer_is_noticed(whole, tmp_path):
    dataset = Dataset.open(whole)
    other = tiny_dataset(tmp_path, "char", vocab_size=12)

    with pytest.raises(DataError, match=r"were written with tokenizer .{8}…, but the tokenizer of runs/a is .{8}…"):
        dataset.check_tokenizer(other.fingerprint, "the tokenizer of runs/a")
    dataset.check_tokenizer(dataset.fingerprint, "the tokenizer of runs/a")


def test_a_swapped_tokenizer_is_noticed(copy, tmp_path):
    other = tiny_dataset(tmp_path, "char", vocab_size=12)
    shutil.rmtree(copy / "tokenizer")
    shutil.copytree(other.path / "tokenizer", copy / "tokenizer")

    with pytest.raises(DataError, match=r"ids in .*copy were written with"):
        _ = Dataset.open(copy).tokenizer


def test_counts_add_up():
    one, two = Counts(1, 2, 3, 4, 5, 6, 7, 8), Counts(10, 20, 30, 40, 50, 60, 70, 80)

    assert one + two == Counts(11, 22, 33, 44, 55, 66, 77, 88)
    assert prepare.SPLITS == ("train", "valid", "test")
