"""Readers of labelled documents: what they make of rows, folders and data sets, and what they say of faults."""

from __future__ import annotations

import codecs
import csv
import io
import json
import pickle
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lmtool.config import DataConfig, choose
from lmtool.data.prepare import build, make_plan
from lmtool.errors import DataError, PluginError
from lmtool.raw_config import Raw
from lmtool.registry import Registry
from lmtool.testing import conformance
from lmtool_readers.config import (
    CsvConfig,
    FastTextConfig,
    FolderConfig,
    JsonLinesConfig,
    ParquetConfig,
    SklearnConfig,
    TsvConfig,
)
from lmtool_readers.fasttext import FastTextReader
from lmtool_readers.folder import FolderReader
from lmtool_readers.jsonl import JsonLinesReader
from lmtool_readers.newsgroups import strip
from lmtool_readers.parquet import ParquetReader
from lmtool_readers.scikit import SklearnReader
from lmtool_readers.table import TableReader

REGISTRY = Registry()


def pairs(records):
    """Text and fields of records that are each a whole document."""
    records = list(records)
    assert all(record.last for record in records)
    return [(record.text, dict(record.fields)) for record in records]


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


# all of them ----------------------------------------------------------------------------------------------------------


@conformance("reader", "csv")
def test_csv(check):
    check()


@conformance("reader", "tsv")
def test_tsv(check):
    check()


@conformance("reader", "fasttext")
def test_fasttext(check):
    check()


@conformance("reader", "folder")
def test_folder(check):
    check()


@conformance("reader", "parquet")
def test_parquet(check):
    pytest.importorskip("pyarrow")
    check()


@conformance("reader", "sklearn")
def test_sklearn(check, cached_newsgroups):
    check()


# tables ---------------------------------------------------------------------------------------------------------------


def read_csv(path, data, schema=CsvConfig, **options):
    return pairs(TableReader(schema(**options)).read(write(path, data)))


def test_a_row_is_a_document_and_its_other_columns_are_fields(tmp_path):
    data = 'id,text,label\r\n1,"a, ""b""\nc",x\r\n\r\n2,d,y\r\n'

    assert read_csv(tmp_path / "a.csv", data) == [
        ('a, "b"\nc', {"id": "1", "label": "x"}),
        ("d", {"id": "2", "label": "y"}),
    ]


def test_columns_without_a_header_have_their_numbers_for_names(tmp_path):
    data = "x\tsome text\ny\tmore\n"

    found = read_csv(tmp_path / "a.tsv", data, TsvConfig, header=False, text_field=2)

    assert found == [("some text", {"1": "x"}), ("more", {"1": "y"})]
    assert found == read_csv(tmp_path / "a.tsv", data, TsvConfig, header=False, text_field="2")


def test_a_column_may_be_named_by_its_number_beside_a_header(tmp_path):
    assert read_csv(tmp_path / "a.csv", "v1,v2\nham,hi\n", text_field=2) == [("hi", {"v1": "ham"})]


def test_a_column_without_a_name_has_its_number(tmp_path):
    assert read_csv(tmp_path / "a.csv", "v1,v2,,\nham,hi,,x\n", text_field="v2") == [
        ("hi", {"v1": "ham", "3": "", "4": "x"})
    ]


def test_a_separator_divides_labels(tmp_path):
    data = "text,topic\na,x; y\nb,x\nc,\n"

    found = read_csv(tmp_path / "a.csv", data, label_field="topic", label_separator=";")

    assert [fields["topic"] for _, fields in found] == [["x", "y"], ["x"], []]


def test_quotation_marks_may_be_signs_like_others(tmp_path):
    assert read_csv(tmp_path / "a.csv", 'text,label\n"so,1\n', quote="") == [('"so', {"label": "1"})]


def test_the_encoding_of_a_table_can_be_named(tmp_path):
    data = "text,label\n好,1\n"

    assert read_csv(tmp_path / "a.csv", data.encode("gb18030"), encoding="gb18030") == [("好", {"label": "1"})]
    with pytest.raises(DataError, match=r"a\.csv is not UTF-8: 0xba in line 2, byte 11") as caught:
        read_csv(tmp_path / "a.csv", data.encode("gb18030"))
    assert "data.reader.encoding" in str(caught.value.hint)


