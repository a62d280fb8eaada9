"""`parallel:SOURCE,TARGET`: files of which line n of one is answered by line n of the other."""

from __future__ import annotations

import gzip
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.config import DataConfig, choose
from lmtool.data.prepare import build, make_plan
from lmtool.data.reading import readings
from lmtool.errors import DataError
from lmtool.raw_config import Raw
from lmtool.registry import Registry
from lmtool.testing import conformance
from lmtool_readers.config import ParallelConfig
from lmtool_readers.parallel import ParallelReader

REGISTRY = Registry()


@conformance("reader", "parallel")
def test_parallel(check):
    check()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, **files):
    """Files by suffix, of lines apart by `|`."""
    for suffix, lines in files.items():
        (folder / f"a.{suffix}").write_bytes("".join(f"{line}\n" for line in lines.split("|")).encode())


def read(source, **options):
    return [(one.text, one.fields["target"]) for one in ParallelReader(ParallelConfig(**options)).read(source)]


def plan(train, **options):
    data = DataConfig.model_validate({"train": [train], **options})  # no `target`: pairs have theirs anyway
    return make_plan(data, choose(Raw({"tokenizer": {"name": "word"}}), "tokenizer", REGISTRY), REGISTRY)


def test_line_n_of_one_is_answered_by_line_n_of_the_other(folder):
    write(folder, en="a dog|a man\r|the last", de="ein hund|ein mann|der letzte")
    (folder / "b.de").write_text("ein hund\nein mann\nohne zeilenende")

    assert read("a.en,a.de") == [("a dog", "ein hund"), ("a man", "ein mann"), ("the last", "der letzte")]
    assert read("a.en,b.de")[-1] == ("the last", "ohne zeilenende")


def test_further_files_hold_more_references(folder):
    write(folder, en="a dog|a man", de="ein hund|ein mann", more="der hund|", third="hund| ")

    assert read("a.en,a.de,a.more,a.third") == [("a dog", ["ein hund", "der hund", "hund"]), ("a man", ["ein mann"])]


def test_files_may_be_compressed_and_in_another_encoding(folder):
    (folder / "a.en.gz").write_bytes(gzip.compress(b"a caf\xe9\n"))
    (folder / "a.de").write_bytes(b"ein Caf\xe9\n")

    assert read("a.en.gz,a.de", encoding="latin-1") == [("a café", "ein Café")]


lines = st.lists(st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"])), min_size=1)


@settings(max_examples=30, deadline=None)
@given(lines, st.integers(1, 40))
def test_any_lines_come_back_in_pairs(tmp_path_factory, lines, size):
    folder = tmp_path_factory.mktemp("lines")
    (folder / "a").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "b").write_text("".join(f"{number}\n" for number in range(len(lines))))

    pairs = read(f"{folder}/a,{folder}/b")

    assert [target for _, target in pairs] == [str(number) for number in range(len(lines))]
    assert [text for text, _ in pairs][1:] == lines[1:]  # a byte-order mark may begin the first one


@pytest.mark.parametrize(
    ("files", "source", "message"),
    [
        ({"en": "a|b|c", "de": "x|y"}, "a.en,a.de", "^a.en has 3 lines and a.de has 2 lines$"),
        ({"en": "a", "de": "x|y|z"}, "a.en,a.de", "^a.en has 1 lines and a.de has 3 lines$"),
        ({"en": "a|b", "de": "x|y", "fr": "u"}, "a.en,a.de,a.fr", "a.en has 2 .* and a.de has 2 .* and a.fr has 1 "),
        ({"en": "a|b|c", "de": "x| |z"}, "a.en,a.de", r"^a\.de:2: a target is blank$"),
        ({"en": "a"}, "a.en", "^a.en is not two files apart by a comma$"),
        ({"en": "a"}, "a.en,", "^a.en, is not two files"),
        ({"en": "a"}, "a.en,a.de", r"^no file a\.de$"),
        ({"en": "a"}, "-,a.en", "^parallel:-,a.en: stdin has no name here$"),
    ],
)
def test_files_that_are_no_pairs_are_named(folder, files, source, message):
    write(folder, **files)

    with pytest.raises(DataError, match=message) as caught:
        read(source)
    assert caught.value.hint
    with pytest.raises(DataError, match=message):
        build(plan(f"parallel:{source}"), folder / "out")
    assert not (folder / "out").exists()


def test_the_shorter_file_is_found_behind_many_lines(folder):
    write(folder, en="|".join(["a"] * 1_234_567), de="|".join(["x"] * 1_000_000))

    with pytest.raises(DataError, match=r"^a\.en has 1,234,567 lines and a\.de has 1,000,000 lines$"):
        read("a.en,a.de")


def test_blank_lines_keep_their_places_or_are_left_out_as_pairs(folder):
    write(folder, en="a||c", de="x|y|z", fr="u||w")

    assert read("a.en,a.de") == [("a", "x"), ("", "y"), ("c", "z")]
    assert read("a.en,a.de", skip_blank=True) == [("a", "x"), ("c", "z")]
    assert read("a.de,a.fr", skip_blank=True) == [("x", "u"), ("z", "w")]


def test_a_dataset_of_parallel_files(folder):
    write(folder, en="a dog|a man", de="ein hund|ein mann")
    reading = plan("parallel:a.en,a.de", test=["parallel:a.en,a.de,a.de"], reader={"encoding": "utf-8"})

    dataset = build(reading, folder / "out")

    assert [one.text for one in dataset.split("train").documents()] == ["a dog", "a man"]
    assert dataset.split("train").references(1) == ("ein mann",)
    assert dataset.split("test").references(1) == ("ein mann", "ein mann")


def test_the_key_stands_for_the_bytes_of_both_files(folder):
    write(folder, en="a dog|a man", de="ein hund|ein mann")
    key = plan("parallel:a.en,a.de").key
    keys = {key, plan("parallel:a.de,a.en").key}

    for suffix, text in {"en": "a dog|a cat", "de": "ein hund|eine katze"}.items():
        write(folder, **{suffix: text})
        keys.add(plan("parallel:a.en,a.de").key)

    assert len(keys) == 4
    write(folder, en="a dog|a man", de="ein hund|ein mann")
    assert plan("parallel:a.en,a.de").key == key


def test_a_file_of_targets_that_changes_while_it_is_read_is_noticed(folder):
    write(folder, en="a dog|a man", de="ein hund|ein mann")

    def changing(phase, fraction):
        if (phase, fraction) == ("encoding targets of train", 1.0):
            write(folder, de="ein hund|ein mann ")

    with pytest.raises(DataError, match=r"parallel:a\.en,a\.de changed while it was read"):
        build(plan("parallel:a.en,a.de"), folder / "out", progress=changing)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_read_once_and_kept(folder):
    write(folder, en="a dog|a man")
    os.mkfifo(folder / "pipe")
    threading.Thread(target=lambda: (folder / "pipe").write_text("ein hund\nein mann\n"), daemon=True).start()

    dataset = build(plan(f"parallel:a.en,{folder}/pipe"), folder / "out")

    assert dataset.split("train").references(1) == ("ein mann",)


def test_a_pattern_is_no_pair_of_files(folder):
    write(folder, en="a", de="b")

    with pytest.raises(DataError, match=r"^no file a\.e\*$"):
        readings(["parallel:a.e*,a.d*"], {}, REGISTRY)[0].digest()
