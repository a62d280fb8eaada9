"""`lmtool generate`: prompts continued, the same way each time."""

from __future__ import annotations

import json

import pytest


def test_the_same_seed_gives_the_same_text_and_another_another(lmtool, tiny):
    def text(seed):
        done = lmtool("generate", tiny / "words", "--prompt", "The old", "--seed", seed, "--num-samples", 3)
        assert done.code == 0, done.stderr
        return done.stdout

    assert text(1) == text(1) != text(2)
    assert all(line.startswith("The old clerk ") for line in text(1).splitlines())
    assert len(text(1).splitlines()) == 3


def test_only_what_is_new(lmtool, tiny):
    options = ["generate", tiny / "words", "--prompt", "The old", "--temperature", 0]

    whole, new = lmtool(*options).stdout, lmtool(*options, "--only-new").stdout

    assert whole == f"The old{new}"


def test_prompts_from_stdin_one_a_line(lmtool, tiny):
    done = lmtool("generate", tiny / "lstm", "--prompt", "-", "--json", input="The\na tired nurse\n")

    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["prompt"], second["prompt"]) == ("The", "a tired nurse")
    (sample,) = second["samples"]
    assert sample["text"].startswith("a tired nurse")
    assert sample["nats"] > 0
    assert sample["tokens"] >= 1


def test_it_stops_after_tokens_or_lines(lmtool, tiny):
    tokens = lmtool("generate", tiny / "chars", "--max-tokens", 5, "--json").json["samples"][0]
    lines = lmtool("generate", tiny / "words", "--lines", 2, "--json").json["samples"][0]

    assert (tokens["tokens"], len(tokens["text"]), tokens["ended"]) == (5, 5, False)
    assert (lines["text"].count("\n"), lines["ended"]) == (1, True)


def test_unknown_words_of_the_prompt_are_said_and_kept(lmtool, tiny):
    done = lmtool("generate", tiny / "words", "--prompt", "The zebra")

    assert done.stdout.startswith("The zebra")
    assert "<unk>" not in done.stdout
    assert "1 of 2 tokens of the prompt are not in the vocabulary: The zebra" in done.stderr


def test_a_prompt_may_have_several_lines_with_any_line_ends(lmtool, tiny):
    done = lmtool("generate", tiny / "chars", "--prompt", "The old\r\nThe", "--max-tokens", 3, "--json")

    assert done.code == 0
    assert done.stderr == ""
    assert done.json["prompt"] == "The old\nThe"
    assert done.json["samples"][0]["text"].startswith("The old\nThe")


def test_a_prompt_that_is_no_text_is_a_usage_error(lmtool, tiny):
    done = lmtool("generate", tiny / "words", "--prompt", "caf\udce9")

    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == "error: --prompt is not UTF-8 at character 4\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--temperature", "-1"], "temperature must be 0 or more, got -1"),
        (["--top-k", "0"], "top-k must be at least 1, got 0"),
        (["--top-p", "1.5"], "top-p must be above 0 and at most 1, got 1.5"),
        (["--max-tokens", "0"], "max-tokens must be at least 1, got 0"),
        (["--num-samples", "0"], "num-samples must be at least 1, got 0"),
        (["--seed", "-1"], "seed must be at least 0, got -1"),
    ],
)
def test_values_without_a_meaning_are_usage_errors(lmtool, tiny, options, message):
    done = lmtool("generate", tiny / "words", *options)

    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == f"error: {message}\n"