@pytest.mark.parametrize("encoding", ["utf-99", "utf-16"])
def test_an_encoding_that_cannot_be_read_by_lines_is_refused(encoding):
    with pytest.raises(ValidationError, match=r"no encoding|line end"):
        CsvConfig(encoding=encoding)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("text,label\na,1\nb\n", r"a\.csv:3: 1 fields, and the first row has 2"),
        ('text,label\n"a\nb",1\nc,2,3\n', r"a\.csv:4: 3 fields"),  # the first row takes two lines
        ("txt,label\na,1\n", r"a\.csv:1: no column 'text' \(did you mean 'txt'\?\)"),
        ("text,text\na,b\n", r"a\.csv:1: two columns are named 'text'"),
        ('text,label\n"a"b,1\n', r"a\.csv:2: not a row: ',' expected after '\"'"),
        ('text,label\na,1\n"b,2\n', r"a\.csv:3: not a row: unexpected end of data"),
    ],
)
def test_a_faulty_table_is_named_by_file_and_line(tmp_path, data, message):
    with pytest.raises(DataError, match=message):
        read_csv(tmp_path / "a.csv", data)


cell = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cell, cell), min_size=1), st.sampled_from([",", "\t", ";"]))
def test_what_the_csv_module_wrote_comes_back(tmp_path_factory, rows, delimiter):
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows([("text", "label"), *rows])

    found = read_csv(tmp_path_factory.mktemp("csv") / "a.csv", buffer.getvalue(), delimiter=delimiter)

    assert found == [(text.removesuffix("\n"), {"label": label}) for text, label in rows]


# parquet --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def write_table(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def made(columns, metadata=None):
        table = arrow.table(columns)
        if metadata:
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": metadata}})})
        parquet.write_table(table, tmp_path / "a.parquet", row_group_size=3)
        return str(tmp_path / "a.parquet")

    return made


def read_parquet(path, **options):
    return pairs(ParquetReader(ParquetConfig(**options)).read(path))


def test_rows_of_parquet_are_documents_with_plain_columns(write_table):
    path = write_table({"text": ["a", "b"], "label": [1, 0], "tags": [["x", "y"], []], "image": [b"\0", b"\1"]})

    assert read_parquet(path) == [("a", {"label": 1, "tags": ["x", "y"]}), ("b", {"label": 0, "tags": []})]


def test_names_of_classes_that_datasets_wrote_are_used(write_table):
    classes = {"names": ["neg", "pos"], "_type": "ClassLabel"}
    features = {"label": classes, "text": {"dtype": "string", "_type": "Value"},
                "many": {"feature": classes, "_type": "Sequence"}}  # fmt: skip
    path = write_table({"text": ["a", "b"], "label": [1, 0], "many": [[0, 1], []]}, features)

    assert read_parquet(path) == [("a", {"label": "pos", "many": ["neg", "pos"]}), ("b", {"label": "neg", "many": []})]


def test_texts_of_parquet_may_lie_in_structs_and_in_several_columns(write_table):
    pair = {"en": "a dog", "de": "ein Hund"}
    path = write_table({"translation": [{**pair, "image": b"\0"}], "id": [7], "title": ["t\n"], "raw": [{"x": b"\0"}]})

    kept = {"id": 7, "title": "t\n", "translation": {**pair, "image": b"\0"}}
    assert read_parquet(path, text_field="translation.de") == [("ein Hund", kept)]
    both = {"id": 7, "translation": {**pair, "image": b"\0"}}
    assert read_parquet(path, text_field=["title", "translation.en"]) == [("t\na dog", both)]
    with pytest.raises(DataError, match=r"no column 'translation\.fr' \(did you mean 'translation\.") as caught:
        read_parquet(path, text_field="translation.fr")
    assert "translation.en, translation.de" in str(caught.value.hint)


def test_a_faulty_parquet_file_is_named_with_its_row(write_table, tmp_path):
    path = write_table({"text": ["a", None], "label": [1, 0]})

    with pytest.raises(DataError, match=r"a\.parquet, row 2: column 'text' must be a string, got None"):
        read_parquet(path)
    with pytest.raises(DataError, match=r"a\.parquet: no column 'txt' \(did you mean 'text'\?\)"):
        read_parquet(path, text_field="txt")
    with pytest.raises(DataError, match=r"b\.parquet is not a Parquet file, or damaged"):
        read_parquet(write(tmp_path / "b.parquet", "PAR1 no, text"))


def test_without_pyarrow_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)

    with pytest.raises(PluginError, match="needs the package pyarrow") as caught:
        ParquetReader(ParquetConfig())
    assert "pip install" in str(caught.value.hint)


# folders --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def classes(tmp_path):
    for name, text in {"b/2": "two\r\n", "b/10": "ten", "a/deep/1": "caf\xe9\n", "a/.hidden": "no", "README": "no",
                       ".git/x": "no"}.items():  # fmt: skip
        write(tmp_path / "set" / name, text.encode("latin-1"))
    return str(tmp_path / "set")


