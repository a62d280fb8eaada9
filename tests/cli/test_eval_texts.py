"""`lmtool eval` of runs that answer with texts."""

from __future__ import annotations

import json

import pytest
import sacrebleu
from text_runs import TEST


def results(done):
    assert done.code == 0, done.stderr
    return done.json["results"]


def test_figures_are_those_of_the_answers_that_are_written(lmtool, text_runs):
    (result,) = results(lmtool("eval", text_runs / "copy", "--json", "--output", "answers.txt"))

    answers = (lmtool.cwd / "answers.txt").read_text().splitlines()
    assert answers == [body for body, _ in TEST]
    streams = [[titles[0] for _, titles in TEST], [titles[1] if len(titles) > 1 else None for _, titles in TEST]]
    assert result["metrics"]["bleu"]["value"] == sacrebleu.corpus_bleu(answers, streams).score
    assert result["metrics"]["chrf"]["value"] == sacrebleu.corpus_chrf(answers, streams).score
    assert result["metrics"]["bleu"]["signature"].startswith("nrefs:var|case:mixed|eff:no|tok:13a")
    assert (result["counts"]["documents"], result["decoding"]["beam"]) == (4, 5)


def test_runs_are_compared_with_the_first_one_and_settings_apply(lmtool, text_runs):
    chosen = ["--set", "evaluation.evaluators=['chrf']", "--set", "evaluation.decoding.beam=1"]

    done = lmtool("eval", text_runs / "copy", text_runs / "lead", *chosen, "--json")
    shown = lmtool("eval", text_runs / "copy", text_runs / "lead", *chosen)

    copy, lead = results(done)
    (compared,) = done.json["comparisons"]
    assert copy["decoding"]["beam"] == 1
    assert list(copy["metrics"]) == ["chrf"]
    gained = lead["metrics"]["chrf"]["value"] - copy["metrics"]["chrf"]["value"]
    assert (compared["metric"], compared["test"], compared["n"]) == ("chrf", "paired bootstrap", 4)
    assert compared["value"] == pytest.approx(gained)
    assert compared["low"] <= gained <= compared["high"]
    assert "paired bootstrap" in shown.stdout
    assert "chrf: nrefs:var|" in shown.stdout
    assert "greedy" in shown.stdout


def test_raw_text_gives_the_figures_of_the_split_that_was_made_of_it(lmtool, text_runs):
    (split,) = results(lmtool("eval", text_runs / "lead", "--json"))
    (file,) = results(lmtool("eval", text_runs / "lead", "--on", text_runs / "test.jsonl", "--json"))

    assert file["metrics"] == split["metrics"]
    assert file["split"] is None


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--details"], 2, "--details are about classes, and a text-to-text model has none"),
        (["--posterior", "samples:2"], 1, "has no posterior"),
        (["--set", "evaluation.evaluators=['perplexity']"], 2, "'perplexity' takes tokens, a text-to-text model gives"),
        (["--set", "evaluation.decoding.beam=0"], 2, "evaluation.decoding.beam must be at least 1, got 0"),
        (["--on", "bare.jsonl"], 1, "has no target in a field 'title'"),
    ],
)
def test_mistakes_are_one_line(lmtool, text_runs, options, code, message):
    (lmtool.cwd / "bare.jsonl").write_text(json.dumps({"body": "the dog ."}) + "\n")

    done = lmtool("eval", text_runs / "copy", *options)

    error = next(line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert (done.code, done.stdout) == (code, "")
    assert message in error


def test_kinds_do_not_stand_side_by_side_and_answers_are_written_of_one_run(lmtool, text_runs, labelled):
    mixed = lmtool("eval", text_runs / "copy", labelled / "linear")
    several = lmtool("eval", text_runs / "copy", text_runs / "lead", "-o", "answers.txt")
    classes = lmtool("eval", labelled / "linear", "-o", "answers.txt")

    assert mixed.code == several.code == classes.code == 2
    assert "is a classifier and" in mixed.stderr
    assert "a text-to-text model: they have no figures in common" in mixed.stderr
    assert "takes the answers of one run, got 2" in several.stderr
    assert "--output is about texts, and a classifier has none" in classes.stderr
    assert list(lmtool.cwd.iterdir()) == []
