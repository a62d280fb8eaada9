"""Some documents of a dataset as a dataset, and documents held out for validation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmtool.api import Record
from lmtool.config import DataConfig, choose
from lmtool.data import subset
from lmtool.data.dataset import Dataset
from lmtool.data.holdout import Share, is_held_out, seen
from lmtool.data.prepare import build, make_plan, prepare
from lmtool.data.subset import write_subset
from lmtool.errors import DataError, UsageError
from lmtool.raw_config import Raw
from lmtool.registry import Registry

REGISTRY = Registry()
WORDS = ("apple", "pear", "plum", "fig")


def tokenizer(name="word"):
    return choose(Raw({"tokenizer": {"name": name}}), "tokenizer", REGISTRY)


def text_of(number):
    return f"{WORDS[number % 4]} {number}\n{WORDS[number % 3]}"


def written(path, numbers, label=lambda number: f"class {number % 3}"):
    rows = [{"text": text_of(number), "label": label(number)} for number in numbers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def make(folder, numbers=range(40), *, label="label", **options):
    data = DataConfig(train=[written(folder / "train.jsonl", numbers)], label=label, **options)
    return build(make_plan(data, tokenizer(), REGISTRY), folder / "whole")


# subsets --------------------------------------------------------------------------------------------------------------


def test_a_subset_of_a_subset_says_what_the_first_was_read_from(tmp_path):
    whole = make(tmp_path)
    half = write_subset(whole, tmp_path / "half", {"train": ("train", range(20))})

    part = write_subset(half, tmp_path / "part", {"test": ("train", range(5))})

    (entry,) = part.record["splits"]["test"]["sources"]
    assert entry["sources"] == whole.record["splits"]["train"]["sources"]


@pytest.mark.parametrize("block", [1, 20, 10_000])
def test_a_subset_has_the_chosen_documents_in_the_given_order(tmp_path, monkeypatch, block):
    monkeypatch.setattr(subset, "BLOCK_IDS", block)
    whole = make(tmp_path)
    chosen = {"train": [7, 3, 3, 39], "valid": np.array([0])}

    part = write_subset(whole, tmp_path / "part", {name: ("train", numbers) for name, numbers in chosen.items()})

    assert part.split_names == ("train", "valid")
    for name, numbers in chosen.items():
        source, split = whole.split("train"), part.split(name)
        assert [one.text for one in split.documents()] == [text_of(number) for number in numbers]
        assert split.label_ids.tolist() == source.label_ids[numbers].tolist()
        for place, number in enumerate(numbers):
            assert np.array_equal(split.document(place).ids, source.document(int(number)).ids)


def test_a_subset_counts_as_if_its_text_had_been_encoded(tmp_path):
    whole = make(tmp_path)
    part = write_subset(whole, tmp_path / "part", {"test": ("train", range(5, 12))})
    data = DataConfig(test=[written(tmp_path / "some.jsonl", range(5, 12))])

    ready = (whole.tokenizer, tokenizer().found)
    encoded = build(make_plan(data, None, REGISTRY, ready=ready), tmp_path / "encoded")

    assert part.split("test").counts == encoded.split("test").counts
    assert part.fingerprint == encoded.fingerprint


def test_labels_keep_their_ids_where_a_class_is_absent(tmp_path):
    part = write_subset(make(tmp_path), tmp_path / "part", {"train": ("train", [2, 5])})  # both of class 2

    assert part.label_names == ("class 0", "class 1", "class 2")
    assert part.split("train").label_ids.tolist() == [2, 2]


def test_several_labels_and_none_are_kept(tmp_path):
    rows = written(tmp_path / "m.jsonl", range(4), label=lambda number: ["a", "b"][: number % 3])
    whole = build(make_plan(DataConfig(train=[rows], label="label"), tokenizer(), REGISTRY), tmp_path / "whole")

    part = write_subset(whole, tmp_path / "part", {"train": ("train", [2, 0, 1])})

    assert part.multi_label
    assert part.split("train").label_matrix.tolist() == [[True, True], [False, False], [True, False]]


def test_the_same_subset_is_left_alone_and_nothing_else_is_overwritten(tmp_path):
    whole = make(tmp_path)
    first = write_subset(whole, tmp_path / "part", {"train": ("train", [1, 2])})
    stamp = (first.path / "dataset.json").stat()

    again = write_subset(whole, tmp_path / "part", {"train": ("train", np.array([1, 2], np.int32))})

    assert again.key == first.key != whole.key
    assert (again.path / "dataset.json").stat() == stamp
    with pytest.raises(DataError):
        write_subset(whole, tmp_path / "part", {"train": ("train", [2, 1])})
    assert Dataset.open(tmp_path / "part").key == first.key


def test_a_subset_of_nothing_or_of_documents_that_are_not_there_is_refused(tmp_path):
    whole = make(tmp_path)

    with pytest.raises(DataError, match="would have no document in its valid split"):
        write_subset(whole, tmp_path / "part", {"train": ("train", [1]), "valid": ("train", [])})
    for numbers in ([40], [-1]):
        with pytest.raises(IndexError, match="has 40 documents"):
            write_subset(whole, tmp_path / "part", {"train": ("train", numbers)})
    assert not (tmp_path / "part").exists()


def test_a_dataset_without_labels_has_no_text_for_a_subset(tmp_path):
    with pytest.raises(DataError, match="has no labels"):
        write_subset(make(tmp_path, label=None), tmp_path / "part", {"train": ("train", [1])})


# held out -------------------------------------------------------------------------------------------------------------


def documents_of(dataset, name):
    return [one.text for one in dataset.split(name).documents()]


def test_each_document_is_either_learned_from_or_held_out_in_order(tmp_path):
    dataset = make(tmp_path, range(400), valid_fraction=0.25)

    train, valid = documents_of(dataset, "train"), documents_of(dataset, "valid")
    assert valid == [text_of(number) for number in range(400) if is_held_out(text_of(number), 0.25)]
    assert train == [text_of(number) for number in range(400) if not is_held_out(text_of(number), 0.25)]
    assert 60 <= len(valid) <= 140  # 100 expected, 8.7 the standard deviation


def test_the_vocabulary_comes_from_the_rest_alone(tmp_path):
    dataset = make(tmp_path, range(100), valid_fraction=0.3)

    known = {word for text in documents_of(dataset, "train") for word in text.split()}
    assert set(dataset.tokenizer.words[2:]) == known
    assert dataset.split("valid").num_unknown > 0


def test_a_class_that_is_held_out_as_a_whole_is_said_with_the_setting_that_does_it(tmp_path):
    first = next(number for number in range(40) if is_held_out(text_of(number), 0.3))
    path = written(tmp_path / "train.jsonl", range(40), lambda number: "rare" if number == first else "common")
    data = DataConfig(train=[path], label="label", valid_fraction=0.3)

    with pytest.raises(DataError) as error:
        build(make_plan(data, tokenizer(), REGISTRY), tmp_path / "out")

    said = f"document 1 of what data.valid_fraction holds out of {path} has the label 'rare', which no document of the"
    assert error.value.message.startswith(said)


def test_equal_texts_fall_on_the_same_side_and_a_larger_fraction_holds_out_more():
    texts = [text_of(number) for number in range(200)]
    records = [Record(text) for text in [*texts, *reversed(texts)]]

    held = [{one.text for one in Share(fraction, True).of(records)} for fraction in (0.0, 0.1, 0.5, 1.0)]
    rest = {one.text for one in Share(0.1, False).of(records)}

    assert held[0] == set() < held[1] < held[2] < held[3] == set(texts)
    assert held[1] | rest == set(texts)
    assert not held[1] & rest


def test_a_document_of_several_records_stays_whole():
    records = [record for number in range(50)
               for record in (Record(f"{number}", last=False), Record("the same"), )]  # fmt: skip

    train, valid = (list(Share(0.5, held_out).of(records)) for held_out in (False, True))

    assert len(train) + len(valid) == 100
    for part in (train, valid):
        assert [record.last for record in part] == [False, True] * (len(part) // 2)


def test_the_fraction_belongs_to_the_key_and_none_is_as_before(tmp_path):
    def key(**options):
        return make_plan(DataConfig(train=[path], **options), tokenizer(), REGISTRY).key

    path = written(tmp_path / "a.jsonl", range(3))

    assert key() == key(valid_fraction=0.0)
    assert len({key(), key(valid_fraction=0.1), key(valid_fraction=0.2)}) == 3


def test_a_fraction_beside_a_validation_text_or_a_dataset_is_refused(tmp_path):
    whole = make(tmp_path)
    path = str(tmp_path / "train.jsonl")

    with pytest.raises(UsageError, match=r"valid_fraction is 0\.1, and data\.valid names"):
        make_plan(DataConfig(train=[path], valid=[path], valid_fraction=0.1), tokenizer(), REGISTRY)
    with pytest.raises(UsageError, match=r"valid_fraction is 0\.1, and there is no training text"):
        make_plan(DataConfig(test=[path], valid_fraction=0.1), tokenizer("byte"), REGISTRY)
    with pytest.raises(DataError, match=r"was made without data\.valid_fraction, and the config asks for 0\.1"):
        prepare(DataConfig(path=str(whole.path), valid_fraction=0.1), None, REGISTRY)


def test_a_config_may_name_the_fraction_that_its_dataset_was_made_with(tmp_path):
    data = DataConfig(train=[written(tmp_path / "a.jsonl", range(50))], valid_fraction=0.3)
    made = build(make_plan(data, tokenizer(), REGISTRY), tmp_path / "out")

    assert prepare(DataConfig(path=str(made.path), valid_fraction=0.3), None, REGISTRY).key == made.key
    with pytest.raises(DataError, match=r"made with data\.valid_fraction = 0\.3, and the config asks for 0\.2"):
        prepare(DataConfig(path=str(made.path), valid_fraction=0.2), None, REGISTRY)


def test_a_fraction_that_holds_out_nothing_is_an_error(tmp_path):
    data = DataConfig(train=[written(tmp_path / "one.jsonl", [1])], valid_fraction=1e-9)

    with pytest.raises(DataError, match=r"valid text is empty: data\.valid_fraction = 1e-09 leaves it no document"):
        build(make_plan(data, tokenizer(), REGISTRY), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nobody_is_warned_that_text_is_shared(tmp_path, caplog):
    make(tmp_path, range(100), valid_fraction=0.2)

    assert not caplog.records


def entry(sha256="a", share=None, held_out=True):
    return {
        "name": f"{sha256}.txt",
        "sha256": sha256,
        **({"share": Share(share, held_out).describe()} if share else {}),
    }


@pytest.mark.parametrize(
    ("learned", "judged", "found"),
    [
        (entry("a"), entry("a"), ["a.txt"]),
        (entry("a"), entry("b"), []),
        (entry("a"), entry("a", 0.1), ["a.txt"]),
        (entry("a", 0.1, held_out=False), entry("a", 0.1), []),
        (entry("a", 0.2, held_out=False), entry("a", 0.1), []),  # what a small share holds out, a larger one does, too
        (entry("a", 0.1, held_out=False), entry("a", 0.2), ["a.txt"]),
        (entry("a", 0.1, held_out=False), entry("a"), ["a.txt"]),
        (entry("a"), {"name": "half", "sha256": "c", "sources": [entry("b"), entry("a")]}, ["a.txt"]),
    ],
)
def test_text_that_was_learned_is_known_by_its_source_and_share(learned, judged, found):
    assert seen([learned], [judged, judged]) == found