def test_a_sub_folder_is_a_class_and_its_files_are_documents(classes):
    assert pairs(FolderReader(FolderConfig(encoding="latin-1")).read(classes)) == [
        ("café", {"label": "a", "file": "a/deep/1"}),
        ("ten", {"label": "b", "file": "b/10"}),
        ("two", {"label": "b", "file": "b/2"}),
    ]
    assert [text for text, _ in pairs(FolderReader(FolderConfig(classes=["b"])).read(classes))] == ["ten", "two"]


def test_a_folder_that_cannot_be_read_so_is_named(classes, tmp_path):
    def read(path, **options):
        list(FolderReader(FolderConfig(**options)).read(path))

    with pytest.raises(DataError, match=r"deep/1 is not UTF-8: 0xe9 in line 1, byte 3") as caught:
        read(classes)
    assert "encoding" in str(caught.value.hint)
    with pytest.raises(DataError, match=r"no sub-folder 'c'"):
        read(classes, classes=["b", "c"])
    with pytest.raises(DataError, match=r"README is a file, not a folder"):
        read(f"{classes}/README")
    with pytest.raises(DataError, match=r"deep has no sub-folders"):
        read(f"{classes}/a/deep")


# fastText -------------------------------------------------------------------------------------------------------------


def test_words_with_the_prefix_are_labels_wherever_they_stand(tmp_path):
    data = "__label__x some text\n__label__x __label__y more  text\n\nend __label__z\nno label here\n a__label__b\n"

    assert pairs(FastTextReader(FastTextConfig()).read(write(tmp_path / "a", data))) == [
        ("some text", {"label": "x"}),
        ("more  text", {"label": ["x", "y"]}),
        ("end ", {"label": "z"}),
        ("no label here", {"label": None}),
        (" a__label__b", {"label": None}),
    ]


def test_another_prefix_is_taken_as_it_is(tmp_path):
    reader = FastTextReader(FastTextConfig(prefix="+"))

    assert pairs(reader.read(write(tmp_path / "a", "+x good\n"))) == [("good", {"label": "x"})]


# newsgroups -----------------------------------------------------------------------------------------------------------

POST = (
    "From: me\nTo: x\n\nIn article <1> you wrote:\n> quoted\n| too\nmy own words\n\nmore of them\n--\nme\nsomewhere\n"
)
OWN = "my own words\n\nmore of them"


def test_what_is_left_of_a_post():
    assert strip(POST, ["headers", "footers", "quotes"]) == OWN
    assert strip(POST, ["quotes"]).startswith("From: me")
    assert strip(POST, []) == POST


lines = st.lists(
    st.sampled_from(
        ["", " ", "--", "- -", "> q", "| q", "he writes:", "In article 1", "text", "From: me", "\tx ", "a > b"]
    )
)


@settings(max_examples=300, deadline=None)
@given(lines)
def test_parts_are_removed_as_scikit_learn_does(lines):
    from sklearn.datasets import _twenty_newsgroups as reference

    text = "\n".join(lines)

    assert strip(text, ["headers"]) == reference.strip_newsgroup_header(text)
    assert strip(text, ["footers"]) == reference.strip_newsgroup_footer(text)
    assert strip(text, ["quotes"]) == reference.strip_newsgroup_quoting(text)


def test_parts_of_posts_can_be_removed_whatever_they_are_read_from(tmp_path):
    removed = {"remove": ["headers", "footers", "quotes"]}
    row = write(tmp_path / "a.jsonl", json.dumps({"text": POST, "label": "x"}) + "\n")
    write(tmp_path / "set" / "x" / "1", POST)

    assert pairs(JsonLinesReader(JsonLinesConfig(**removed)).read(row)) == [(OWN, {"label": "x"})]
    (folder,) = pairs(FolderReader(FolderConfig(**removed)).read(str(tmp_path / "set")))
    assert folder == (OWN, {"label": "x", "file": "x/1"})


# scikit-learn ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cached_newsgroups(tmp_path_factory, monkeypatch):
    """A small 20 Newsgroups as scikit-learn's own cache has it."""
    from sklearn.utils import Bunch

    def part(texts):
        names = ["alt.atheism", "sci.space"]
        files = [f"{names[i % 2]}/{i}" for i in range(len(texts))]
        return Bunch(data=texts, target=[i % 2 for i in range(len(texts))], target_names=names, filenames=files)

    home = tmp_path_factory.mktemp("scikit")
    cache = {"train": part([POST, "Subject: y\n\nmoon"]), "test": part(["Subject: z\n\nstar \xe9"])}
    # the name has the version of Python in it
    path = home / f"20news-bydate_py{sys.version_info.major}.pkz"
    path.write_bytes(codecs.encode(pickle.dumps(cache), "zlib_codec"))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(home))
    return home


