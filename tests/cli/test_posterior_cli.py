"""`--posterior samples:K`: what commands say when weights are drawn."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lmtool.checksums import write_checksums


def with_posterior(run, to, size):
    """A copy of a run whose weights have standard deviations of `size`."""
    shutil.copytree(run, to)
    weights = load_file(to / "model/weights.safetensors")
    deviations = {name: np.full(array.shape, size, np.float32) for name, array in weights.items()}
    save_file(deviations, to / "model/posterior.safetensors")
    write_checksums(to / "model")
    return to


@pytest.fixture
def lstm(lmtool, tiny):
    return with_posterior(tiny / "lstm", lmtool.cwd / "lstm", 0.3)


@pytest.fixture
def cnn(lmtool, labelled):
    return with_posterior(labelled / "cnn", lmtool.cwd / "cnn", 0.3)


@pytest.fixture
def writer(lmtool, text_network):
    return with_posterior(text_network, lmtool.cwd / "writer", 0.3)


def objects(done):
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_eval_averages_over_samples_and_says_of_which_runs(lmtool, tiny, lstm):
    def evaluated(*options):
        done = lmtool("eval", lstm, tiny / "lstm", "--json", *options)
        assert done.code == 0, done.stderr
        return done, [(one["posterior"], one["metrics"]["nats"]["value"]) for one in done.json["results"]]

    mean, (own, without) = evaluated()
    sampled, (drawn, beside) = evaluated("--posterior", "samples:2")
    _, (again, _) = evaluated("--posterior", "samples:2", "--seed", 0)
    _, (other, _) = evaluated("--posterior", "samples:2", "--seed", 1)

    # the mean is the same model, and a run without a posterior stays what it is
    assert own == ("mean", pytest.approx(without[1]))
    assert (without[0], beside) == (None, without)
    assert drawn == again
    assert drawn[0] == "samples:2"
    assert len({round(nats, 3) for _, nats in (own, drawn, other)}) == 3
    assert f"{tiny / 'lstm'} has no posterior: it is evaluated at its weights" in sampled.stderr
    assert f"{lstm}: 2 samples of its weights" in sampled.stderr
    assert "posterior" not in mean.stderr


def test_tables_say_how_the_posterior_was_used(lmtool, cnn):
    done = lmtool("eval", cnn, "--posterior", "samples:2", "--no-baseline")

    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["posterior", "samples:2"] in rows


def test_score_tells_how_far_the_samples_lie_apart(lmtool, lstm):
    text = "The clock .\nThe old clerk sold two grey geese .\n"

    plain = lmtool("score", lstm, "--posterior", "samples:4", "--header", input=text)
    lines = objects(lmtool("score", lstm, "--posterior", "samples:4", "--json", "--tokens", input=text))
    carried = objects(lmtool("score", lstm, "--posterior", "samples:4", "--json", "--context", "carry", input=text))
    kept = lmtool("score", lstm, "--posterior", "samples:4", "--filter", "nats_sd >= 0", input=text)

    header, *rows = [line.split("\t") for line in plain.stdout.splitlines()]
    assert header == ["nats", "tokens", "token_perplexity", "unknown", "nats_sd"]
    for row, line in zip(rows, lines, strict=True):
        assert float(row[4]) == pytest.approx(line["nats_sd"], abs=1e-6)
        # at most the sum of the tokens' own, as for any sum
        assert 0 < line["nats_sd"] <= sum(one["nats_sd"] for one in line["token_scores"]) + 1e-9
    assert carried[0]["nats_sd"] == pytest.approx(lines[0]["nats_sd"], rel=1e-3)
    assert kept.stdout == text


def test_without_samples_there_is_no_spread_to_filter_by(lmtool, lstm):
    done = lmtool("score", lstm, "--filter", "nats_sd > 1", input="The clock .\n")

    assert done.code == 2
    assert "nats_sd" in done.stderr


def test_predict_tells_doubt_and_how_much_of_it_is_about_the_weights(lmtool, labelled, cnn):
    text = "Her sister sold two grey geese .\nThe lamp .\n"

    found = objects(lmtool("predict", cnn, "--posterior", "samples:4", "--all", input=text))
    again = objects(lmtool("predict", cnn, "--posterior", "samples:4", "--all", input=text))
    mean = objects(lmtool("predict", cnn, input=text))
    sure = with_posterior(labelled / "cnn", lmtool.cwd / "sure", 0.0)
    known = objects(lmtool("predict", sure, "--posterior", "samples:4", input=text))

    assert found == again
    for one in found:
        probabilities = np.array(list(one["probabilities"].values()))
        # with six digits and six decimals
        assert one["entropy"] == pytest.approx(-(probabilities * np.log(probabilities)).sum(), abs=1e-5)
        assert 0 < one["mutual_information"] < one["entropy"]
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert [set(one) for one in mean] == [{"label", "probability"}] * 2
    assert [one["mutual_information"] for one in known] == [0.0, 0.0]
    assert [one["probability"] for one in known] == [one["probability"] for one in mean]


def test_text_models_answer_and_score_by_the_average(lmtool, text_runs, text_network, writer):
    drawn, test = ("--posterior", "samples:3"), text_runs / "test.jsonl"

    (result,) = lmtool("eval", writer, *drawn, "--on", test, "--json").json["results"]
    tables = lmtool("eval", writer, *drawn, "--on", test)
    scored = objects(lmtool("score", writer, test, *drawn, "--json", "--tokens"))
    answered = objects(lmtool("predict", writer, test, "--text", *drawn, "--scores"))
    mean = objects(lmtool("predict", writer, test, "--text", "--scores"))
    alone = objects(lmtool("predict", text_network, test, "--text", "--scores"))
    records = "".join(json.dumps({"body": one["body"], "title": one["answer"]}) + "\n" for one in answered)
    again = objects(lmtool("score", writer, *drawn, "--json", input=records))

    assert result["posterior"] == "samples:3"
    assert ["posterior", "samples:3"] in [line.split() for line in tables.stdout.splitlines()]
    nats, tokens = (sum(one[name] for one in scored) for name in ("nats", "tokens"))
    assert nats / tokens == pytest.approx(result["metrics"]["nats_per_token"]["value"], rel=1e-9)
    for one in scored:
        assert 0 < one["nats_sd"] <= sum(token["nats_sd"] for token in one["token_scores"]) + 1e-9
    # the answers are searched for by the same average; the mean is the network that it was
    for one, other in zip(answered, again, strict=True):
        assert one["log_prob"] == pytest.approx(-other["nats"], abs=1e-3)
    assert mean == alone
    assert [one["log_prob"] for one in answered] != [one["log_prob"] for one in mean]


def test_generate_draws_from_the_average(lmtool, tiny, lstm):
    def text(run, *options):
        done = lmtool("generate", run, "--prompt", "The", "--max-tokens", 5, *options)
        assert done.code == 0, done.stderr
        return done.stdout

    sure = with_posterior(tiny / "lstm", lmtool.cwd / "sure", 0.0)

    assert text(sure, "--posterior", "samples:3") == text(tiny / "lstm")
    assert text(lstm, "--posterior", "samples:3") == text(lstm, "--posterior", "samples:3")


def test_info_and_export_mention_it_and_damage_is_found(lmtool, tiny, lstm):
    shown, known, other = lmtool("info", lstm), lmtool("info", lstm, "--json"), lmtool("info", tiny / "lstm", "--json")
    exported = lmtool("export", lstm, "--to", "safetensors", "-o", "weights.safetensors")
    file = lstm / "model/posterior.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    damaged = lmtool("info", lstm, "--verify")

    assert "posterior " in shown.stdout
    assert (known.json["posterior"], other.json["posterior"]) == (True, False)
    assert exported.stdout == "weights.safetensors\n"
    assert f"{file} has a standard deviation of each weight" in exported.stderr
    # what was exported has the posterior's names, as the message says
    assert (
        load_file(lmtool.cwd / "weights.safetensors").keys()
        == load_file(tiny / "lstm/model/weights.safetensors").keys()
    )
    assert (damaged.code, damaged.stdout) == (1, "")
    assert "posterior.safetensors is damaged" in damaged.stderr


@pytest.mark.parametrize("command", ["eval", "score", "generate"])
def test_a_run_without_a_posterior_has_nothing_to_draw_from(lmtool, tiny, command):
    done = lmtool(command, tiny / "words", "--posterior", "samples:2")

    assert (done.code, done.stdout) == (1, "")
    assert "words has no posterior to draw weights from" in done.stderr
    assert "--posterior mean" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("eval", "--posterior", "samples"), "--posterior must be mean or samples:K"),
        (("score", "--posterior", "samples:0"), "--posterior must be mean or samples:K"),
        (("eval", "--seed", -1), "seed must be at least 0, got -1"),
        (("predict", "--posterior", "samples:2", "--explain", "--gradient"), "--gradient is of one set of weights"),
    ],
)
def test_mistakes_are_one_line(lmtool, tiny, arguments, message):
    command, *options = arguments

    done = lmtool(command, tiny / "words", *options)

    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr
