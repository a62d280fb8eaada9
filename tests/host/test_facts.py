"""What stands beside a model's arrays: read as it was written, or named with what is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtool.errors import DataError
from lmtool.facts import read_facts, write_facts

values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)


@given(st.dictionaries(st.text().filter(lambda name: name != "format"), values))
def test_what_was_written_is_read(tmp_path_factory, facts):
    file = tmp_path_factory.mktemp("model") / "facts.json"

    write_facts(file, facts)

    assert read_facts(file, dict) == facts


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (None, r"cannot read .*facts\.json: no such file"),
        ("{", r"facts\.json is damaged: Expecting property name"),
        ("[]", r"facts\.json is damaged: it has no 'format'"),
        ("{}", r"facts\.json is damaged: it has no 'format'"),
        ("7", r"facts\.json is damaged: 'int' object is not iterable"),
        ('{"format": 2, "size": 7}', r"facts\.json: format 2 is not known, only 1"),
        ('{"format": 1}', r"facts\.json is damaged: it has no 'size'"),
        ('{"format": 1, "size": "seven"}', r"facts\.json is damaged: invalid literal for int"),
        ('{"format": 1, "size": Infinity}', r"facts\.json is damaged: cannot convert float infinity"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, written, message):
    file = tmp_path / "facts.json"
    if written is not None:
        file.write_text(written)

    with pytest.raises(DataError, match=message):
        read_facts(file, lambda facts: int(facts["size"]))


def test_people_read_the_format_first(tmp_path):
    write_facts(tmp_path / "facts.json", {"size": 7, "name": "é"})

    text = (tmp_path / "facts.json").read_text(encoding="utf-8")

    assert list(json.loads(text)) == ["format", "size", "name"]
    assert "é" in text
