"""Scores of many lines as text: what formatting them one by one gives."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from fake_models import Bigram, Letters, Uniform
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lmtool.number_rows import FEW, Column, rows_of
from lmtool.score_output import Totals, columns, objects, summary
from lmtool.scoring import score_lines

counts = st.integers(0, 10**15)


class Lines(SimpleNamespace):
    def __len__(self):
        return len(self.nats)


def lines(rows):
    nats, tokens, perplexity, unknown = zip(*rows, strict=True) if rows else [()] * 4
    return Lines(
        nats=np.array(nats, float),
        tokens=np.array(tokens, np.int64),
        token_perplexity=np.array(perplexity, float),
        unknown=np.array(unknown, np.int64),
        sampled=None,
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(-1e-3, 1e11),
            counts,
            st.one_of(st.floats(0.9, 1e4), st.floats(1e-90, 1e90), st.integers(-90, 90).map(lambda n: 10.0**n)),
            counts,
        ),
        max_size=5,
    )
)
@example([(0.0, 1, 1.0, 0), (-0.0, 1, 999999.5, 0), (0.9999999, 1, 9.999999, 0), (1.5, 1, 0.00012345, 0)])
def test_columns_are_those_of_percent_formatting(rows):
    rows *= FEW  # more than are formatted one by one
    text = columns(lines(rows))
    rows, text = rows[: len(rows) // FEW], "".join(text.splitlines(keepends=True)[: len(rows) // FEW])

    assert text.count("\n") == len(rows)
    for line, (nats, tokens, perplexity, unknown) in zip(text.splitlines(), rows, strict=True):
        shown = line.split("\t")
        assert (shown[1], shown[3]) == (str(tokens), str(unknown))
        # the last digit may be rounded the other way, as a number on the edge is multiplied before it is rounded
        assert float(shown[0]) == pytest.approx(nats, abs=max(0.5001e-6, 1e-15 * abs(nats)))
        assert float(shown[2]) == pytest.approx(perplexity, rel=5.001e-6)
        if float(shown[2]) == float(f"{perplexity:.6g}"):
            assert shown[2] == f"{perplexity:.6g}"
        assert len(shown[0].partition(".")[2]) == 6


def test_few_lines_are_written_as_many_are():
    rows = [(0.0, 1, 1.0, 0), (-0.0, 1, 1.0, 0), (-1e-8, 2, 0.99999999, 0), (-1e-6, 2, 0.9999, 1), (1.25, 2, 3.5, 1)]

    many = columns(lines(rows * FEW)).splitlines()[: len(rows)]

    assert columns(lines(rows)).splitlines() == many
    assert many[0] == many[1] == "0.000000\t1\t1\t0"


@settings(max_examples=200, deadline=None)
@given(st.floats(allow_nan=False), st.sampled_from([6, 12]))
def test_a_number_among_many_is_written_as_python_writes_it(value, size):
    many = rows_of([Column("é ", np.full(FEW, value), size), Column(" ", np.arange(FEW))], infinite=repr)
    few = rows_of([Column("é ", np.full(1, value), size), Column(" ", np.arange(1))], infinite=repr)

    assert many.splitlines()[-1].split()[2] == str(FEW - 1)
    (_, shown, _), (_, expected, _) = many.split("\n")[0].split(), few.split()
    # the last digit may be rounded the other way
    assert shown == expected or (len(shown), float(shown)) == (len(expected), pytest.approx(value, rel=10.0**-size))


def test_what_is_sure_costs_nothing_rather_than_minus_nothing():
    scores = score_lines(Bigram(np.eye(5)[[0, 0, 0, 0, 0]]), Letters(), "\n")

    assert columns(scores) == "0.000000\t1\t1\t0\n"
    assert '"nats": 0, ' in objects(scores, tokens=True)
    assert "-0" not in objects(scores, tokens=True) + summary(Totals.of(scores))


@pytest.mark.parametrize("nats", [math.inf, 1e300])
def test_what_is_beyond_all_bounds_is_written_too(nats):
    text = columns(lines([(nats, 3, math.inf, 1), (1.5, 2, 4.0, 0)] * FEW))

    assert text == f"{nats:.6f}\t3\tinf\t1\n1.500000\t2\t4\t0\n" * FEW


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text('ab"\\ é\t\x01中', max_size=9), max_size=5), st.sampled_from([1, FEW]))
def test_objects_are_json_with_the_text_and_the_figures(texts, times):
    texts *= times
    scores = score_lines(Uniform(5), Letters(), "".join(f"{text}\n" for text in texts))

    found = [json.loads(line) for line in objects(scores).splitlines()]

    assert [one["text"] for one in found] == texts
    for one, text in zip(found, texts, strict=True):
        assert one["tokens"] == len(text) + 1
        assert one["nats"] == pytest.approx(math.log(5) * one["tokens"], rel=1e-6)


def test_infinite_figures_are_strings_in_json():
    scores = score_lines(Bigram(np.eye(5)[[2, 2, 0, 0, 0]]), Letters(), "b\n")

    assert json.loads(objects(scores))["nats"] == json.loads(objects(scores))["word_perplexity"] == "Infinity"


def test_totals_of_parts_add_up_to_those_of_the_whole():
    model, tokenizer = Bigram(np.random.default_rng(0).dirichlet(np.ones(5), 5)), Letters()

    whole = Totals.of(score_lines(model, tokenizer, "ab z\n\nc\nab\n"))
    parts = [Totals.of(score_lines(model, tokenizer, text)) for text in ("ab z\n", "", "\nc\n", "ab\n")]

    total = sum(parts, Totals())
    # 5 + 1 + 2 + 3 tokens; "z" and the space are unknown; 2 + 0 + 1 + 1 words
    assert (total.lines, total.tokens, total.unknown, total.words, total.bytes) == (4, 11, 2, 4, 11)
    assert total.figures() == pytest.approx(whole.figures())


def test_the_summary_of_a_text_without_known_tokens_has_no_number_for_them():
    row = Totals(lines=1, tokens=1, unknown=1, words=1, bytes=2, nats=math.inf)

    assert json.loads(summary(row, as_json=True))["token_perplexity_without_oov"] == "NaN"
    header, figures = summary(row, header=True).splitlines()
    assert dict(zip(header.split("\t"), figures.split("\t"), strict=True))["nats"] == "inf"
