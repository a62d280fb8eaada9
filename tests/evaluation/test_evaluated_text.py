"""Which text a run is evaluated on, and how it is read: with the labels that a classifier learned."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from lmtool.config import DataConfig, choose
from lmtool.data.prepare import build, make_plan
from lmtool.errors import DataError
from lmtool.evaluation.evaluated_text import Texts
from lmtool.raw_config import Raw
from lmtool.registry import Registry

REGISTRY = Registry()


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def dataset(tmp_path):
    rows = [{"text": "good", "label": "pos"}, {"text": "bad", "label": "neg"}, {"text": "so so", "label": "pos"}]
    data = DataConfig(train=[write(tmp_path / "train.jsonl", rows)], label="label")
    tokenizer = choose(Raw({"tokenizer": {"name": "word"}}), "tokenizer", REGISTRY)
    return build(make_plan(data, tokenizer, REGISTRY), tmp_path / "dataset")


def run_of(dataset, predicts="classes", **data):
    """What a run is to `Texts`. A dataset's folder has the tokenizer and the labels that a run's would have."""
    return SimpleNamespace(
        path=dataset.path,
        dataset_path=dataset.path,
        tokenizer=dataset.tokenizer,
        predicts=predicts,
        config={"data": {"label": "label", **data}},
        reader=data.get("reader", {}),
    )


@pytest.fixture
def texts(tmp_path):
    def make(on, data=None):
        return Texts(on, data, scratch=tmp_path / "scratch", registry=REGISTRY)

    return make


def test_raw_text_has_the_ids_of_the_runs_labels(tmp_path, dataset, texts):
    # "neg" alone would be label 0 of 1; among the run's it is 0 of 2, and "pos" is 1
    file = write(tmp_path / "new.jsonl", [{"text": "fine", "label": "pos"}])

    split = texts(file).of(run_of(dataset)).ids

    assert split.label_ids.tolist() == [1]
    assert split.label_matrix.shape == (1, 2)
    assert split.document(0).text == "fine"


def test_a_label_that_the_run_did_not_learn_is_named(tmp_path, dataset, texts):
    file = write(tmp_path / "new.jsonl", [{"text": "fine", "label": "posi"}])

    with pytest.raises(DataError, match=r"document 1 of .*new\.jsonl has the label 'posi' \(did you mean 'pos'\?\)"):
        texts(file).of(run_of(dataset))


def test_a_language_model_needs_no_labels(tmp_path, dataset, texts):
    file = write(tmp_path / "new.jsonl", [{"text": "fine"}])

    assert not texts(file).of(run_of(dataset, "tokens")).ids.has_labels


def test_the_runs_reader_reads_files_of_its_format(tmp_path, dataset, texts):
    reader = {"name": "jsonl", "text_field": "body"}
    file = write(tmp_path / "new.jsonl", [{"body": "fine", "label": "neg"}])
    (tmp_path / "new.txt").write_text("fine\n")

    assert texts(file).of(run_of(dataset, reader=reader)).ids.document(0).text == "fine"
    # a plain text is no JSON, whatever the run learned from
    assert texts(str(tmp_path / "new.txt")).of(run_of(dataset, "tokens", reader=reader)).ids.num_words == 1


def test_a_dataset_of_other_classes_is_refused(tmp_path, dataset, texts):
    rows = [{"text": "fine", "label": "good"}, {"text": "bad", "label": "bad"}]
    data = DataConfig(train=[write(tmp_path / "other.jsonl", rows)], label="label")
    ready = (dataset.tokenizer, choose(Raw(), "tokenizer", REGISTRY).found)
    other = build(make_plan(data, None, REGISTRY, ready=ready), tmp_path / "other")

    with pytest.raises(DataError, match=r"other has other classes than those that .* learned"):
        texts("train", str(other.path)).of(run_of(dataset))
    assert texts("train").of(run_of(dataset)).ids.num_documents == 3
