"""Results side by side: what is comparable, what is marked, and what JSON holds."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from fake_models import Letters, Text
from rich.console import Console

from lmtool.api import Metric
from lmtool.evaluation import Evaluation, report


@dataclass
class NamedText:
    ids: Text
    data: str = "data"
    split: str | None = "test"
    sources: tuple[str, ...] = ("t.txt",)
    name: str = "data test"


def result(run="run", *, lines=("ab", "c"), letters="abc", **metrics):
    tokenizer = Letters(letters)
    evaluation = Evaluation(metrics, streams=2, carried=True, seconds=1.0)
    return report.Result(run, "ngram", tokenizer, "letters", NamedText(Text(list(lines), tokenizer)), evaluation)


def shown(*results):
    console = Console(file=io.StringIO(), width=200)
    console.print(report.table(results))
    return {line.split()[0]: line.split()[1:] for line in console.file.getvalue().splitlines() if line.strip()}


def test_json_has_value_error_and_n():
    answer = report.to_json(
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
    assert (one["state"], one["streams"]) == ("carried", 2)


def test_an_infinite_perplexity_is_valid_json():
    text = json.dumps(report.to_json([result(token_perplexity=Metric(math.inf, n=5))]), allow_nan=False)

    value = json.loads(text)["results"][0]["metrics"]["token_perplexity"]["value"]
    assert value == "Infinity"
    assert float(value) == math.inf


@pytest.mark.parametrize(("value", "expected"), [(math.nan, "NaN"), (-math.inf, "-Infinity"), (1.5, 1.5)])
def test_numbers_that_json_lacks_are_words(value, expected):
    assert report.number(value) == expected


def test_the_lowest_perplexity_on_the_same_text_is_best():
    results = [result(token_perplexity=Metric(value, 5)) for value in (9.0, 8.0, 8.5)]

    assert report.best_of(results, "token_perplexity") == {1}
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

    assert report.best_of([first, second], name) == set()


def test_each_text_has_its_own_best():
    texts = [("ab", "c"), ("ab", "cc"), ("ab", "c"), ("ab", "cc"), ("abc",)]
    results = [result(lines=lines, token_perplexity=Metric(9.0 - i, 5)) for i, lines in enumerate(texts)]

    # 9 and 7 on the first text, 8 and 6 on the second, 5 alone on the third
    assert report.best_of(results, "token_perplexity") == {2, 3}


def test_figures_per_word_compare_across_tokenizers():
    results = [result(word_perplexity=Metric(9.0, 4)), result(letters="abcd", word_perplexity=Metric(8.0, 4))]

    assert report.best_of(results, "word_perplexity") == {1}


def test_one_run_alone_and_other_metrics_have_no_best():
    assert report.best_of([result(token_perplexity=Metric(9.0, 5))], "token_perplexity") == set()
    assert report.best_of([result(nats=Metric(9.0, 5)), result(nats=Metric(8.0, 5))], "nats") == set()


def test_signs_are_explained_only_where_they_are():
    plain = [result(token_perplexity=Metric(9.0, 5))]
    signs = [result(token_perplexity=Metric(9.0, 5, 0.5, lower_bound=True)), result(token_perplexity=Metric(8.0, 5))]

    assert report.legend(plain) == []
    assert [line[0] for line in report.legend(signs)] == ["±", "≥", "*"]
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


def test_a_dataset_of_the_cache_goes_by_the_names_of_its_sources(monkeypatch, tmp_path):
    from lmtool.evaluation.text import Text as EvaluationText

    monkeypatch.setenv("LMTOOL_CACHE", str(tmp_path))
    ids = SimpleNamespace()
    cached = EvaluationText(ids, str(tmp_path / "datasets" / "0123"), "test", ("a.txt", "b.txt"), chosen=True)
    named = EvaluationText(ids, "some/where", "test", ("a.txt",), chosen=True)

    assert cached.name == "a.txt, b.txt"
    assert named.name == "some/where test"
