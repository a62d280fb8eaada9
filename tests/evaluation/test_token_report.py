"""Results side by side: what is comparable, what is marked, and what JSON holds."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from types import SimpleNamespace

import pytest
from fake_models import Letters, Text
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from lmtool.api import Metric
from lmtool.evaluation import Evaluation, json_report, token_report
from lmtool.evaluation.blocks import LEAST, Blocks
from lmtool.evaluation.evaluated_text import Text as EvaluatedText
from lmtool.evaluation.token_report import FEWEST, TokenResult


def text_of(ids):
    return EvaluatedText(ids, "data", "test", ("t.txt",), chosen=True)


def result(run="run", *, lines=("ab", "c"), letters="abc", **metrics):
    tokenizer = Letters(letters)
    evaluation = Evaluation(metrics, streams=2, carried=True, seconds=1.0)
    return TokenResult(run, "ngram", tokenizer, "letters", text_of(Text(list(lines), tokenizer)), evaluation)


def printed(results, width):
    """The lines of each table."""
    console = Console(file=io.StringIO(), width=width)
    for table in token_report.tables(results, width):
        console.print(table, crop=False)
        console.print("next")
    return [text.splitlines() for text in console.file.getvalue().split("next\n")[:-1]]


def shown(*results):
    (lines,) = printed(results, width=200)
    return {line.split()[0]: line.split()[1:] for line in lines if line.strip()}


def test_json_has_value_error_and_n():
    answer = token_report.to_json(
        [result(nats=Metric(12.5, n=5, stderr=0.5), bits_per_byte=Metric(1.0, 7, lower_bound=True))]
    )

    (one,) = answer["results"]
    assert answer["schema"] == 1
    assert one["metrics"] == {
        "nats": {"value": 12.5, "stderr": 0.5, "n": 5},
        "bits_per_byte": {"value": 1.0, "stderr": None, "n": 7, "lower_bound": True},
    }
    # "ab" and "c": three letters and two line ends
    assert one["counts"] == {"lines": 2, "words": 2, "tokens": 5, "bytes": 5, "unknown_tokens": 0}
    assert (one["state"], one["streams"], one["adapts"]) == ("carried", 2, False)


def test_a_model_that_adapts_is_marked():
    plain = result(nats=Metric(12.5, n=5))
    adapted = dataclasses.replace(plain, evaluation=dataclasses.replace(plain.evaluation, streams=1, adapts=True))

    assert token_report.to_json([adapted])["results"][0]["adapts"] is True
    assert shown(plain, adapted)["state"] == ["carried,", "2", "streams", "carried,", "1", "stream,", "adapts"]
    assert any("adapts" in line for line in token_report.legend([adapted]))
    assert not any("adapts" in line for line in token_report.legend([plain]))


def test_an_infinite_perplexity_is_valid_json():
    text = json.dumps(token_report.to_json([result(token_perplexity=Metric(math.inf, n=5))]), allow_nan=False)

    value = json.loads(text)["results"][0]["metrics"]["token_perplexity"]["value"]
    assert value == "Infinity"
    assert float(value) == math.inf


@pytest.mark.parametrize(("value", "expected"), [(math.nan, "NaN"), (-math.inf, "-Infinity"), (1.5, 1.5)])
def test_numbers_that_json_lacks_are_words(value, expected):
    assert json_report.number(value) == expected


def test_the_lowest_perplexity_on_the_same_text_is_best():
    results = [result(token_perplexity=Metric(value, 5)) for value in (9.0, 8.0, 8.5)]

    assert token_report.best_of(results, "token_perplexity") == {1}
    assert shown(*results)["token_perplexity"] == ["9.0000", "*", "8.0000", "8.5000"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # another text; another tokenizer's tokens; a lower bound of another vocabulary
        (result(token_perplexity=Metric(9.0, 5)), result(lines=("ab", "cc"), token_perplexity=Metric(8.0, 6))),
        (result(token_perplexity=Metric(9.0, 5)), result(letters="abcd", token_perplexity=Metric(8.0, 5))),
        (
            result(word_perplexity=Metric(9.0, 4, lower_bound=True)),
            result(letters="abcd", word_perplexity=Metric(8.0, 4)),
        ),
    ],
)
def test_nothing_is_best_among_figures_that_do_not_compare(first, second):
    name = next(iter(first.evaluation.metrics))

    assert token_report.best_of([first, second], name) == set()


def test_each_text_has_its_own_best():
    texts = [("ab", "c"), ("ab", "cc"), ("ab", "c"), ("ab", "cc"), ("abc",)]
    results = [result(lines=lines, token_perplexity=Metric(9.0 - i, 5)) for i, lines in enumerate(texts)]

    # 9 and 7 on the first text, 8 and 6 on the second, 5 alone on the third
    assert token_report.best_of(results, "token_perplexity") == {2, 3}


def test_figures_per_word_compare_across_tokenizers():
    results = [result(word_perplexity=Metric(9.0, 4)), result(letters="abcd", word_perplexity=Metric(8.0, 4))]

    assert token_report.best_of(results, "word_perplexity") == {1}


def test_one_run_alone_and_other_metrics_have_no_best():
    assert token_report.best_of([result(token_perplexity=Metric(9.0, 5))], "token_perplexity") == set()
    assert token_report.best_of([result(nats=Metric(9.0, 5)), result(nats=Metric(8.0, 5))], "nats") == set()


def test_signs_are_explained_only_where_they_are():
    plain = [result(token_perplexity=Metric(9.0, 5))]
    signs = [result(token_perplexity=Metric(9.0, 5, 0.5, lower_bound=True)), result(token_perplexity=Metric(8.0, 5))]

    assert token_report.legend(plain) == []
    assert [line[0] for line in token_report.legend(signs)] == ["±", "≥", "*"]
    assert shown(*signs)["token_perplexity"] == ["≥", "9.0000", "±", "0.5000", "*", "8.0000"]


def test_figures_without_unknown_words_are_shown_where_there_are_any():
    metrics = {"token_perplexity": Metric(9.0, 5), "token_perplexity_without_oov": Metric(9.0, 5)}

    assert "token_perplexity_without_oov" not in shown(result(**metrics))
    assert "token_perplexity_without_oov" in shown(result(lines=("az",), **metrics))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (220.1386, "220.14"),
        (42.2374, "42.237"),
        (1.52101, "1.5210"),
        (0.0, "0.0000"),
        (3e12, "3.000e+12"),
        (math.inf, "inf"),
    ],
)
def test_figures_have_five_digits_or_so(value, expected):
    assert shown(result(token_perplexity=Metric(value, 5)))["token_perplexity"] == [expected]


def test_a_metric_that_one_run_lacks_is_a_dash():
    assert shown(result(a=Metric(1.0, 5)), result(b=Metric(2.0, 5)))["a"] == ["1.0000", "–"]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(60, 130))
@settings(max_examples=30, deadline=None)
def test_no_run_and_no_figure_is_lost_however_narrow_the_terminal(lengths, width):
    values = [9.0 - i for i in range(len(lengths))]
    metrics = [Metric(value, 5, stderr=0.25) for value in values]
    runs = [f"{i}{'r' * length}" for i, length in enumerate(lengths)]

    made = printed([result(run, token_perplexity=one) for run, one in zip(runs, metrics, strict=True)], width)

    figures = [line for lines in made for line in lines if line.startswith("token_perplexity")]
    assert all(len(line) <= width for lines in made for line in lines)
    assert " ".join(" ".join(lines[0].split()) for lines in made).split() == runs
    assert [float(value) for value in re.findall(r"([\d.]+) ± 0.2500", " ".join(figures))] == values
    assert sum(line.count("*") for line in figures) == (len(runs) > 1)
    assert len({tuple(line[:16].strip() for line in lines) for lines in made}) == 1, "the tables have the same rows"


def test_each_table_has_as_many_runs_as_fit():
    results = [result("r" * 20, token_perplexity=Metric(9.0, 5)) for _ in range(5)]

    # "token_perplexity", then three blanks and 20 letters a run: 16 + 2 * 23 = 62
    assert [lines[0].count("r" * 20) for lines in printed(results, 62)] == [2, 2, 1]
    assert [lines[0].count("r" * 20) for lines in printed(results, 61)] == [1] * 5


def test_a_run_that_is_too_wide_alone_has_its_name_folded_and_its_figures_whole():
    (lines,) = printed([result("r" * 100, token_perplexity=Metric(9.0, 5, stderr=0.25))], 20)

    assert "".join(lines).count("r" * 5) > 1
    assert any(line.endswith("9.0000 ± 0.2500") for line in lines)


def test_a_dataset_of_the_cache_goes_by_the_names_of_its_sources(monkeypatch, tmp_path):
    monkeypatch.setenv("LMTOOL_CACHE", str(tmp_path))
    ids = SimpleNamespace()
    cached = EvaluatedText(ids, str(tmp_path / "datasets" / "0123"), "test", ("a.txt", "b.txt"), chosen=True)
    named = EvaluatedText(ids, "some/where", "test", ("a.txt",), chosen=True)

    assert cached.name == "a.txt, b.txt"
    assert named.name == "some/where test"


# Two runs -------------------------------------------------------------------------------------------------------------


def with_blocks(run, nats, *, letters="abc", count=FEWEST):
    one = result(run, lines=["abc"] * 32 * count, letters=letters)  # with its end, a line has four tokens of 128
    blocks = Blocks(one.counts["tokens"])
    blocks.nats[:], blocks.tokens[:] = nats, LEAST
    return dataclasses.replace(one, evaluation=dataclasses.replace(one.evaluation, blocks=blocks))


def test_runs_are_compared_with_the_first_on_the_same_tokens_of_a_text_that_is_long_enough():
    first, second = with_blocks("first", 256.0), with_blocks("second", 384.0)
    other, impossible = with_blocks("other", 384.0, letters="abcd"), with_blocks("impossible", math.inf)

    (found,) = token_report.compare([first, second, other, impossible])

    assert (found.run, found.first) == ("second", "first")
    # three nats a token beside two
    assert [(one.metric, one.value, one.n) for one in found.differences] == [("nats_per_token", 1.0, FEWEST)]
    assert not token_report.compare([with_blocks(name, 256.0, count=FEWEST - 1) for name in ("first", "second")])
    (row,) = token_report.to_json([first, second], [found])["comparisons"]
    assert (row["run"], row["value"]) == ("second", 1.0)
    *_, table = token_report.all_tables([first, second], [found], 200)
    assert [column.header for column in table.columns][:3] == ["beside first", "figure", "difference"]


def test_texts_of_as_many_lines_words_and_bytes_do_not_compare_if_their_blocks_differ():
    first, second = with_blocks("first", 256.0), with_blocks("second", 384.0)
    # as where the lines of one text stand in another order in the other
    second.evaluation.blocks.tokens[:2] += [1, -1]

    assert first.text_key == second.text_key
    assert token_report.compare([first, second]) == []
