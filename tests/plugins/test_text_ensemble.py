"""Networks that write together: by the answerers' battery, and by what they are made of."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

from lmtool.config import load_config
from lmtool.errors import ConfigError
from lmtool.registry import Registry
from lmtool.run import Run
from lmtool.settings import DecodingConfig
from lmtool.signals import StopRequest
from lmtool.testing import checks
from lmtool.testing.corpus import answered_dataset
from lmtool.training import train

SMALL = ("task.embedding_size=8", "training.max_steps=20", "training.batch_size=8", "optimizer.learning_rate=0.03")
MEMBERS = {
    "lstm": ("model.name=lstm", "model.hidden_size=8"),
    "cnn": ("model.name=cnn", "model.channels=8", "model.num_layers=1", "model.kernel_size=2", "task.positions=20"),
    "blind": ("model.name=lstm", "model.hidden_size=8", "task.attention=none"),
    "copies": ("model.name=lstm", "model.hidden_size=8", "task.pointer=true"),
    "short": ("model.name=lstm", "model.hidden_size=8", "task.max_source_length=5"),
    "spans": ("task.name=span", "model.name=cnn", "model.channels=8", "model.num_layers=1", "model.causal=false"),
    "lead": ("model.name=lead",),
}
ENSEMBLES = {"unlike": ["cnn", "copies", "lstm"], "some-blind": ["blind", "lstm"]}
REGISTRY = Registry(third_party=False)


@functools.cache
def dataset():
    """That of the kit, whose tokenizer members must have."""
    return answered_dataset(Path(tempfile.mkdtemp()))


@functools.cache
def member(name):
    """The path of a run; trained once."""
    usual = () if name == "lead" else SMALL
    return str(trained(*usual, *MEMBERS[name]).path)


def trained(*settings):
    settings = [f'data.path="{dataset().path}"', "task.name=seq2seq", *settings]
    config = load_config(None, REGISTRY, overrides=settings)
    return train(config, dataset(), Path(tempfile.mkdtemp()) / "run", REGISTRY, stop=StopRequest())


def ensemble(*names):
    runs = ", ".join(f'"{member(name)}"' for name in names)
    return trained("model.name=text-ensemble", f"model.runs=[{runs}]")


def documents():
    split = dataset().split("test")
    return list(split.documents()), list(split.targets())


@pytest.mark.parametrize("label", sorted(checks("model", "text-ensemble", {"runs": ["any", "other"]})))
def test_an_ensemble_has_every_property_of_an_answerer(label):
    checks("model", "text-ensemble", {"runs": [member("cnn"), member("lstm")]})[label]()


@pytest.mark.parametrize("name", ENSEMBLES)
def test_a_token_has_the_mean_of_the_members_probabilities(name):
    texts, targets = documents()
    models = [Run.open(member(one)).text_model() for one in ENSEMBLES[name]]

    found = ensemble(*ENSEMBLES[name]).text_model().target_log_probs(texts, targets)

    for i, log_probs in enumerate(found):
        each = [np.exp(model.target_log_probs([texts[i]], [targets[i]])[0]) for model in models]
        np.testing.assert_allclose(np.exp(log_probs), np.mean(each, axis=0), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_what_an_answer_is_worth_is_what_it_is_given_as_a_target(name):
    model, (texts, _) = ensemble(*ENSEMBLES[name]).text_model(), documents()
    answers = [some[0] for some in model.generate(texts, DecodingConfig(beam=3))]
    whole = [len(one.ids) <= model.known.longest_target for one in answers]  # a longer one was cut off, without its end

    given = model.target_log_probs(texts, [one.ids for one in answers])

    assert any(whole)
    for one, log_probs, has_end in zip(answers, given, whole, strict=True):
        assert one.log_prob == pytest.approx(log_probs.sum() if has_end else log_probs[:-1].sum(), abs=1e-3)
    attends = "blind" not in ENSEMBLES[name]
    assert all((one.sources is not None) == attends for one in answers)


def test_a_run_beside_itself_answers_as_it_does_alone():
    texts, _ = documents()
    alone, twice = Run.open(member("lstm")).text_model(), ensemble("lstm", "lstm").text_model()

    one, two = (model.generate(texts, DecodingConfig(beam=1)) for model in (alone, twice))

    for (first,), (second,) in zip(one, two, strict=True):
        assert first.ids.tolist() == second.ids.tolist()
        assert first.log_prob == pytest.approx(second.log_prob, abs=1e-4)


def test_a_run_of_members_is_whole_without_theirs(tmp_path):
    run = ensemble("cnn", "lstm")
    texts, targets = documents()
    expected = run.text_model().target_log_probs(texts, targets)
    moved = run.path.rename(tmp_path / "moved")

    found = Run.open(moved).text_model().target_log_probs(texts, targets)

    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
    assert {path.name for path in (moved / "model").iterdir()} >= {"ensemble.json", "member-0", "member-1"}
    assert run.result["valid_loss"] > 0


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["lstm", "short"], r"task\.max_source_length of .* is 5, of .* 400"),
        (["lstm", "spans"], "is no network that writes token by token"),
        (["lead", "lstm"], "is no network that writes token by token"),
    ],
)
def test_members_that_do_not_go_together_are_refused(names, message):
    with pytest.raises(ConfigError, match=message):
        ensemble(*names)


def test_members_of_other_tokenizers_are_refused(tmp_path):
    other = answered_dataset(tmp_path, "char")
    runs = f'model.runs=["{member("lstm")}", "{member("cnn")}"]'
    overrides = [f'data.path="{other.path}"', "task.name=seq2seq", "model.name=text-ensemble", runs]
    config = load_config(None, REGISTRY, overrides=overrides)
    with pytest.raises(ConfigError, match=r"model\.runs: .* has another tokenizer than"):
        train(config, other, tmp_path / "run", REGISTRY, stop=StopRequest())
