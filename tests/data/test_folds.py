"""Folds of labelled documents: even by class, whole, and equal texts together."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtool.config import DataConfig, choose
from lmtool.data.folds import Folds, folds_of, share_of
from lmtool.data.prepare import build, make_plan
from lmtool.errors import DataError
from lmtool.raw_config import Raw
from lmtool.registry import Registry


def make(folder, rows, valid=()):
    registry = Registry()
    files = {}
    for name, part in (("train", rows), ("valid", valid)):
        if part:
            lines = [json.dumps({"text": text, "label": label}) for text, label in part]
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
            files[name] = [str(folder / f"{name}.jsonl")]
    tokenizer = choose(Raw({"tokenizer": {"name": "byte"}}), "tokenizer", registry)
    data = DataConfig.model_validate({**files, "label": "label"})
    return build(make_plan(data, tokenizer, registry), folder / "dataset", force=True)


def texts(dataset, name):
    return [one.text for one in dataset.split(name).documents()]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(2, 5), st.integers(0, 3))
def test_folds_spread_each_class_evenly(labels, folds, seed):
    y = np.array(labels)
    fold = folds_of(y, folds, seed)

    for label in set(labels):
        sizes = np.bincount(fold[y == label], minlength=folds)
        assert sizes.max() - sizes.min() <= 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 3))
def test_a_share_is_the_same_of_each_class(labels, fraction, seed):
    y = np.array(labels)
    chosen = share_of(y, fraction, seed)

    for label in set(labels):
        assert abs(chosen[y == label].sum() - fraction * (y == label).sum()) < 1 + 1e-9


ROWS = [(f"text {number}", "ab"[number % 2]) for number in range(20)]


def test_each_document_is_tested_once_and_learned_in_the_other_folds(tmp_path):
    folds = Folds(make(tmp_path, ROWS), 4, seed=0)
    made = [folds.write(number, tmp_path / f"fold-{number}") for number in range(4)]

    assert sorted(text for one in made for text in texts(one, "test")) == sorted(text for text, _ in ROWS)
    for one in made:
        assert sorted([*texts(one, "train"), *texts(one, "test")]) == sorted(text for text, _ in ROWS)
        assert one.split_names == ("train", "test")
        assert len(texts(one, "test")) == 5


def test_equal_texts_are_in_the_same_part(tmp_path):
    dataset = make(tmp_path, [(f"text {number // 3}", "ab"[number // 3 % 2]) for number in range(30)])
    folds = Folds(dataset, 3, seed=0, valid_fraction=0.3)
    made = folds.write(0, tmp_path / "fold")

    parts = [set(texts(made, name)) for name in ("train", "valid", "test")]

    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == 10


def test_validation_is_a_share_of_what_is_learned_or_the_split_that_is_there(tmp_path):
    dataset = make(tmp_path, ROWS, valid=[("other", "a")])

    own = Folds(dataset, 4, seed=0).write(1, tmp_path / "own")
    share = Folds(dataset, 4, seed=0, valid_fraction=0.25).write(1, tmp_path / "share")

    assert texts(own, "valid") == ["other"]
    assert texts(share, "test") == texts(own, "test")
    assert sorted([*texts(share, "train"), *texts(share, "valid")]) == sorted(texts(own, "train"))
    assert 3 <= len(texts(share, "valid")) <= 4


def test_another_seed_makes_other_folds(tmp_path):
    dataset = make(tmp_path, ROWS)

    assert (Folds(dataset, 4, seed=0).fold == Folds(dataset, 4, seed=0).fold).all()
    assert (Folds(dataset, 4, seed=0).fold != Folds(dataset, 4, seed=1).fold).any()


def test_more_folds_than_documents_are_refused(tmp_path):
    with pytest.raises(DataError, match="has 2 different training documents, fewer than 3 folds"):
        Folds(make(tmp_path, [("a", "x"), ("a", "x"), ("b", "y")]), 3, seed=0)
