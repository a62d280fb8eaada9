"""`lmtool score` of runs that answer with texts: a document and a target in, what the target costs out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from text_runs import TEST

from lmtool.incoming import as_documents
from lmtool.run import Run


@pytest.fixture(scope="module")
def scored(text_runs, text_network):
    """The objects of the test documents, by a file whose fields are those of the run."""
    command = ["-m", "lmtool", "score", str(text_network), str(text_runs / "test.jsonl"), "--json", "--tokens"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    return done.stdout


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


def test_each_record_has_what_the_model_gives_its_first_target(scored, text_runs, text_network):
    run = Run.open(text_network)
    documents = as_documents(run.tokenizer, [body for body, _ in TEST])
    targets = [run.target_tokenizer.encode(titles[0]) for _, titles in TEST]
    expected = run.text_model().target_log_probs(documents, targets)

    found = objects(scored)

    assert [(one["body"], one["title"]) for one in found] == TEST
    for one, log_probs in zip(found, expected, strict=True):
        assert one["nats"] == pytest.approx(-log_probs.sum(), rel=1e-9)
        assert [token["nats"] for token in one["token_scores"]] == pytest.approx(-log_probs, rel=1e-9)


def test_totals_are_what_eval_says_of_the_same_pairs(lmtool, scored, text_runs, text_network):
    summary = lmtool("score", text_network, text_runs / "test.jsonl", "--summary", "--json").json
    options = ["--on", text_runs / "test.jsonl", "--set", "evaluation.decoding.beam=1", "--json"]
    (result,) = lmtool("eval", text_network, *options).json["results"]

    found = objects(scored)
    assert summary["lines"] == len(found)
    assert summary["tokens"] == sum(one["tokens"] for one in found) == result["counts"]["target_tokens"]
    assert summary["nats"] == pytest.approx(sum(one["nats"] for one in found), rel=1e-9)
    per_token = result["metrics"]["nats_per_token"]["value"]
    assert summary["nats"] / summary["tokens"] == pytest.approx(per_token, rel=1e-9)
    assert summary["token_perplexity"] == pytest.approx(result["metrics"]["token_perplexity"]["value"], rel=1e-9)


def test_a_line_is_answered_before_the_next_is_asked_and_as_it_is_in_a_file(scored, text_runs, text_network):
    command = ["score", str(text_network), "--field", "body", "--target", "title", "--json", "--tokens"]
    lines = (text_runs / "test.jsonl").read_text().splitlines(keepends=True)

    with subprocess.Popen(
        [sys.executable, "-m", "lmtool", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        for line, expected in zip(lines, scored.splitlines(keepends=True), strict=True):
            process.stdin.write(line)
            assert process.stdout.readline() == expected
        process.stdin.close()
        assert process.wait(timeout=300) == 0


def test_a_filter_prints_the_records_as_they_are_written(lmtool, scored, text_runs, text_network):
    lines = (text_runs / "test.jsonl").read_text().splitlines()
    nats = [one["nats"] for one in objects(scored)]
    limit = sorted(nats)[2]
    condition = f"nats < {limit!r} and words <= source_words"

    done = lmtool("score", text_network, text_runs / "test.jsonl", "--filter", condition)
    others = lmtool("score", text_network, text_runs / "test.jsonl", "--filter", condition, "--invert")

    # all titles are shorter than their bodies
    assert done.stdout.splitlines() == [line for line, cost in zip(lines, nats, strict=True) if cost < limit]
    assert done.stderr == "kept 2 of 4 records\n"
    assert sorted(done.stdout.splitlines() + others.stdout.splitlines()) == sorted(lines)


def test_columns_are_those_of_lines(lmtool, scored, text_network):
    records = json.dumps({"en": TEST[0][0], "its": {"de": TEST[0][1][0]}}) + "\n\n"

    done = lmtool("score", text_network, "--field", "en", "--target", "its.de", "--header", input=records)

    header, row = [line.split("\t") for line in done.stdout.splitlines()]
    assert header == ["nats", "tokens", "token_perplexity", "unknown"]
    assert float(row[0]) == pytest.approx(objects(scored)[0]["nats"], abs=1e-6)


def test_a_model_that_gives_no_probabilities_is_refused(lmtool, text_runs):
    done = lmtool("score", text_runs / "copy", text_runs / "test.jsonl")

    assert (done.code, done.stdout) == (1, "")
    assert "copy answers documents, but gives no text a probability" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--context", "carry"], "--context is about lines of text, and"),
        (["--prefix", "b_"], "--prefix names fields of records; it needs --json"),
        (["--filter", "nats_sd < 1"], "no quantity 'nats_sd'"),
    ],
)
def test_mistakes_are_one_line(lmtool, text_network, options, message):
    done = lmtool("score", text_network, *options, input="")

    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr


def test_options_of_records_are_none_of_language_models(lmtool, tiny):
    done = lmtool("score", tiny / "words", "--field", "text", input="The clock\n")

    assert (done.code, done.stdout) == (2, "")
    assert "--field is about records, and" in done.stderr
    assert "is a language model" in done.stderr
