"""Runs of `reinforce-lm`: what they take from the language model that they start from, and what they end with."""

from __future__ import annotations

import json

import numpy as np
import pytest
from judges import lines_dataset
from safetensors.numpy import load_file, save_file

from lmtool.config import load_config
from lmtool.errors import ConfigError, Interrupted
from lmtool.generation import Sampling, generate
from lmtool.run import Run
from lmtool.signals import StopRequest
from lmtool.training import train

STEPS = ("training.max_steps=3", "training.eval_every=1", "training.checkpoint_every=1", "training.log_every=1")
SOURCE = ("model.name=cnn", "model.channels=8", "model.kernel_size=2", "model.num_layers=1", "task.embedding_size=8",
          "task.dropout=0.1")  # fmt: skip
LINES = ["a cat sat", "dogs", "a dog ran far off", "birds sang", "a cat ran", "the dog sat", "sat sat"]


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    return lines_dataset(tmp_path_factory.mktemp("lines"), train=LINES, valid=LINES[2:5])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, lines, registry):
    """Train a run; another call with its name goes on with it. `stop_at` is the number of a validation."""
    folder = tmp_path_factory.mktemp("runs")

    def start(name, *settings, stop_at=0):
        stop, seen = StopRequest(), []

        def report(phase, fraction, **fields):
            seen.append((phase, fraction))
            if stop_at and seen[-1] == ("validating", 0.0) and seen.count(seen[-1]) == stop_at:
                stop.signal_name = "SIGTERM"

        config = config_of(lines, registry, *settings)
        return train(config, lines, folder / name, registry, stop=stop, report=report)

    return start


def config_of(dataset, registry, *settings):
    overrides = [f'data.path="{dataset.path}"', "training.batch_size=3", "training.bptt=4", *STEPS, *settings]
    return load_config(None, registry, overrides=overrides)


@pytest.fixture(scope="module")
def source(trained):
    return trained("source", *SOURCE)


def reinforced(source, *settings):
    start = ("task.name=reinforce-lm", f'model.init_from="{source}"')
    return (*start, "task.reward=distinct", "task.max_length=5", *settings)


def weights(run):
    return load_file(run.path / "model/weights.safetensors")


def logged(run):
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def a_run(folder, task, **weights):
    """A folder that holds what configs read of a run."""
    (folder / "model").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "config.toml").write_text(f'[task]\n{task}\n[model]\nname = "cnn"\nchannels = 8\n')
    save_file(weights, folder / "model/weights.safetensors")
    return folder


def test_what_is_left_out_is_that_of_the_run_it_starts_from(lines, registry, tmp_path):
    task = 'name = "lm"\nsoftmax = "adaptive"\ncutoffs = [4, 9]\ndropout = 0.1\ntied = false'
    source = a_run(tmp_path / "source", task, embedding_0=np.zeros((4, 8), np.float32))

    config = config_of(lines, registry, *reinforced(source, "task.dropout=0.3"))

    assert (config.model.name, config.model.config.channels) == ("cnn", 8)
    found = config.task.config
    assert (found.softmax, found.cutoffs, found.tied, found.embedding_size) == ("adaptive", [4, 9], False, 8)
    assert found.dropout == 0.3
    assert config.training.monitor == "reward"
    # of a plain language model nothing but the embedding's size is taken
    plain = config_of(lines, registry, f'model.init_from="{source}"').task.config
    assert (plain.softmax, plain.tied, plain.embedding_size) == ("full", True, 8)


def test_it_starts_from_all_weights_and_a_stopped_run_ends_with_the_same_bits(source, trained, registry):
    settings = reinforced(
        source.path, "task.prompt_tokens=1", "task.kl=0.1", "task.mix=0.1", "optimizer.learning_rate=1e-30"
    )
    whole = trained("whole", *settings)
    with pytest.raises(Interrupted):
        trained("stopped", *settings, stop_at=2)
    again = trained("stopped", *settings)

    start, end, other = weights(source), weights(whole), weights(again)
    assert start.keys() == end.keys() == other.keys()
    for name in start:
        np.testing.assert_allclose(end[name], start[name], atol=1e-6)  # a rate of 1e-30 moves nothing
        assert np.array_equal(end[name], other[name])
    same = [[(one["kind"], one["step"], one["loss"], one.get("reward")) for one in logged(run)]
            for run in (whole, again)]  # fmt: skip
    assert same[0] == same[1]
    valid = [one for one in logged(whole) if one["kind"] == "valid"]
    assert [one["reward"] for one in valid] == [valid[0]["reward"]] * 3  # by the same draws
    assert 0 < valid[0]["reward"] <= 1
    assert valid[0]["token_perplexity"] == pytest.approx(logged(source)[-1]["token_perplexity"], rel=1e-5)
    assert ("evaluator", "distinct") in {(one["kind"], one["name"]) for one in whole.components}
    found = Run.open(whole.path, registry)
    (sample,) = generate(found.language_model(), found.tokenizer, "a cat", Sampling(max_tokens=3))
    assert len(sample.ids) <= 3


def test_what_cannot_be_is_told(source, lines, registry, trained, tmp_path):
    def refused(*settings):
        with pytest.raises(ConfigError) as caught:
            config_of(lines, registry, *settings)
        return str(caught.value), caught.value.hint

    message, hint = refused("task.name=reinforce-lm", "model.name=lstm", "task.reward=distinct")
    assert "task 'reinforce-lm' goes on from a run, and model.init_from is missing" in message
    assert "a run of lm" in hint
    message, hint = refused("task.name=reinforce-lm", f'model.init_from="{source.path}"')
    assert "task.reward is missing" in message
    assert "an evaluator of texts" in hint
    for name, what in {"seq2seq": "a text-to-text model", "classify": "a classifier"}.items():
        other = a_run(tmp_path / name, f'name = "{name}"')
        message, _ = refused(*reinforced(other))
        assert f"task 'reinforce-lm' goes on from a language model, and {other} is {what}" in message
    message, hint = refused("task.name=reinforce", f'model.init_from="{source.path}"')
    assert f"task 'reinforce' goes on from a text-to-text model, and {source.path} is a language model" in message
    assert "a run of seq2seq" in hint
    with pytest.raises(ConfigError, match=r"task\.reward 'chrf' judges a text beside references, and one that is"):
        trained("beside", *reinforced(source.path, "task.reward=chrf"))
    with pytest.raises(ConfigError, match=r"task\.reward must be an evaluator of texts, and 'perplexity' takes"):
        trained("wrong", *reinforced(source.path, "task.reward=perplexity"))
    assert not any((source.path.parent / name).exists() for name in ("beside", "wrong"))  # no run to go on with
