"""`lmtool score`: a filter that answers line by line."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest


def columns(done):
    assert done.code == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_each_line_gets_its_nats_tokens_and_perplexity(lmtool, tiny):
    done = lmtool("score", tiny / "words", "--header", input="The old clerk sold two grey geese .\n\nzebra\n")

    header, *rows = columns(done)
    assert header == ["nats", "tokens", "token_perplexity", "unknown"]
    # eight words and the end; the end alone; an unknown word and the end
    assert [(int(tokens), int(unknown)) for _, tokens, _, unknown in rows] == [(9, 0), (1, 0), (2, 1)]
    for nats, tokens, perplexity, _ in rows:
        assert float(perplexity) == pytest.approx(math.exp(float(nats) / int(tokens)), rel=1e-5)


def test_line_ends_of_other_systems_and_a_missing_last_one_change_nothing(lmtool, tiny):
    expected = columns(lmtool("score", tiny / "words", input="The clock .\nThe lamp .\n"))

    assert columns(lmtool("score", tiny / "words", "-", input="The clock .\r\nThe lamp .")) == expected
    (lmtool.cwd / "text.txt").write_text("The clock .\r\nThe lamp .")
    assert columns(lmtool("score", tiny / "words", "text.txt")) == expected


def test_order_is_kept_and_batches_change_nothing(lmtool, tiny):
    lines = (tiny / "test.txt").read_text().splitlines()
    shuffled = sorted(lines, key=lambda line: line[::-1])

    together = columns(lmtool("score", tiny / "lstm", input="\n".join(shuffled)))
    (alone,) = columns(lmtool("score", tiny / "lstm", input=shuffled[1]))

    assert [int(row[1]) for row in together] == [len(line.split()) + 1 for line in shuffled]
    assert float(alone[0]) == pytest.approx(float(together[1][0]), rel=1e-5)


def test_no_text_gives_no_answer(lmtool, tiny):
    done = lmtool("score", tiny / "words", input="")

    assert (done.code, done.stdout) == (0, "")


def test_json_lines_hold_the_text_and_if_wanted_its_tokens(lmtool, tiny):
    done = lmtool("score", tiny / "words", "--json", "--tokens", input="The clock\n")

    score = json.loads(done.stdout)
    assert (score["text"], score["tokens"], score["unknown"]) == ("The clock", 3, 0)
    # two words and the end; nine bytes and the end
    assert score["word_perplexity"] == pytest.approx(math.exp(score["nats"] / 3))
    assert score["bits_per_byte"] == pytest.approx(score["nats"] / math.log(2) / 10)
    assert [one["token"] for one in score["token_scores"][:2]] == ["The", "clock"]
    assert sum(one["nats"] for one in score["token_scores"]) == pytest.approx(score["nats"])


def test_tokens_say_which_are_unknown_and_how_long_the_ngram_was(lmtool, tiny):
    done = lmtool("score", tiny / "words", "--json", "--tokens", input="The old zebra\n\n")

    line, empty = map(json.loads, done.stdout.splitlines())
    assert [one["unknown"] for one in line["token_scores"]] == [False, False, True, False]
    # after the start of the line, after that and "The", as an unknown word, and after nothing that was seen
    assert [one["order"] for one in line["token_scores"][:2]] == [2, 3]
    assert all(1 <= one["order"] <= 3 for one in line["token_scores"])
    assert [one["token"] for one in empty["token_scores"]] == ["<eos>"]


def test_tokens_of_a_model_without_ngrams_have_no_order(lmtool, tiny):
    done = lmtool("score", tiny / "lstm", "--json", "--tokens", input="The old\n")

    assert {tuple(one) for one in json.loads(done.stdout)["token_scores"]} == {("token", "id", "nats", "unknown")}


@pytest.mark.parametrize("run", ["words", "chars", "lstm"])
def test_lines_add_up_to_what_eval_says_of_the_text(lmtool, tiny, run):
    options = [tiny / run, "--json", "--set", "evaluation.batch_size=1"]
    whole = lmtool("eval", *options, "--on", tiny / "test.txt").json["results"][0]["metrics"]

    carried = ["--context", "carry"] if run == "lstm" else []
    lines = columns(lmtool("score", tiny / run, *carried, tiny / "test.txt"))

    assert sum(float(nats) for nats, *_ in lines) == pytest.approx(whole["nats"]["value"], rel=1e-6)


def test_carried_lines_cost_what_the_text_costs_in_one_stream(lmtool, tiny):
    text = (tiny / "test.txt").read_text()

    carried = columns(lmtool("score", tiny / "lstm", "--context", "carry", input=text))
    alone = columns(lmtool("score", tiny / "lstm", input=text))
    whole = lmtool("eval", tiny / "lstm", "--json", "--set", "evaluation.batch_size=1").json["results"][0]

    nats = [float(row[0]) for row in carried]
    assert sum(nats) == pytest.approx(whole["metrics"]["nats"]["value"], rel=1e-5)
    assert nats[0] == pytest.approx(float(alone[0][0]), rel=1e-5)
    assert nats != pytest.approx([float(row[0]) for row in alone], rel=1e-6)


def test_an_answer_comes_before_the_next_line_is_asked(tiny):
    command = [sys.executable, "-m", "lmtool", "score", str(tiny / "words")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        for line in ("The clock\n", "a letter from the coast\n"):
            process.stdin.write(line)
            assert process.stdout.readline().split("\t")[1] == str(len(line.split()) + 1)
        process.stdin.close()
        assert process.wait(timeout=300) == 0


def test_a_reader_that_has_enough_ends_it_in_silence(tiny):
    command = f"yes The old clerk | {sys.executable} -m lmtool score {tiny / 'words'} | head -n 2"

    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=300)

    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--context", "all"], "--context must be line or carry, got all"),
        (["--tokens"], "--tokens has no columns; it needs --json"),
        (["--json", "--header"], "--header names columns"),
        (["--filter", "words < 3", "--header"], "--header names columns"),
        (["--summary", "--json", "--tokens"], "--summary gives totals; --tokens asks for lines"),
        (["--summary", "--filter", "words < 3"], "--summary gives totals; --filter asks for lines"),
        (["--invert"], "--invert needs --filter"),
        (["--filter", "word < 3"], "no quantity 'word' (did you mean 'words'?)"),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(lmtool, tiny, options, message):
    done = lmtool("score", tiny / "words", *options)

    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr


def test_carrying_nothing_is_said(lmtool, tiny):
    done = lmtool("score", tiny / "words", "--context", "carry", input="The clock\n")

    assert len(columns(done)) == 1
    assert "starts each line anew" in done.stderr


def test_a_cache_that_cannot_be_written_is_done_without(lmtool, tiny):
    (lmtool.cwd / "file").touch()
    lmtool.environment["LMTOOL_CACHE"] = str(lmtool.cwd / "file")

    done = lmtool("score", tiny / "lstm", input="The old\n")

    assert (done.code, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


# --summary and --filter -----------------------------------------------------------------------------------------------


def test_a_summary_has_the_totals_that_eval_has(lmtool, tiny):
    text = tiny / "test.txt"
    summary = lmtool("score", tiny / "words", "--summary", "--json", text).json
    header, figures = columns(lmtool("score", tiny / "words", "--summary", "--header", text))
    whole = lmtool("eval", tiny / "words", "--json", "--on", text).json["results"][0]["metrics"]

    lines = text.read_text().splitlines()
    assert (summary["lines"], summary["words"]) == (len(lines), sum(len(line.split()) for line in lines))
    for name in ("nats", "token_perplexity", "token_perplexity_without_oov", "word_perplexity", "bits_per_byte"):
        assert summary[name] == pytest.approx(whole[name]["value"], rel=1e-9)
    assert header == list(summary)
    assert [float(one) for one in figures] == pytest.approx(list(summary.values()), rel=1e-9)


def test_the_summary_of_nothing_is_one_all_the_same(lmtool, tiny):
    summary = lmtool("score", tiny / "words", "--summary", "--json", input="").json

    assert (summary["lines"], summary["nats"], summary["token_perplexity"]) == (0, 0, "NaN")


@pytest.mark.parametrize("run", ["words", "chars", "lstm"])
def test_a_filter_prints_the_lines_for_which_its_condition_holds(lmtool, tiny, run):
    text = tiny / "test.txt"
    scores = [json.loads(line) for line in lmtool("score", tiny / run, "--json", text).stdout.splitlines()]
    limit = sorted(one["word_perplexity"] for one in scores)[len(scores) // 2]
    condition = f"word_perplexity < {limit} and not words == 6 or words > 13"

    done = lmtool("score", tiny / run, "--filter", condition, text)
    others = lmtool("score", tiny / run, "--filter", condition, "--invert", text)

    def holds(one):
        few = one["word_perplexity"] < limit and len(one["text"].split()) != 6
        return few or len(one["text"].split()) > 13

    kept = [one["text"] for one in scores if holds(one)]
    assert 0 < len(kept) < len(scores)
    assert done.stdout.splitlines() == kept
    assert done.stderr == f"kept {len(kept)} of {len(scores)} lines\n"
    assert others.stdout.splitlines() == [one["text"] for one in scores if not holds(one)]


def test_a_filter_may_give_objects_with_their_tokens(lmtool, tiny):
    lines = ["The old clerk", "", "zebra zebra", "The clock ."]

    options = ["--filter", "unknown == 0 and words > 0", "--json", "--tokens"]
    done = lmtool("score", tiny / "words", *options, input="\n".join(lines))
    plain = lmtool("score", tiny / "words", "--json", "--tokens", input="\n".join(lines))

    assert done.stdout.splitlines() == [plain.stdout.splitlines()[i] for i in (0, 3)]


def test_a_filter_leaves_what_it_prints_as_it_was(lmtool, tiny):
    text = "  Two  spaces\t, \u00a0 \u2028 \x0b and 春\n\n"

    done = lmtool("-q", "score", tiny / "words", "--filter", "bytes > 0", input=text)

    assert (done.stdout, done.stderr) == (text, "")


def test_a_line_that_is_kept_is_printed_before_the_next_is_asked(tiny):
    command = [sys.executable, "-m", "lmtool", "-q", "score", str(tiny / "words"), "--filter", "words > 1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        for line in ("The clock\n", "clock\n", "a letter from the coast\n"):
            process.stdin.write(line)
            assert line == "clock\n" or process.stdout.readline() == line
        process.stdin.close()
        assert process.wait(timeout=300) == 0


def test_records_are_scored_as_they_stand_and_a_warning_says_so(lmtool, tiny):
    text = '{"text": "The clock"}\n'
    (lmtool.cwd / "records.jsonl").write_text(text)

    done = lmtool("score", tiny / "words", "records.jsonl")

    assert done.stdout == lmtool("score", tiny / "words", input=text).stdout
    assert "warning: records.jsonl is scored as plain text; `jq -r .text | lmtool score" in done.stderr
