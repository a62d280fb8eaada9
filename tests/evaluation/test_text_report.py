"""Text models side by side: what is marked, compared and written."""

from __future__ import annotations

import json

from fake_models import Letters, Spelling, TextWithTargets
from rich.console import Console

from lmtool.evaluation import make_evaluators
from lmtool.evaluation.answers import AnswerText
from lmtool.evaluation.evaluated_text import Text
from lmtool.evaluation.text_report import TextResult, all_tables, best_of, compare, decoding_name, legend, to_json
from lmtool.evaluation.texts import evaluate_texts
from lmtool.registry import Registry
from lmtool.settings import DecodingConfig, EvaluationConfig

TEXTS = ["abcab", "cabca", "bbacb", "acbca", "ccabb", "babca"]
FIGURES = ["bleu", "chrf", "nats_per_token", "token_perplexity"]


def result(run, *, shift=0, texts=TEXTS, references=None, target="abc", decoding=None):
    split = TextWithTargets(texts, references or [(text,) for text in texts])
    chosen = EvaluationConfig(evaluators=[{"name": "bleu", "tokenize": "char"}, "chrf"])
    evaluators = make_evaluators(chosen, Registry(third_party=False), takes="texts")
    decoding = decoding or DecodingConfig()
    spelled = AnswerText(Letters(), Letters())
    evaluation = evaluate_texts(Spelling(shift=shift), split, evaluators, spelled, decoding)
    text = Text(split, "data", "test", ("in.jsonl",), chosen=True)
    return TextResult(run, "lstm", Letters(), "word", Letters(target), "char", text, decoding, evaluation)


def test_json_has_figures_with_their_intervals_and_signatures():
    found = json.loads(json.dumps(to_json([result("one", shift=1)], []), allow_nan=False))

    (one,) = found["results"]
    assert (found["schema"], found["comparisons"]) == (1, [])
    assert (one["run"], one["split"], one["counts"]["documents"]) == ("one", "test", 6)
    assert one["counts"]["target_tokens"] == 6 * 6
    assert list(one["metrics"]) == FIGURES
    assert set(one["metrics"]["bleu"]) == {"value", "stderr", "n", "low", "high", "signature"}
    assert one["metrics"]["bleu"]["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:char")
    assert "signature" not in one["metrics"]["nats_per_token"]
    assert one["decoding"]["beam"] == 5
    assert one["sentences_per_second"] > 0
    assert one["tokenizer"]["name"] == "word"
    assert (one["target_tokenizer"]["name"], one["target_tokenizer"]["fingerprint"]) == ("char", "letters-abc")


def test_each_run_is_compared_with_the_first_one():
    (found,) = compare([result("wrong", shift=1), result("right")])

    assert (found.run, found.first) == ("right", "wrong")
    assert [one.metric for one in found.differences] == ["bleu", "chrf", "nats_per_token"]
    chrf = found.differences[1]
    # the first run moves all letters on, the second one none
    assert chrf.value > 50
    assert chrf.low > 0
    assert chrf.p_value == 2 / 2001
    assert found.differences[2].value < 0


def test_runs_of_other_documents_or_references_are_not_compared():
    other = [(text, "a") for text in TEXTS]

    assert compare([result("one"), result("other", texts=TEXTS[:5])]) == []
    assert compare([result("one"), result("other", references=other)]) == []


def test_probabilities_compare_between_the_same_tokens_only():
    results = [result("one"), result("other", target="cba", shift=1)]

    (found,) = compare(results)

    assert [one.metric for one in found.differences] == ["bleu", "chrf"]
    assert best_of(results, "nats_per_token") == set()
    assert best_of(results, "bleu") == {0}


def test_the_best_figures_are_marked():
    results = [result("wrong", shift=1), result("right")]

    assert [best_of(results, name) for name in FIGURES] == [{1}] * 4
    assert best_of(results[:1], "bleu") == set()


def test_people_see_figures_signatures_and_comparisons():
    results = [result("wrong", shift=1), result("right", decoding=DecodingConfig(beam=1, max_length=7))]
    console = Console(width=200, record=True)

    with console.capture() as shown:
        for table in all_tables(results, compare(results), 200):
            console.print(table)

    figures, _ = shown.get().split("beside wrong")
    rows = {line.split()[0]: line for line in figures.splitlines() if line.strip()}
    assert "* 100.00" in rows["chrf"]
    assert "greedy, max length 7" in rows["decoding"]
    assert "beam 5" in rows["decoding"]
    assert "paired bootstrap" in shown.get()
    signed = [line for line in legend(results) if line.startswith("bleu: nrefs:1|")]
    assert len(signed) == 1
    assert "* best on the same documents" in legend(results)


def test_decoding_is_told_by_what_is_not_as_usual():
    sampled = DecodingConfig(sample=True, temperature=0.5, replace_unknown=True)

    assert decoding_name(DecodingConfig()) == "beam 5"
    assert decoding_name(sampled) == "sample, temperature 0.5, replace unknown"
