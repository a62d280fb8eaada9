"""Labels and text of documents in a dataset: what is written, what is read back, what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.config import DataConfig, choose, data_section, resolve
from lmtool.data import writer
from lmtool.data.dataset import Dataset
from lmtool.data.labels import Labels, in_order, known_labels, names_of
from lmtool.data.prepare import build, make_plan, prepare
from lmtool.errors import DataError, UsageError
from lmtool.raw_config import Raw
from lmtool.registry import Registry

REGISTRY = Registry()
NO_LABEL = {}


def byte_tokenizer():
    return choose(Raw({"tokenizer": {"name": "byte"}}), "tokenizer", REGISTRY)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps({"text": text} | fields) + "\n" for text, fields in rows))
    return str(path)


def make(folder, *, name="out", label="label", **splits):
    """A dataset of rows `(text, fields)` by split."""
    folder.mkdir(exist_ok=True)
    files = {split: [write_jsonl(folder / f"{split}.jsonl", rows)] for split, rows in splits.items()}
    data = DataConfig.model_validate({**files, "label": label})
    return build(make_plan(data, byte_tokenizer(), REGISTRY), folder / name, force=True)


def row(text, label):
    return (text, {"label": label})


TRAIN = [row("good\nfine", "pos"), row("bad", "neg"), row("", "pos")]


def test_label_ids_are_places_in_the_sorted_names(tmp_path):
    dataset = make(tmp_path, train=TRAIN, test=[row("x", "neg")])

    assert dataset.label_names == ("neg", "pos")
    assert not dataset.multi_label
    assert dataset.split("train").label_ids.tolist() == [1, 0, 1]
    assert dataset.split("train").label_ids.dtype == np.int64
    assert dataset.split("test").label_ids.tolist() == [0]
    assert dataset.split("train").label_matrix.tolist() == [[False, True], [True, False], [False, True]]
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"] == {
        "field": "label",
        "names": ["neg", "pos"],
        "multi": False,
    }


def test_a_document_is_its_ids_and_its_text(tmp_path):
    split = make(tmp_path, train=TRAIN).split("train")

    assert split.document_starts.tolist() == [0, 10, 14]  # "good\nfine\n" are 10 bytes, "bad\n" 4
    assert split.document_ends.tolist() == [10, 14, 15]
    assert [one.text for one in split.documents()] == ["good\nfine", "bad", ""]
    for number, one in enumerate(split.documents()):
        assert bytes(one.ids.tolist()).decode() == f"{one.text}\n"
        assert split.document(number).text == one.text
        assert np.array_equal(split.document(number).ids, one.ids)


texts = st.lists(st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"])), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None)
@given(texts, st.data())
def test_text_and_labels_of_any_documents_come_back(tmp_path_factory, documents, data):
    names = data.draw(st.lists(st.lists(st.sampled_from("abcd"), unique=True), min_size=len(documents),
                               max_size=len(documents)))  # fmt: skip
    names[0] = ["b"]  # without any label there is no dataset
    folder = tmp_path_factory.mktemp("labels")

    dataset = make(folder, train=[row(text, labels) for text, labels in zip(documents, names, strict=True)])

    split = dataset.split("train")
    assert [one.text for one in split.documents()] == [text.removesuffix("\n") for text in documents]
    assert dataset.multi_label
    assert dataset.label_names == tuple(sorted(set().union(*names)))
    found = [[dataset.label_names[i] for i in np.flatnonzero(labels)] for labels in split.label_matrix]
    assert found == [sorted(labels) for labels in names]


def test_text_is_written_as_it_comes_and_read_in_pieces(tmp_path, monkeypatch):
    whole = make(tmp_path / "a", train=[row(f"document {i}", i % 3) for i in range(50)]).split("train")
    monkeypatch.setattr(writer, "FLUSH_BYTES", 30)
    monkeypatch.setattr("lmtool.data.arrays.READ_AHEAD", 25)

    pieces = make(tmp_path / "b", train=[row(f"document {i}", i % 3) for i in range(50)]).split("train")

    for one, other in zip(whole.documents(), pieces.documents(), strict=True):
        assert one.text == other.text
        assert np.array_equal(one.ids, other.ids)
    assert np.array_equal(whole.label_ids, pieces.label_ids)


def test_a_document_of_several_records_has_one_label_and_all_its_text(tmp_path):
    text = "\n".join(["0123456789"] * 200_000)  # 2.2 MB, which the reader gives in pieces

    split = make(tmp_path, train=[row(text, "long"), row("short", "other")]).split("train")

    assert split.label_ids.tolist() == [0, 1]
    assert split.document(0).text == text
    assert split.document(1).text == "short"


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("a b", ["a b"]),
        (3, ["3"]),
        (2.5, ["2.5"]),
        (True, ["true"]),
        (["x", "y", "x"], ["x", "y"]),
        ([], []),
        (None, []),
        ("", []),
        (float("nan"), []),
        ([None, 1], ["1"]),
    ],
)
def test_what_a_field_holds_as_labels(value, names):
    assert names_of(value) == names


def test_whole_numbers_are_sorted_by_value():
    assert in_order(["10", "2", "-3"]) == ("-3", "2", "10")
    assert in_order(["10", "2", "b"]) == ("10", "2", "b")


@pytest.mark.parametrize(("value", "message"), [({"a": 1}, "a label must be"), ("\ud800", "surrogates not allowed")])
def test_what_cannot_be_a_label_is_named_by_document_and_source(tmp_path, value, message):
    with pytest.raises(DataError, match=rf"document 2 of .*train\.jsonl: field 'label': .*{message}"):
        make(tmp_path, train=[row("a", "x"), row("b", value)])
    assert not (tmp_path / "out").exists()


def test_a_label_that_the_training_text_lacks_is_named(tmp_path):
    with pytest.raises(DataError, match=r"document 2 of .*valid\.jsonl has the label 'nege' \(did you mean 'neg'\?\)"):
        make(tmp_path, train=TRAIN, valid=[row("a", "pos"), row("b", "nege")])


def test_several_labels_where_training_documents_have_one_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"document 1 of .*test\.jsonl has 2 labels \(neg, pos\)"):
        make(tmp_path, train=TRAIN, test=[row("a", ["neg", "pos"])])
    assert make(tmp_path, train=TRAIN, test=[row("a", ["neg"])]).split("test").label_ids.tolist() == [0]


def test_a_field_that_no_document_has_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a field 'lable' \(did you mean 'label'\?\)") as caught:
        make(tmp_path, label="lable", train=[("a", {"label": 1, "id": 2})])
    assert "its fields are label, id" in str(caught.value.hint)


def test_a_document_without_a_label_has_none_and_cannot_be_classified(tmp_path, caplog):
    dataset = make(tmp_path, train=[*TRAIN, ("no label", NO_LABEL)])

    split = dataset.split("train")
    assert "1 document of the train text without a label in 'label'" in caplog.text
    assert split.label_matrix.sum(axis=1).tolist() == [1, 1, 1, 0]
    with pytest.raises(DataError, match=r"document 4 of .*out train has no label"):
        _ = split.label_ids


def test_several_labels_are_a_matrix_not_ids(tmp_path):
    split = make(tmp_path, train=[row("a", ["x", "y"]), row("b", "x")]).split("train")

    assert split.label_matrix.tolist() == [[True, True], [True, False]]
    with pytest.raises(DataError, match=r"document 1 of .* has 2 labels"):
        _ = split.label_ids


def test_without_a_label_field_nothing_is_kept_and_the_cure_is_named(tmp_path):
    dataset = make(tmp_path, label=None, train=TRAIN)

    split = dataset.split("train")
    assert not split.has_labels
    assert "labels" not in dataset.record
    for use in (lambda: dataset.label_names, lambda: dataset.multi_label, lambda: split.label_ids,
                lambda: split.label_matrix, lambda: split.document(0), lambda: next(split.documents())):  # fmt: skip
        with pytest.raises(DataError, match=r"out has no labels") as caught:
            use()
        assert "--label" in str(caught.value.hint)


def test_labels_belong_to_the_key(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [("a", {"label": 1, "other": 2})])

    keys = {make_plan(DataConfig(train=[path], label=label), byte_tokenizer(), REGISTRY).key
            for label in (None, "label", "other")}  # fmt: skip

    assert len(keys) == 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make(tmp_path_factory.mktemp("whole"), train=TRAIN, test=[row("b", "pos")]).path


@pytest.mark.parametrize("part", ["labels", "label-ends", "text", "text-ends"])
def test_damage_is_seen_when_documents_are_read(whole, tmp_path, part):
    copy = shutil.copytree(whole, tmp_path / "copy")
    path = copy / f"train-{part}.npy"
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-1] ^= 1

    def use():
        list(Dataset.open(copy).split("train").documents())

    for damage in (None, content[:-1], bytes(flipped)):
        path.unlink() if damage is None else path.write_bytes(damage)
        with pytest.raises(DataError, match=rf"train-{part}\.npy is (damaged|missing)"):
            use()
        with pytest.raises(DataError, match=rf"train-{part}\.npy is (damaged|missing)"):
            Dataset.open(copy).verify()
    path.write_bytes(content)
    use()


@pytest.mark.parametrize("entry", ["labels", "label_ends", "text", "text_ends"])
def test_a_description_without_an_entry_is_damaged(whole, tmp_path, entry):
    copy = shutil.copytree(whole, tmp_path / "copy")
    record = json.loads((copy / "dataset.json").read_text())
    del record["splits"]["test"][entry]
    (copy / "dataset.json").write_text(json.dumps(record))

    with pytest.raises(DataError, match=r"dataset\.json is damaged"):
        Dataset.open(copy)


def test_text_without_training_text_takes_labels_that_are_known(tmp_path):
    make(tmp_path, train=TRAIN)
    known = known_labels(tmp_path / "out")
    data = DataConfig(test=[write_jsonl(tmp_path / "t.jsonl", [row("a", "pos")])], label="label")

    split = build(make_plan(data, byte_tokenizer(), REGISTRY, labels=known), tmp_path / "test").split("test")

    assert known == Labels("label", ("neg", "pos"), multi=False)
    assert split.label_ids.tolist() == [1]
    with pytest.raises(UsageError, match="labels are learned from the training text, and there is none"):
        make_plan(data, byte_tokenizer(), REGISTRY)


def test_the_labels_of_a_run_are_those_of_its_dataset_and_of_no_other_in_its_place(tmp_path):
    dataset = make(tmp_path, train=TRAIN)
    labels = dataset.labels.to_json()
    run = tmp_path / "run"
    run.mkdir()

    def known(**entry):
        (run / "run.json").write_text(json.dumps({"dataset": {"path": str(dataset.path), "key": dataset.key} | entry}))
        return known_labels(run)

    assert known() == known(labels=None) == dataset.labels
    assert known(key="of a dataset that lay there before") is None
    assert known(path="gone") is None
    assert known(path="gone", labels=labels) == dataset.labels
    with pytest.raises(DataError, match=r"run\.json is damaged"):
        known(labels={"names": 3})


def test_a_dataset_must_have_the_labels_that_a_config_asks_for(tmp_path):
    labelled, without = make(tmp_path, train=TRAIN), make(tmp_path, name="other", label=None, train=TRAIN)

    assert prepare(DataConfig(path=str(labelled.path), label="label"), None, REGISTRY).label_names == ("neg", "pos")
    with pytest.raises(DataError, match=r"made with the labels of field 'label', and data.label asks for 'topic'"):
        prepare(DataConfig(path=str(labelled.path), label="topic"), None, REGISTRY)
    with pytest.raises(DataError, match=r"made without labels, and data.label asks for 'label'"):
        prepare(DataConfig(path=str(without.path), label="label"), None, REGISTRY)


def test_classification_takes_the_field_label_where_none_is_named():
    def label(task, **data):
        raw = Raw({"task": {"name": task}, "model": {"name": "lstm"}, "data": data})
        assert data_section(raw, REGISTRY) == resolve(raw, REGISTRY).data
        return resolve(raw, REGISTRY).data.label

    assert label("classify") == "label"
    assert label("classify", label="topic") == "topic"
    assert label("lm") is None
    assert label("classify", path="a dataset, which says it itself") is None
