"""Runs of `reinforce`: what they take from the run that they start from, and that they go on to the same bits."""

from __future__ import annotations

import hashlib
import json
import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from judges import Judge
from safetensors.numpy import load_file
from text_pairs import WORDS, dataset_of

from lmtool.config import Config, load_config
from lmtool.contents import contents
from lmtool.errors import ConfigError, DataError, Interrupted, PluginError
from lmtool.signals import StopRequest
from lmtool.training import train

STEPS = ("training.max_steps=3", "training.eval_every=1", "training.checkpoint_every=1", "training.log_every=1")
SOURCE = ("task.name=seq2seq", "model.name=cnn", "model.channels=8", "model.kernel_size=2", "model.num_layers=1",
          "task.embedding_size=8", "task.max_padding=0.9", "task.hops=2")  # fmt: skip


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """Documents of one word, answered by the same word."""
    rows = [{"text": word, "target": word} for word in WORDS]
    return dataset_of(tmp_path_factory.mktemp("echo"), {"train": rows, "valid": rows})


@pytest.fixture(scope="module")
def trained(tmp_path_factory, echo, registry):
    """Train a run; another call with its name goes on with it. `stop_at` is the number of a validation."""
    folder = tmp_path_factory.mktemp("runs")

    def start(name, *settings, dataset=echo, stop_at=0):
        stop, seen = StopRequest(), []

        def report(phase, fraction, **fields):
            seen.append(phase)
            if stop_at and phase == "validating" and seen.count(phase) == stop_at:
                stop.signal_name = "SIGTERM"

        config = config_of(dataset, registry, *settings)
        return train(config, dataset, folder / name, registry, stop=stop, report=report)

    return start


def config_of(dataset, registry, *settings):
    overrides = [f'data.path="{dataset.path}"', "training.batch_size=3", *STEPS, *settings]
    return load_config(None, registry, overrides=overrides)


@pytest.fixture(scope="module")
def source(trained):
    return trained("supervised", *SOURCE)


def reinforced(source, *settings):
    return (
        "task.name=reinforce",
        f'model.init_from="{source.path}"',
        "task.reward=chrf",
        "task.max_length=2",
        *settings,
    )


def weights(run):
    return load_file(run.path / "model/weights.safetensors")


def test_what_is_left_out_is_that_of_the_run_it_starts_from(source, echo, registry):
    config = config_of(echo, registry, *reinforced(source, "task.dropout=0.1"))

    assert config.model.name == "cnn"
    assert config.model.config.channels == 8
    assert (config.task.config.hops, config.task.config.embedding_size) == (2, 8)
    assert config.task.config.dropout == 0.1
    assert config.encoder.config.model_dump() == {**config.model.config.model_dump(), "causal": False}


