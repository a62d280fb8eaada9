"""`lmtool predict` of runs that answer with texts: a line in, a line out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from text_runs import TEST


def lines(done):
    assert done.code == 0, done.stderr
    return done.stdout.splitlines()


def test_each_line_is_answered_with_a_line(lmtool, text_runs):
    text = "the dog runs . it sleeps .\n\na cat"

    assert lines(lmtool("predict", text_runs / "lead", input=text)) == ["the dog runs .", "", "a cat"]


def test_records_keep_their_fields_and_have_the_fields_of_the_runs_reader(lmtool, text_runs):
    found = [json.loads(line) for line in lines(lmtool("predict", text_runs / "lead", text_runs / "test.jsonl"))]

    assert found[0] == {"title": TEST[0][1], "id": 0, "answer": "the dog sleeps ."}
    assert len(found) == 4
    assert lines(lmtool("predict", text_runs / "lead", text_runs / "test.jsonl", "--plain"))[0] == "the dog sleeps ."


def test_the_text_may_be_in_several_fields(lmtool, text_runs):
    record = json.dumps({"context": "a cat runs .", "question": "who runs ?", "answer": "a cat"}) + "\n"
    fields = ["--field", "question", "--field", "context", "--text", "--prefix", "predicted_"]

    (one,) = lines(lmtool("predict", text_runs / "copy", *fields, input=record))

    assert json.loads(one) == {
        "answer": "a cat",
        "text": "who runs ?\na cat runs .",
        "predicted_answer": "who runs ? a cat runs .",
    }


def test_lines_may_be_answered_with_json_and_scores(lmtool, text_runs):
    (one,) = lines(lmtool("predict", text_runs / "copy", "--json", "--scores", input="a cat\n"))
    (row,) = lines(lmtool("predict", text_runs / "copy", "--n-best", 1, "--scores", input="a cat\n"))

    assert json.loads(one) == {"answer": "a cat", "score": 0.0, "log_prob": 0.0}
    assert row == "1\t0\t0\ta cat"


def test_answers_begin_as_asked(lmtool, text_runs):
    records = "".join(json.dumps(one) + "\n" for one in ({"body": "a cat", "its": {"start": "the"}}, {"body": "a dog"}))

    same = lines(lmtool("predict", text_runs / "copy", "--begin", "the old", input="a cat\n"))
    own = lines(
        lmtool("predict", text_runs / "copy", "--field", "body", "--begin-field", "its.start", "--plain", input=records)
    )

    assert same == ["the old a cat"]
    assert own == ["the a cat", "a dog"]


def test_a_field_of_beginnings_that_no_record_has_is_told(lmtool, text_runs):
    records = '{"body": "a", "its": null}\n{"body": "b"}\n'
    command = ("predict", text_runs / "copy", "--field", "body", "--begin-field")
    known, unknown = (lmtool(*command, name, input=records) for name in ("its", "it"))

    assert "warning" not in known.stderr
    assert "no record has a field 'it'" in unknown.stderr
    assert known.stdout == unknown.stdout


def test_an_answer_comes_before_the_next_line_is_asked(text_runs):
    command = [sys.executable, "-m", "lmtool", "predict", str(text_runs / "copy")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        for line in ("a cat runs .\n", "a dog\n"):
            process.stdin.write(line)
            assert process.stdout.readline() == line
        process.stdin.close()
        assert process.wait(timeout=300) == 0


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--threshold", "0.5"], 2, "--threshold is about classes, and"),
        (["--all"], 2, "--all is about classes, and"),
        (["--beam", "0"], 2, "--beam: evaluation.decoding.beam must be at least 1, got 0"),
        (["--temperature", "0.5"], 2, "--temperature: evaluation.decoding: temperature has no use with sample = false"),
        (["--text"], 2, "--text is for JSON, and lines are answered with lines"),
        (["--plain", "--json"], 2, "--plain has no use for --json"),
        (["--begin", "a", "--begin-field", "b"], 2, "give one of the two"),
        (["--begin-field", "b"], 2, "--begin-field names a field, and lines of text have none"),
        (["--field", "b", "--begin-field", "b"], 2, "--begin-field names 'b', which is the document's text"),
        (["--begin", "a\nb"], 1, "an answer is one line, and cannot begin with 'a\\nb'"),
    ],
)
def test_mistakes_are_one_line(lmtool, text_runs, options, code, message):
    done = lmtool("predict", text_runs / "copy", *options, input="a cat\n")

    assert (done.code, done.stdout) == (code, "")
    assert message in done.stderr


def test_options_of_texts_are_none_of_classifiers(lmtool, labelled):
    done = lmtool("predict", labelled / "linear", "--beam", 2, input="a cat\n")

    assert done.code == 2
    assert "--beam is about texts, and" in done.stderr
    assert "is a classifier" in done.stderr
