"""`training.evaluators` and `training.monitor` of text-to-text models: any figure of answers picks the best model."""

from __future__ import annotations

import json

import pytest
from text_pairs import dataset_of, reversed_words

from lmtool.config import load_config
from lmtool.errors import ConfigError, Interrupted
from lmtool.evaluation import make_evaluators
from lmtool.evaluation.answers import AnswerText
from lmtool.evaluation.texts import evaluate_texts
from lmtool.settings import DecodingConfig, EvaluationConfig
from lmtool.signals import StopRequest
from lmtool.training import train
from lmtool.training.judges import check_judges

SETTINGS = ("task.name=seq2seq", "model.name=cnn", "model.channels=8", "model.kernel_size=2", "model.num_layers=1",
            "task.embedding_size=8", "task.max_padding=0.9", "training.batch_size=4", "training.max_steps=4",
            "training.eval_every=1", "training.checkpoint_every=1", "optimizer.learning_rate=0.1",
            'training.evaluators=["answers"]', "training.monitor=f1")  # fmt: skip


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    records = {"train": reversed_words(20), "valid": reversed_words(7, seed=1)}
    return dataset_of(tmp_path_factory.mktemp("pairs"), records)


@pytest.fixture
def config_of(pairs, registry):
    def load(*settings, without=()):
        usual = [one for one in SETTINGS if not one.startswith(tuple(without))]
        return load_config(None, registry, overrides=[f'data.path="{pairs.path}"', *usual, *settings])

    return load


@pytest.fixture
def trained(tmp_path, pairs, registry, config_of):
    """Train a run; another call with its name goes on with it. `stop_at` is the number of a validation."""

    def start(name, *settings, stop_at=0):
        stop, seen = StopRequest(), []

        def report(phase, fraction, **fields):
            seen.append(phase)
            if stop_at and phase == "validating" and seen.count(phase) == stop_at:
                stop.signal_name = "SIGTERM"

        return train(config_of(*settings), pairs, tmp_path / name, registry, stop=stop, report=report)

    return start


def validations(run):
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    return [{key: one[key] for key in one if key != "timing"} for one in lines if one["kind"] == "valid"]


def test_the_best_model_is_the_one_with_the_highest_figure_of_its_greedy_answers(trained, pairs, registry):
    run = trained("run")
    found = validations(run)
    best = max(found, key=lambda one: one["f1"])  # the first of equals

    assert len(found) == 4
    assert all({"loss", "token_perplexity", "f1", "exact_match"} <= one.keys() for one in found)
    assert (run.result["step"], run.result["valid_f1"]) == (best["step"], best["f1"])
    evaluators = make_evaluators(EvaluationConfig(evaluators=["answers"]), registry, takes="texts")
    spelled = AnswerText(pairs.tokenizer, pairs.target_tokenizer)
    valid, greedy = pairs.split("valid"), DecodingConfig(beam=1)
    metrics = evaluate_texts(run.text_model(), valid, evaluators, spelled, greedy).metrics
    assert metrics["f1"].value == best["f1"]
    assert metrics["nats_per_token"].value == pytest.approx(best["loss"], rel=1e-6)


def test_a_stopped_run_goes_on_with_the_same_evaluators_to_the_same_figures(trained):
    whole = trained("whole")
    with pytest.raises(Interrupted):
        trained("stopped", stop_at=2)
    with pytest.raises(
        ConfigError, match=r"begun with training\.evaluators \['answers'\], now it is \['chrf', 'answers'\]"
    ):
        trained("stopped", 'training.evaluators=["chrf", "answers"]')
    again = trained("stopped")

    assert validations(again) == validations(whole)
    assert ("evaluator", "answers") in {(one["kind"], one["name"]) for one in whole.components}


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (["training.monitor=bleu"],
         r"training\.monitor must be one of loss, token_perplexity, f1, exact_match, got 'bleu'"),
        (['training.evaluators=["bleu", "bleu"]'], r"training\.evaluators: two of them give 'bleu'"),
        (['training.evaluators=["perplexity"]'], r"training\.evaluators: 'perplexity' takes tokens"),
        (["task.name=lm", "training.monitor=loss"], r"training\.evaluators judge answers, and task 'lm' gives tokens"),
    ],
)  # fmt: skip
def test_what_cannot_be_monitored_is_refused_before_there_is_a_run(config_of, registry, settings, what):
    dropped = ("task.max_padding",) if "task.name=lm" in settings else ()
    config = config_of(*settings, without=dropped)
    with pytest.raises(ConfigError, match=what):
        check_judges(config, registry)


def test_what_waits_for_validations_is_said_where_there_are_none(tmp_path, registry):
    alone = dataset_of(tmp_path / "alone", {"train": reversed_words(4)})
    config = load_config(None, registry, overrides=[f'data.path="{alone.path}"', *SETTINGS, "training.max_steps=1"])
    said = []

    train(config, alone, tmp_path / "run", registry, stop=StopRequest(), warn=said.append)

    assert said[0].startswith("training.monitor and training.evaluators will change nothing: there is no validation")


def test_counted_models_are_not_validated_by_answers(pairs, registry):
    settings = ["task.name=seq2seq", "model.name=lead", 'training.evaluators=["answers"]']
    with pytest.raises(ConfigError, match=r"training\.evaluators has no use: model 'lead' is counted"):
        load_config(None, registry, overrides=[f'data.path="{pairs.path}"', *settings])


def test_rewards_and_figures_of_evaluators_may_both_be_monitored(trained, config_of, registry):
    start = f'model.init_from="{trained("start").path}"'
    rewards = ("task.name=reinforce", start, "task.reward=chrf", "task.max_length=3", "training.max_steps=1")
    names = {"kind", "step", "epoch", "loss", "token_perplexity", "reward", "f1", "exact_match"}

    for monitor in ("f1", "reward"):
        run = trained(monitor, *rewards, f"training.monitor={monitor}")
        assert validations(run)[0].keys() == names
    with pytest.raises(ConfigError, match="must be one of loss, token_perplexity, f1, exact_match, got 'reward'"):
        check_judges(config_of("training.monitor=reward"), registry)