def test_it_starts_from_all_weights_and_a_stopped_run_ends_with_the_same_bits(source, trained):
    settings = reinforced(
        source,
        "task.kl=0.1",
        "task.mix=0.1",
        "optimizer.learning_rate=1e-30",
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
    lines = [
        [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()] for run in (whole, again)
    ]
    logged = [[(line["kind"], line["step"], line["loss"]) for line in run] for run in lines]
    assert logged[0] == logged[1]
    rewards = [-loss for kind, _, loss in logged[0] if kind == "train"]
    assert all(0 <= reward <= 1 for reward in rewards)
    assert ("evaluator", "chrf") in {(one["kind"], one["name"]) for one in whole.components}
    checkpoints = list((whole.path / "checkpoints").glob("*/arrays.json"))
    assert checkpoints
    assert not any("fixed" in path.read_text() for path in checkpoints)


def test_what_cannot_be_is_told(source, echo, registry, trained, tmp_path):
    with pytest.raises(ConfigError, match=r"task 'reinforce' goes on from a run, and model\.init_from is missing"):
        config_of(echo, registry, "task.name=reinforce", "model.name=cnn")
    with pytest.raises(ConfigError, match=r"task\.reward must be an evaluator of texts, and 'perplexity' takes"):
        trained("wrong", *reinforced(source, "task.reward=perplexity"))
    with pytest.raises(ConfigError, match=r"weight .* is .* in .*supervised, .* here") as caught:
        trained("other", *reinforced(source, "task.hops=1"))
    assert caught.value.hint.startswith("[model] and [task] need the settings of ")
    rows = [{"text": word, "target": word} for word in WORDS]
    own = dataset_of(tmp_path, {"train": rows}, target_tokenizer={"name": "char"})
    with pytest.raises(DataError, match=r"targets in .* were written with another tokenizer than those that"):
        trained("apart", *reinforced(source), dataset=own)


def test_what_the_file_of_a_reward_held_is_noted(tmp_path, registry, monkeypatch):
    class Lexicon(Config):
        FILES = frozenset({"file"})
        file: str

    (tmp_path / "words").write_bytes(b"good")
    reward = Lexicon(file=str(tmp_path / "words"))
    monkeypatch.setattr("lmtool.config.reward_of", lambda task, registry: SimpleNamespace(config=reward))
    plain = SimpleNamespace(config=Config())
    config = SimpleNamespace(task=plain, model=plain, encoder=None, training=SimpleNamespace(augment=(), evaluators=()))

    found = contents(config, registry, lambda path: "")

    held = {"path": reward.file, "sha256": hashlib.sha256(b"good").hexdigest()}
    assert found == {"contents": {"task.reward.file": held}}


def test_a_run_of_texts_starts_another_task_with_its_backbone_and_is_no_language_model(tmp_path, trained, registry):
    rows = [{"text": f"{one}\n{two}", "target": two} for one, two in pairwise(WORDS)]
    pairs = dataset_of(tmp_path / "pairs", {"train": rows, "valid": rows})
    start = trained("pairs", *SOURCE, dataset=pairs)
    from_it = f'model.init_from="{start.path}"'

    still = ("optimizer.learning_rate=1e-30", "training.max_steps=1")
    spans = trained("spans", "task.name=span", from_it, *still, dataset=pairs)

    before, after = weights(start), weights(spans)
    taken = [name for name in after if name.startswith("backbone.")]
    assert taken
    for name in (*taken, "embedding"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    with pytest.raises(ConfigError, match=r"model\.init_from: .* is no language model"):
        trained("lm", "task.name=lm", from_it, dataset=pairs)


def test_what_a_reward_cannot_say_is_named(source, trained, monkeypatch):
    def broken(text, references):
        raise DataError("no dictionary")

    for name, judge, error, message in (
        ("raises", broken, DataError, "no dictionary"),
        ("nan", lambda text, references: math.nan, PluginError, "'judged' gives a text the reward nan: '"),
    ):
        monkeypatch.setattr("lmtool.training.learner.reward_judge", lambda task, registry, judge=judge: Judge(judge))
        with pytest.raises(error, match=message):
            trained(name, *reinforced(source))


def test_a_figure_of_validation_that_is_no_number_is_named(source, trained, monkeypatch):
    class Nothing:
        takes, names, signature = "texts", ("nothing",), ""

        def statistics(self, hypothesis, references):
            return np.ones(1)

        def figures(self, totals):
            return {"nothing": math.nan}

    monkeypatch.setattr("lmtool.training.answer_judges", lambda config, registry: [Nothing()])

    with pytest.raises(PluginError, match="validation gives nothing = nan at step 1"):
        trained("nothing", *SOURCE)


def test_an_optimizer_that_watches_is_told_the_figure_that_is_monitored(source, trained, monkeypatch):
    told = []
    monkeypatch.setattr("lmtool.training.loop.observed", lambda optimizer, state, value: told.append(value) or state)

    run = trained("watched", *reinforced(source))

    lines = map(json.loads, (run.path / "metrics.jsonl").read_text().splitlines())
    validations = [one for one in lines if one["kind"] == "valid"]
    assert told == [-one["reward"] for one in validations]  # the lowest is best
    assert len(told) == 3
