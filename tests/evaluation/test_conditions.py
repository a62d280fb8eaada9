"""Conditions that users write: what Python would say of each line, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.conditions import parse
from lmtool.errors import UsageError

NAMES = ("words", "nats", "unknown")
VALUES = {
    "words": np.array([0, 1, 2, 3, 10]),
    "nats": np.array([1.5, 2, 0.25, math.inf, 3]),
    "unknown": np.array([0, 0, 2, 1, 10]),
}


def where(text):
    return parse(text, NAMES)(VALUES.__getitem__, 5).tolist()


numbers = st.one_of(st.sampled_from(NAMES), st.integers(0, 20).map(str), st.sampled_from(["0.5", "1e3", "2."]))
numbers = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda one: "({} {} {})".format(*one)),
        inner.map("-{}".format),
        inner.map("{} / 4".format),
    ),
    max_leaves=4,
)
comparisons = st.tuples(numbers, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers).map(" ".join)
chains = st.tuples(comparisons, st.sampled_from(["<", ">="]), numbers).map(" ".join)
conditions = st.recursive(
    st.one_of(comparisons, chains),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda one: "({} {} {})".format(*one)),
        inner.map("not {}".format),
    ),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(conditions)
def test_a_condition_means_what_it_means_in_python(text):
    rows = [dict(zip(VALUES, row, strict=True)) for row in zip(*(one.tolist() for one in VALUES.values()), strict=True)]

    assert where(text) == [eval(text, {}, row) for row in rows]


def test_a_division_by_zero_is_infinite_as_for_floating_point_numbers():
    # 0/0 is not a number, 2/2, 1/3 and 10/10 are 1 and less, 0/1 is 0
    assert where("unknown / words <= 1") == [False, True, True, True, True]
    assert where("1 / unknown > 1000") == [True, True, False, False, False]
    assert where("1 / 0 > 1000") == [True] * 5


def test_what_asks_for_nothing_holds_everywhere_or_nowhere():
    assert where("1 < 2") == [True] * 5
    assert where("not 1 < 2") == [False] * 5


@pytest.mark.parametrize("before", ["-", "not ", "words + "])
@pytest.mark.parametrize("times", [100, 250, 400, 700, 950])
def test_what_is_read_is_evaluated_however_deep(before, times):
    text = f"{before * times}words < 3"
    try:
        condition = parse(text, NAMES)
    except UsageError:
        assert times > 250
        return

    def evaluated(depth):  # whoever evaluates it may have more on the stack than who read it
        return evaluated(depth - 1) if depth else condition(VALUES.__getitem__, 5)

    assert len(evaluated(100)) == 5


def test_the_names_that_are_used_are_known():
    assert parse("words < 3 and (nats > 1 or words > 2)", NAMES).names == {"words", "nats"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word < 3", "no quantity 'word' (did you mean 'words'?); there are words, nats, unknown"),
        ("words", "'words' is a number, not a condition"),
        ("not words", "'words' is a number, not a condition"),
        ("words < 3 and nats + 1", "'nats + 1' is a number, not a condition"),
        ("words < (nats < 3)", "'nats < 3' is true or false, not a number"),
        ("-(not words < 3) < 1", "'not words < 3' is true or false, not a number"),
        ("words <", "invalid syntax at its end of 'words <'"),
        ("words < 3 )", "unmatched ')' at character 11 of 'words < 3 )'"),
        ("", "invalid syntax at its end of ''"),
        ("words = 3", "invalid syntax"),
        ("words < 3\nnats < 2", "invalid syntax at character"),
        ("words in 3", "'words in 3' cannot stand in a condition"),
        ("words is 3", "'words is 3' cannot stand in a condition"),
        ("words ** 9 < 3", "'words ** 9' cannot stand in a condition"),
        ("~words < 3", "'~words' cannot stand in a condition"),
        ("words < 'a'", "''a'' cannot stand in a condition"),
        ("words < True", "'True' cannot stand in a condition"),
        ("words < 3j", "'3j' cannot stand in a condition"),
        ("words.real < 3", "'words.real' cannot stand in a condition"),
        ("words[0] < 3", "'words[0]' cannot stand in a condition"),
        ("print(words) < 3", "'print(words)' cannot stand in a condition"),
        ("__import__('os').system('true') < 3", "cannot stand in a condition"),
        ("(lambda: 1)() < 3", "cannot stand in a condition"),
        ("[1 for words in nats] < 3", "cannot stand in a condition"),
        ("(words := 3) < 3", "cannot stand in a condition"),
        ("words < 3 if nats else words < 2", "cannot stand in a condition"),
        ("words < 3\0", "null"),
        ("words < 1" + "0" * 400, "too large"),
        ("words < 1" + "0" * 5000, "digit"),
        ("(" * 5000 + "words", "nested"),
        ("-" * 5000 + "words < 3", "more than 300 operators|too complex|nested"),
        ("+".join(["words"] * 1500) + "< 3", "more than 300 operators"),
        ("words < 3" + " " * 10_000 + "and words < 3", "may have 10000 characters"),
    ],
)
def test_what_is_wrong_is_said(text, message):
    import re

    pattern = message if "|" in message else re.escape(message)
    with pytest.raises(UsageError) as caught:
        parse(text, NAMES)

    assert re.search(pattern, caught.value.message), caught.value.message
    assert caught.value.message.startswith("--filter: ")
