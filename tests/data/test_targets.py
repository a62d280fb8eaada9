"""What documents are answered with: targets in a dataset, what is written, what is read back, what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.api import Record
from lmtool.config import DataConfig, choose, data_section, resolve
from lmtool.data import arrays, target_writer
from lmtool.data.dataset import Dataset
from lmtool.data.folds import Folds
from lmtool.data.prepare import build, make_plan, prepare
from lmtool.data.reading import Reading
from lmtool.data.sources import Source
from lmtool.data.subset import write_subset
from lmtool.data.targets import TargetFields
from lmtool.data.tokenizer_folder import open_target_tokenizer, open_tokenizer
from lmtool.errors import ConfigError, DataError, UsageError
from lmtool.raw_config import Raw
from lmtool.registry import Registry

REGISTRY = Registry()


def tokenizer(name="word"):
    return choose(Raw({"tokenizer": {"name": name}}), "tokenizer", REGISTRY)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def make(folder, *, name="out", chosen="word", target="target", **options):
    """A dataset of rows by split, and settings of `[data]`."""
    folder.mkdir(exist_ok=True)
    files = {split: [write_jsonl(folder / f"{split}.jsonl", options.pop(split))] for split in ("train", "valid", "test")
             if split in options}  # fmt: skip
    data = DataConfig.model_validate({**files, "target": target, **options})
    return build(make_plan(data, tokenizer(chosen), REGISTRY), folder / name, force=True)


def pair(text, target):
    return {"text": text, "target": target}


TRAIN = [pair("a man\nwalks", "ein mann geht"), pair("a dog", "ein hund"), pair("no", "nein")]


def test_a_target_is_its_ids_without_the_end_and_its_text(tmp_path):
    dataset = make(tmp_path, chosen="byte", train=TRAIN, test=[pair("a", "ja")])

    assert dataset.target_fields == ("target",)
    assert dataset.target_tokenizer is dataset.tokenizer
    assert dataset.target_vocab_size == dataset.vocab_size == 256
    split = dataset.split("train")
    assert split.has_targets
    assert not split.has_labels
    assert split.target_lengths.tolist() == [13, 8, 4]  # letters and spaces
    assert split.target_lengths.dtype == np.int64
    assert [bytes(ids.tolist()).decode() for ids in split.targets()] == ["ein mann geht", "ein hund", "nein"]
    assert [split.target(number).tolist() for number in range(3)] == [ids.tolist() for ids in split.targets()]
    assert split.target(0).dtype == next(split.targets()).dtype == np.int32
    assert split.references(1) == ("ein hund",)
    assert [one.text for one in split.documents()] == ["a man\nwalks", "a dog", "no"]
    assert split.document(1).text == "a dog"
    assert (split.target_counts.tokens, split.target_counts.words) == (13 + 8 + 4 + 3, 6)
    assert dataset.split("test").references(0) == ("ja",)


def test_one_vocabulary_is_learned_from_both_sides(tmp_path):
    dataset = make(tmp_path, train=[pair("a b", "c d"), pair("e", ["f", "g"])], test=[pair("c", "g a")])

    learned = {"a", "b", "c", "d", "e", "f"}  # of several targets, the first is what training learns
    tokens = set(dataset.tokenizer.tokens(range(dataset.vocab_size)))
    assert learned <= tokens
    assert "g" not in tokens
    assert dataset.split("test").num_unknown == 0
    assert dataset.split("test").target_counts.unknown == 1


def test_without_targets_the_cure_is_named(tmp_path):
    dataset = make(tmp_path, target=None, train=TRAIN)

    split = dataset.split("train")
    assert dataset.target_fields == ()
    assert not split.has_targets
    assert "targets" not in dataset.record
    for use in (lambda: dataset.target_tokenizer, lambda: dataset.target_vocab_size, lambda: split.target_lengths,
                lambda: split.target(0), lambda: next(split.targets()), lambda: split.references(0)):  # fmt: skip
        with pytest.raises(DataError, match=r"out has no targets") as caught:
            use()
        assert "--target" in str(caught.value.hint)
    with pytest.raises(DataError, match="no labels and no targets"):
        split.document(0)


words = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs", "Z", "Cc"]), min_size=1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text("ab \n", max_size=8), st.lists(words, min_size=1, max_size=3)), min_size=1))
def test_any_targets_come_back(tmp_path_factory, documents):
    folder = tmp_path_factory.mktemp("targets")

    dataset = make(folder, chosen="byte", train=[pair(text, targets) for text, targets in documents])

    split = dataset.split("train")
    assert [split.references(number) for number in range(len(documents))] == [tuple(some) for _, some in documents]
    assert [bytes(ids.tolist()).decode() for ids in split.targets()] == [targets[0] for _, targets in documents]
    assert [one.text for one in split.documents()] == [text.removesuffix("\n") for text, _ in documents]


def test_targets_are_written_as_they_come_and_read_in_pieces(tmp_path, monkeypatch):
    rows = [pair(f"document {i}", [f"answer {i}", "x" * (i % 7 + 1)]) for i in range(50)]
    whole = make(tmp_path / "a", train=rows).split("train")
    monkeypatch.setattr(target_writer, "FLUSH_BYTES", 30)
    monkeypatch.setattr(arrays, "READ_AHEAD", 5)
    monkeypatch.setattr(arrays, "LARGE", 3)

    pieces = make(tmp_path / "b", train=rows).split("train")

    for number, (one, other) in enumerate(zip(whole.targets(), pieces.targets(), strict=True)):
        assert np.array_equal(one, other)
        assert whole.references(number) == pieces.references(number) == tuple(rows[number]["target"])


# what a target is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("one", ("one",)),
        (" one\r\ntwo\n\nthree \n", ("one two three",)),
        (["a", "b", "a"], ("a", "b", "a")),
        ([{"text": "a", "answer_start": 7}, {"text": "b", "answer_start": 1}], ("a", "b")),
        ({"text": ["a", "b"], "answer_start": [7, 1]}, ("a", "b")),
    ],
)
def test_what_a_field_holds_as_targets(value, texts):
    assert TargetFields(("target",)).texts({"target": value}, "document 1") == texts


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize(
    ("fields", "message", "cure"),
    [
        ({}, "has no target in a field 'target'", "knows no fields"),
        ({"tgt": "x"}, "has no target in a field 'target'", "its fields are tgt; `--target FIELD`"),
        ({"targets": "x"}, r"has no target in a field 'target' \(did you mean 'targets'\?\)", "--target FIELD"),
        ({"target": None}, "has no target in a field 'target'", "--target FIELD"),
        ({"target": []}, "the list of targets in field 'target' is empty", "leave such documents out"),
        ({"target": " \n"}, "field 'target': a target is empty", "leave such documents out"),
        ({"target": ["x", ""]}, "field 'target': a target is empty", "leave such documents out"),
        ({"target": 3}, "field 'target': a target must be a text, got 3", "string"),
        ({"target": [{"answer": "x"}]}, "field 'target': a target must be a text, got {'answer': 'x'}", "string"),
        ({"target": {"en": "x", "de": "y"}}, "field 'target' is an object", "leads into it: target.en, target.de"),
        ({"target": "\ud800"}, "field 'target': a target holds half of a surrogate pair", "leave it out"),
    ],
)
def test_what_is_no_target_is_named_by_document_and_source(tmp_path, split, fields, message, cure):
    good, bad = pair("a", "x"), {"text": "b", **fields}
    splits = {"train": [good], split: [good, bad]}

    with pytest.raises(DataError, match=rf"document 2 of .*{split}\.jsonl:? {message}") as caught:
        make(tmp_path, **splits)

    assert cure in str(caught.value.hint)
    assert not (tmp_path / "out").exists()


def test_of_several_fields_the_first_that_a_record_has_counts(tmp_path):
    test = [{"text": "a", "target": "x", "targets": ["y", "z"]}, {"text": "b", "targets": None, "target": "x"}]

    dataset = make(tmp_path, target=["targets", "target"], train=TRAIN, test=test)

    assert dataset.target_fields == ("targets", "target")
    assert [dataset.split("test").references(number) for number in (0, 1)] == [("y", "z"), ("x",)]
    with pytest.raises(DataError, match="has no target in a field 'a' or 'b'"):
        make(tmp_path, target=["a", "b"], train=TRAIN)


def test_a_dot_leads_to_texts_targets_and_labels_inside_of_objects(tmp_path):
    rows = [{"translation": {"en": "a dog", "de": ["ein hund", "hund"]}, "about": {"kind": "animal"}}]
    options = {"target": "translation.de", "label": "about.kind", "reader": {"text_field": "translation.en"}}

    dataset = make(tmp_path, train=rows, **options)
    part = write_subset(dataset, tmp_path / "part", {"train": ("train", [0])}).split("train")

    for split in (dataset.split("train"), part):
        assert split.document(0).text == "a dog"
        assert split.references(0) == ("ein hund", "hund")
        assert split.label_ids.tolist() == [0]
    assert dataset.label_names == ("animal",)
    with pytest.raises(DataError, match=r"no target in a field 'translation\.fr'") as caught:
        make(tmp_path, train=rows, **{**options, "target": "translation.fr"})
    assert "its fields are translation.en, translation.de, about.kind" in str(caught.value.hint)


def test_a_document_of_several_records_has_one_target(tmp_path):
    text = "\n".join(["0123456789"] * 200_000)  # 2.2 MB, which the reader gives in pieces

    split = make(tmp_path, train=[pair(text, "long"), pair("short", "brief")]).split("train")

    assert [split.references(0), split.references(1)] == [("long",), ("brief",)]
    assert split.document(0).text == text


def test_a_dataset_may_have_labels_and_targets(tmp_path):
    rows = [pair("a", "x") | {"label": "one"}, pair("b", "y") | {"label": "two"}]

    split = make(tmp_path, label="label", train=rows).split("train")

    assert split.label_ids.tolist() == [0, 1]
    assert split.references(1) == ("y",)
    assert split.document(1).text == "b"


def test_rows_of_tables_have_targets_too(tmp_path):
    (tmp_path / "train.csv").write_text('text,summary\n"a, b","c, d"\ne,f\n')
    (tmp_path / "test.tsv").write_text("summary\ttext\ng\th\n")
    data = DataConfig(train=[str(tmp_path / "train.csv")], test=[str(tmp_path / "test.tsv")], target="summary")

    dataset = build(make_plan(data, tokenizer(), REGISTRY), tmp_path / "out")

    assert [dataset.split("train").references(number) for number in (0, 1)] == [("c, d",), ("f",)]
    assert dataset.split("test").document(0).text == "h"
    assert dataset.split("test").references(0) == ("g",)


@pytest.mark.parametrize(
    "answers",
    [
        [["x", "y"], ["z"]],
        [[{"text": "x", "answer_start": 3}, {"text": "y", "answer_start": 5}], [{"text": "z", "answer_start": 1}]],
        [{"text": ["x", "y"], "answer_start": [3, 5]}, {"text": ["z"], "answer_start": [1]}],
    ],
    ids=["lists", "lists of structs", "structs of lists"],
)
def test_rows_of_parquet_have_lists_of_targets(tmp_path, answers):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"text": ["a", "b"], "answers": answers})
    parquet.write_table(table, tmp_path / "train.parquet")
    data = DataConfig(train=[str(tmp_path / "train.parquet")], target="answers")

    split = build(make_plan(data, tokenizer(), REGISTRY), tmp_path / "out").split("train")

    assert [split.references(number) for number in (0, 1)] == [("x", "y"), ("z",)]


# a tokenizer of targets -----------------------------------------------------------------------------------------------


def test_a_second_tokenizer_is_learned_from_targets_alone(tmp_path):
    rows = [pair("a b", "c d"), pair("a", "c")]

    dataset = make(tmp_path, target_tokenizer="word", train=rows, valid=[pair("c", "a c")])

    assert {"a", "b"} <= set(dataset.tokenizer.tokens(range(dataset.vocab_size)))
    assert "c" not in dataset.tokenizer.tokens(range(dataset.vocab_size))
    assert {"c", "d"} <= set(dataset.target_tokenizer.tokens(range(dataset.target_vocab_size)))
    assert "a" not in dataset.target_tokenizer.tokens(range(dataset.target_vocab_size))
    assert dataset.split("valid").num_unknown == dataset.split("valid").target_counts.unknown == 1
    assert dataset.target_tokenizer.decode(dataset.split("train").target(0).tolist()) == "c d"
    assert open_target_tokenizer(dataset.path, REGISTRY)[0].fingerprint == dataset.target_tokenizer.fingerprint


@pytest.mark.parametrize("chosen", ["bpe", "word"])  # one learns from lines, the other from blocks of text
def test_all_lines_and_first_targets_are_learned_from(tmp_path, chosen):
    rows = [pair("eins\nzwei", "drei"), pair("vier", ["acht", "zehn"])] * 3
    shared = make(tmp_path / "shared", chosen=chosen, train=rows)
    apart = make(tmp_path / "apart", chosen=chosen, target_tokenizer=chosen, train=rows)

    def known(tokenizer):
        return {"eins", "zwei", "drei", "vier", "acht", "zehn"} & set(tokenizer.tokens(range(tokenizer.vocab_size)))

    assert known(shared.tokenizer) == {"eins", "zwei", "drei", "vier", "acht"}
    assert known(apart.tokenizer) == {"eins", "zwei", "vier"}
    assert known(apart.target_tokenizer) == {"drei", "acht"}


def test_targets_take_tokenizers_that_are_there(tmp_path):
    made = make(tmp_path, target_tokenizer={"name": "char"}, train=TRAIN)
    data = DataConfig(test=[write_jsonl(tmp_path / "t.jsonl", [pair("a", "hund")])], target="target")
    ready, ready_target = open_tokenizer(made.path, REGISTRY), open_target_tokenizer(made.path, REGISTRY)

    plan = make_plan(data, None, REGISTRY, ready=ready, ready_target=ready_target)
    dataset = build(plan, tmp_path / "test")

    assert dataset.target_tokenizer.fingerprint == made.target_tokenizer.fingerprint
    assert dataset.tokenizer.fingerprint == made.tokenizer.fingerprint
    assert dataset.target_tokenizer.decode(dataset.split("test").target(0).tolist()) == "hund"
    for wanted in ("char", {"name": "char"}):  # as in the config that it was made by
        again = data.model_copy(update={"target_tokenizer": wanted})
        assert make_plan(again, None, REGISTRY, ready=ready, ready_target=ready_target).key == plan.key
    other = data.model_copy(update={"target_tokenizer": "word"})
    with pytest.raises(UsageError, match=r"data\.target_tokenizer asks for 'word', and .* a 'char'"):
        make_plan(other, None, REGISTRY, ready=ready, ready_target=ready_target)


def test_a_target_tokenizer_needs_targets_and_text_to_learn_from(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", TRAIN)

    with pytest.raises(UsageError, match=r"data\.target_tokenizer has no use without data\.target"):
        make_plan(DataConfig(train=[path], target_tokenizer="word"), tokenizer(), REGISTRY)
    untrained = DataConfig(test=[path], target="target", target_tokenizer="word")
    with pytest.raises(UsageError, match="tokenizer 'word' learns its vocabulary from training text"):
        make_plan(untrained, tokenizer("byte"), REGISTRY)
    misspelt = DataConfig(train=[path], target="target", target_tokenizer={"name": "word", "min_cuont": 2})
    with pytest.raises(ConfigError, match=r"data\.target_tokenizer\.min_cuont \(did you mean"):
        make_plan(misspelt, tokenizer(), REGISTRY)


# keys, configs, damage ------------------------------------------------------------------------------------------------


def test_targets_belong_to_the_key(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [pair("a", "b") | {"other": "c"}])
    asked = [{}, {"target": "target"}, {"target": "other"}, {"target": ["target", "other"]},
             {"target": "target", "target_tokenizer": "word"},
             {"target": "target", "target_tokenizer": {"name": "word", "min_count": 2}}]  # fmt: skip

    keys = {make_plan(DataConfig(train=[path], **one), tokenizer(), REGISTRY).key for one in asked}

    assert len(keys) == len(asked)


def test_targets_of_a_data_set_by_name_belong_to_its_digest():
    class Named:
        config = None
        target = "x"

        def load(self):
            return lambda config: self

        def read(self, source):
            yield Record("text", fields={"target": self.target, "other": 1})

    named = Named()
    one = Reading(Source("some:thing", "some"), named)
    digests = [one.digest(), one.digest(["target"]), one.digest(["other"])]

    assert len(set(digests)) == 3
    named.target = "y"
    assert [one.digest(), one.digest(["other"])] == [digests[0], digests[2]]
    assert one.digest(["target"]) != digests[1]
    named.target = {"de": "y"}
    assert one.digest(["target.de"]) != one.digest(["target.en"])


def test_a_dataset_must_have_the_targets_that_a_config_asks_for(tmp_path):
    made, without = make(tmp_path, train=TRAIN), make(tmp_path, name="other", target=None, train=TRAIN)

    assert prepare(DataConfig(path=str(made.path), target="target"), None, REGISTRY).target_fields == ("target",)
    with pytest.raises(DataError, match=r"with the targets of field 'target', and data.target asks for 'summary'"):
        prepare(DataConfig(path=str(made.path), target="summary"), None, REGISTRY)
    with pytest.raises(DataError, match=r"made without targets, and data.target asks for 'target'"):
        prepare(DataConfig(path=str(without.path), target="target"), None, REGISTRY)


def test_a_dataset_must_have_the_tokenizer_of_targets_that_a_config_asks_for(tmp_path):
    own = {"name": "word", "lowercase": True}
    made = make(tmp_path, train=TRAIN, target_tokenizer=own)

    shared = make(tmp_path, name="shared", train=TRAIN)

    assert prepare(DataConfig(path=str(made.path), target_tokenizer=own), None, REGISTRY).key == made.key
    with pytest.raises(DataError, match=r"made without data\.target_tokenizer"):
        prepare(DataConfig(path=str(shared.path), target_tokenizer="word"), None, REGISTRY)
    for other in ("char", "word"):
        with pytest.raises(DataError, match=r"targets in .* were written with tokenizer 'word' .* asks for"):
            prepare(DataConfig(path=str(made.path), target_tokenizer=other), None, REGISTRY)


def test_text_to_text_takes_the_field_target_where_none_is_named():
    def target(task, **data):
        raw = Raw({"task": {"name": task}, "model": {"name": "lstm"}, "data": data})
        assert data_section(raw, REGISTRY) == resolve(raw, REGISTRY).data
        return resolve(raw, REGISTRY).data.target

    assert target("seq2seq") == "target"
    assert target("seq2seq", target=["summary", "title"]) == ["summary", "title"]
    assert target("lm") is None
    assert target("lm", target="summary") == "summary"
    assert target("seq2seq", path="a dataset, which says it itself") is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make(tmp_path_factory.mktemp("whole"), target_tokenizer="char", train=TRAIN, test=TRAIN).path


@pytest.mark.parametrize(
    "part", ["targets", "target-ends", "references", "reference-ends", "document-reference-ends", "text", "text-ends"]
)
def test_damage_is_seen_when_targets_are_read(whole, tmp_path, part):
    copy = shutil.copytree(whole, tmp_path / "copy")
    path = copy / f"train-{part}.npy"
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-1] ^= 1

    def use():
        split = Dataset.open(copy).split("train")
        return list(split.targets()), split.references(0), list(split.documents())

    for damage in (None, content[:-1], bytes(flipped)):
        path.unlink() if damage is None else path.write_bytes(damage)
        with pytest.raises(DataError, match=rf"train-{part}\.npy is (damaged|missing)"):
            use()
        with pytest.raises(DataError, match=rf"train-{part}\.npy is (damaged|missing)"):
            Dataset.open(copy).verify()
    path.write_bytes(content)
    Dataset.open(copy).verify()


@pytest.mark.parametrize("entry", ["targets", "target_ends", "references", "reference_ends",
                                   "document_reference_ends", "target_counts", "text", "text_ends"])  # fmt: skip
def test_a_description_without_an_entry_is_damaged(whole, tmp_path, entry):
    copy = shutil.copytree(whole, tmp_path / "copy")
    record = json.loads((copy / "dataset.json").read_text())
    del record["splits"]["test"][entry]
    (copy / "dataset.json").write_text(json.dumps(record))

    with pytest.raises(DataError, match=r"dataset\.json is damaged"):
        Dataset.open(copy)


def test_another_tokenizer_in_the_place_of_that_of_targets_is_seen(whole, tmp_path):
    copy = shutil.copytree(whole, tmp_path / "copy")
    shutil.rmtree(copy / "target-tokenizer")
    with pytest.raises(DataError, match=r"target-tokenizer holds no tokenizer"):
        Dataset.open(copy).verify()

    shutil.copytree(copy / "tokenizer", copy / "target-tokenizer")

    with pytest.raises(DataError, match=r"targets in .*copy were written with tokenizer .*, but .*target-tokenizer is"):
        Dataset.open(copy).verify()


# parts of a dataset ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [None, "char"])
def test_a_subset_has_the_targets_of_its_documents(tmp_path, own):
    rows = [pair(f"text {i}", [f"answer {i}", "another"]) for i in range(10)]
    dataset = make(tmp_path, target_tokenizer=own, train=rows)

    part = write_subset(dataset, tmp_path / "part", {"train": ("train", [7, 2, 2]), "test": ("train", [9])})

    assert part.target_fields == ("target",)
    assert part.target_tokenizer.fingerprint == dataset.target_tokenizer.fingerprint
    source, split = dataset.split("train"), part.split("train")
    for place, number in enumerate([7, 2, 2]):
        assert split.references(place) == source.references(number)
        assert split.document(place).text == f"text {number}"
        assert np.array_equal(split.target(place), source.target(number))
    assert split.target_counts.tokens == sum(len(source.target(number)) + 1 for number in (7, 2, 2))
    part.verify()


def test_documents_with_targets_are_spread_over_folds(tmp_path):
    rows = [pair(f"text {i % 8}", f"answer {i}") for i in range(12)]  # four texts are there twice
    dataset = make(tmp_path, train=rows)

    folds = Folds(dataset, 4, seed=0)

    assert sorted(np.bincount(folds.fold[:8]).tolist()) == [2, 2, 2, 2]
    assert folds.fold[:4].tolist() == folds.fold[8:].tolist()  # equal texts are together
    part = folds.write(0, tmp_path / "fold")
    assert part.split("train").num_documents + part.split("test").num_documents == 12
    assert part.split("test").references(0)[0].startswith("answer")


def test_held_out_documents_keep_their_targets(tmp_path):
    rows = [pair(f"text {i}", f"answer {i}") for i in range(40)]

    dataset = make(tmp_path, valid_fraction=0.3, train=rows)

    for name in ("train", "valid"):
        split = dataset.split(name)
        assert split.num_documents > 5
        for number, one in enumerate(split.documents()):
            assert split.references(number) == (one.text.replace("text", "answer"),)
    vocabulary = dataset.tokenizer.tokens(range(dataset.vocab_size))
    held_out = [one.text.split()[1] for one in dataset.split("valid").documents()]
    assert not set(held_out) & set(vocabulary)


def test_the_share_that_lacks_a_target_is_named(tmp_path):
    rows = [pair(f"text {i}", f"answer {i}") for i in range(30)] + [{"text": "text"}]

    with pytest.raises(DataError, match=r"document \d+ of what data\.valid_fraction (holds out|leaves) of .*no target"):
        make(tmp_path, valid_fraction=0.3, train=rows)
