"""`lmtool eval`: one definition of perplexity, side by side."""

from __future__ import annotations

import json
import math
import shutil

import pytest


def results(done):
    assert done.code == 0, done.stderr
    return done.json["results"]


def test_json_is_one_object_that_says_what_was_measured(lmtool, tiny):
    done = lmtool("eval", tiny / "words", "--json")

    (result,) = results(done)
    assert done.json["schema"] == 1
    assert result["run"] == str(tiny / "words")
    assert (result["model"], result["tokenizer"]["name"], result["split"]) == ("ngram", "word", "test")
    assert result["data"] == str(tiny / "word-dataset")
    assert result["state"] == "per line"
    assert set(result["metrics"]["token_perplexity"]) == {"value", "stderr", "n"}
    assert "test split" in done.stderr


def test_figures_follow_from_the_nats_and_the_text(lmtool, tiny):
    text = (tiny / "test.txt").read_text()

    for result in results(lmtool("eval", tiny / "words", tiny / "chars", "--json")):
        nats = result["metrics"]["nats"]["value"]
        words, size, lines = len(text.split()), len(text.encode()), text.count("\n")
        tokens = words + lines if result["tokenizer"]["unit"] == "word" else len(text)
        figures = {name: metric["value"] for name, metric in result["metrics"].items()}
        assert result["counts"]["tokens"] == tokens
        assert figures["token_perplexity"] == pytest.approx(math.exp(nats / tokens))
        assert figures["word_perplexity"] == pytest.approx(math.exp(nats / (words + lines)))
        assert figures["bits_per_byte"] == pytest.approx(nats / math.log(2) / size)


def test_a_text_gives_the_same_figures_as_the_split_that_was_made_of_it(lmtool, tiny):
    (split,) = results(lmtool("eval", tiny / "words", "--on", "test", "--json"))
    (file,) = results(lmtool("eval", tiny / "words", "--on", tiny / "test.txt", "--json"))
    (stdin,) = results(lmtool("eval", tiny / "words", "--on", "-", "--json", input=(tiny / "test.txt").read_text()))

    assert split["metrics"] == file["metrics"] == stdin["metrics"]
    assert (file["data"], file["split"]) == (str(tiny / "test.txt"), None)


def test_the_sum_of_scored_lines_is_the_whole(lmtool, tiny):
    (result,) = results(lmtool("eval", tiny / "chars", "--json"))
    scored = lmtool("score", tiny / "chars", tiny / "test.txt", "--json")

    nats = [json.loads(line)["nats"] for line in scored.stdout.splitlines()]
    assert len(nats) == 40
    assert sum(nats) == pytest.approx(result["metrics"]["nats"]["value"], rel=1e-9)


def test_a_stateful_model_carries_its_state_and_says_so(lmtool, tiny):
    arguments = ["eval", tiny / "lstm", "--json", "--set", "evaluation.batch_size=4", "--set"]

    (short,) = results(lmtool(*arguments, "evaluation.bptt=7"))
    (long,) = results(lmtool(*arguments, "evaluation.bptt=64"))

    assert (short["state"], short["streams"]) == ("carried", 4)
    # float32 sums in another order
    assert short["metrics"]["nats"]["value"] == pytest.approx(long["metrics"]["nats"]["value"], rel=1e-5)


def test_runs_stand_side_by_side_and_the_best_is_marked(lmtool, tiny):
    done = lmtool("eval", tiny / "words", tiny / "lstm", tiny / "chars")

    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "\x1b" not in done.stdout
    # tokens differ, so per-token figures have no best; the words model is far ahead
    assert "*" not in rows["token_perplexity"]
    assert rows["word_perplexity"].split()[1] == "*"
    assert rows["word_perplexity"].count("*") == 1
    assert "* best on the same text" in done.stdout


def test_the_validation_split_stands_in_for_a_missing_test_split(lmtool, tiny):
    text = tiny / "test.txt"
    assert lmtool("tokenize", "--with", tiny / "words", "--valid", text, "-o", "valid-only").code == 0

    done = lmtool("eval", tiny / "words", "--data", "valid-only", "--json")

    assert results(done)[0]["split"] == "valid"
    assert "valid split" in done.stderr


def test_a_dataset_that_is_gone_is_named_with_the_ways_out(lmtool, tiny):
    shutil.copytree(tiny / "words", lmtool.cwd / "run")
    record = json.loads((lmtool.cwd / "run" / "run.json").read_text())
    record["dataset"]["path"] = str(lmtool.cwd / "gone")
    (lmtool.cwd / "run" / "run.json").write_text(json.dumps(record))

    done = lmtool("eval", "run")

    assert (done.code, done.stdout) == (1, "")
    assert "the dataset that run was trained on is not there any more" in done.stderr
    assert "hint: `--on FILE` evaluates on a text, `--data DATASET` on another dataset" in done.stderr
    assert lmtool("eval", "run", "--on", tiny / "test.txt").code == 0
    assert lmtool("eval", "run", "--on", tiny / "word-dataset").code == 0


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--on", "tset"], 1, "no split and no file 'tset' (did you mean 'test'?)"),
        (["--set", "evaluation.bppt=3"], 2, "unknown key evaluation.bppt (did you mean 'bptt'?)"),
        (["--set", "model.order=3"], 2, "--set model.order=3: eval has no use for it"),
        (["--on", "x.txt", "--data", "D"], 2, "--on must be one of train, valid, test, got x.txt"),
        (["--set", 'evaluation.evaluators=["blue"]'], 3, "no evaluator named 'blue'"),
    ],
)
def test_wrong_options_are_one_line(lmtool, tiny, options, code, message):
    done = lmtool("eval", tiny / "words", *options)

    assert (done.code, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


def test_an_error_in_a_text_from_stdin_is_named_as_such(lmtool, tiny):
    done = lmtool("eval", tiny / "words", "--on", "-", input="")

    assert (done.code, done.stdout) == (1, "")
    assert done.stderr == "error: the test text is empty: no line in -\nhint: name another text with `--on`\n"


def test_a_run_that_is_not_finished_is_evaluated_with_a_warning(lmtool, tiny):
    shutil.copytree(tiny / "words", lmtool.cwd / "run")
    record = json.loads((lmtool.cwd / "run" / "run.json").read_text())
    (lmtool.cwd / "run" / "run.json").write_text(json.dumps({**record, "state": "started"}))

    done = lmtool("eval", "run")
    shutil.rmtree(lmtool.cwd / "run" / "model")
    without = lmtool("eval", "run")

    assert done.code == 0
    assert "warning: run is not finished" in done.stderr
    assert without.code == 1
    assert without.stderr.startswith("error: run has no model yet")


def test_a_name_with_brackets_is_shown_as_it_is(lmtool, tiny):
    (lmtool.cwd / "[red]run").symlink_to(tiny / "words")

    done = lmtool("eval", "[red]run", "--on", tiny / "test.txt")

    assert "[red]run" in done.stdout.splitlines()[0]


def test_a_config_that_was_cut_between_two_settings_is_damaged(lmtool, tiny):
    shutil.copytree(tiny / "words", lmtool.cwd / "run")
    config = lmtool.cwd / "run" / "config.toml"
    config.write_text(config.read_text().partition("[training]")[0])

    done = lmtool("eval", "run")

    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: run/config.toml is damaged: it has no [evaluation]\nhint: ")