def test_newsgroups_come_from_scikit_learns_cache(cached_newsgroups):
    removed = SklearnReader(SklearnConfig(remove=["headers", "footers", "quotes"], download=False))

    assert pairs(removed.read("20newsgroups#train")) == [
        (OWN, {"label": "alt.atheism"}),
        ("moon", {"label": "sci.space"}),
    ]
    (post,) = pairs(SklearnReader(SklearnConfig()).read("20newsgroups#test"))
    assert post == ("Subject: z\n\nstar \xe9", {"label": "alt.atheism"})
    assert len(pairs(SklearnReader(SklearnConfig()).read("20newsgroups"))) == 3


def test_what_is_not_in_the_cache_is_fetched_only_if_that_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))

    with pytest.raises(DataError, match=r"sklearn:20newsgroups is not in .*") as caught:
        list(SklearnReader(SklearnConfig(download=False)).read("20newsgroups"))
    assert "fetch_20newsgroups" in str(caught.value.hint)


def test_a_failed_fetch_says_so(tmp_path, monkeypatch):
    from sklearn import datasets

    def fails(**options):
        assert options["download_if_missing"]
        raise ConnectionRefusedError("no route to host")

    monkeypatch.setattr(datasets, "fetch_20newsgroups", fails)
    with pytest.raises(DataError, match="cannot be fetched: no route to host"):
        list(SklearnReader(SklearnConfig()).read("20newsgroups"))


@pytest.mark.parametrize("name", ["20newsgroup", "20newsgroups#valid"])
def test_an_unknown_data_set_or_part_is_named(name):
    with pytest.raises(DataError, match=name.partition("#")[2] or name):
        list(SklearnReader(SklearnConfig()).read(name))


def test_the_key_of_a_data_set_by_name_covers_its_labels(tmp_path):
    tokenizer = choose(Raw({"tokenizer": {"name": "byte"}}), "tokenizer", REGISTRY)

    def key():
        return make_plan(DataConfig(train=[f"folder:{tmp_path / 'set'}"], label="label"), tokenizer, REGISTRY).key

    write(tmp_path / "set" / "x" / "1", "text")
    before = key()
    (tmp_path / "set" / "x").rename(tmp_path / "set" / "y")

    assert key() != before


def test_every_format_becomes_the_same_labelled_dataset(tmp_path):
    rows = [("good", "pos"), ("bad", "neg"), ("so so", "neg")]
    files = {
        "a.jsonl": "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows),
        "a.csv": "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows),
        "a.tsv": "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows),
        "a.ft": "".join(f"__label__{label} {text}\n" for text, label in rows),
    }
    tokenizer = choose(Raw({"tokenizer": {"name": "word"}}), "tokenizer", REGISTRY)
    found = []
    for name, content in files.items():
        reader = {"name": "fasttext"} if Path(name).suffix == ".ft" else {}
        data = DataConfig(train=[write(tmp_path / name, content)], label="label", reader=reader)
        dataset = build(make_plan(data, tokenizer, REGISTRY), tmp_path / f"{name}-dataset")
        split = dataset.split("train")
        found.append((dataset.label_names, split.label_ids.tolist(), [one.text for one in split.documents()]))

    assert found == [(("neg", "pos"), [1, 0, 0], ["good", "bad", "so so"])] * 4


# nested fields --------------------------------------------------------------------------------------------------------


def read_jsonl(path, **options):
    return pairs(JsonLinesReader(JsonLinesConfig(**options)).read(path))


def test_a_dot_leads_into_an_object_of_json_lines(tmp_path):
    row = {"translation": {"en": "a dog", "de": "ein Hund"}, "translation.fr": "un chien"}
    path = write(tmp_path / "a.jsonl", json.dumps(row) + "\n")

    assert read_jsonl(path, text_field="translation.en") == [("a dog", row)]
    assert read_jsonl(path, text_field="translation.fr") == [("un chien", {"translation": row["translation"]})]
    assert read_jsonl(path, text_field=["translation.en", "translation.de"]) == [("a dog\nein Hund", row)]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("translation.fr", r"a\.jsonl:1: no field 'translation\.fr' \(did you mean 'translation\.n'"),
        ("id.en", r"a\.jsonl:1: no field 'id\.en'"),
        ("translation", r"a\.jsonl:1: field 'translation' must be a string, got {'n'"),
        ("translation.n", r"a\.jsonl:1: field 'translation\.n' must be a string, got 3"),
        (".", r"a\.jsonl:1: no field '\.'"),
    ],
)
def test_a_dot_that_leads_nowhere_is_an_error_that_shows_what_there_is(tmp_path, field, message):
    path = write(tmp_path / "a.jsonl", '{"id": "x", "translation": {"n": 3}}\n')

    with pytest.raises(DataError, match=message) as caught:
        read_jsonl(path, text_field=field)

    if "no field" in message:
        assert "it has id, translation.n" in str(caught.value.hint)
