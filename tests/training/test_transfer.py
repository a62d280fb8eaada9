"""`model.init_from`: what is taken of the other run, what must agree, and what is remembered of it."""

from __future__ import annotations

import shutil
import tomllib
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from lmtool.config import DataConfig, load_config
from lmtool.data.of_config import dataset_of
from lmtool.data.prepare import build, make_plan
from lmtool.data.tokenizer_folder import open_tokenizer
from lmtool.errors import ConfigError, DataError, Interrupted
from lmtool.run import Run
from lmtool.tasks.classify.config import ClassifyConfig
from lmtool.tasks.classify.network import ClassifierNetwork
from lmtool.tasks.lm import LanguageModelling
from lmtool.testing.corpus import TINY_TEXT, labelled_dataset, tiny_dataset
from lmtool.training import train
from lmtool.training.transfer import embedding_table, starting_point, transferred
from lmtool_cnn.backbone import CNN
from lmtool_cnn.config import CNNConfig
from lmtool_lstm.backbone import LSTM
from lmtool_lstm.config import LSTMConfig

ADAPTIVE = ("task.softmax=adaptive", "task.cutoffs=[7, 19]", "task.embedding_size=10")
SOFTMAXES = {
    "full": ("task.embedding_size=10",),
    "sampled": ("task.softmax=sampled", "task.num_samples=9", "task.embedding_size=10"),
    "adaptive": ADAPTIVE,
    "adaptive-untied": (*ADAPTIVE, "task.tied=false"),
}


@pytest.fixture(scope="module")
def sources(trainer_in, tmp_path_factory):
    """A language model of each softmax, trained once: name to run."""
    trainer = trainer_in(tmp_path_factory.mktemp("sources"))
    made = {}

    def source(name):
        made[name] = made.get(name) or trainer(name, *SOFTMAXES[name])
        return made[name]

    return source


@pytest.fixture
def fine_tuned(trainer, registry):
    """Train a run that starts from another."""

    def start(name, source, *overrides, dataset=None, **options):
        dataset = dataset or trainer.dataset
        settings = ["training.batch_size=4", "training.bptt=16", *overrides]
        flags = {"model.init_from": str(source.path), "data.path": str(dataset.path)}
        config = load_config(None, registry, flags=flags, overrides=settings)
        return train(config, dataset, trainer.folder / name, registry, stop=trainer.stop, **options)

    return start


HARDLY = ("training.max_steps=1", "optimizer.name=sgd", "optimizer.learning_rate=1e-30")
"""A step that changes nothing, so that the best model is what training started from."""


def weights_of(run):
    return load_file(run.path / "model/weights.safetensors")


def classifier(backbone, vocab_size, **settings):
    return ClassifierNetwork(ClassifyConfig(embedding_size=10, **settings), vocab_size, 3, backbone)


def fresh_params(network, seed):
    return jax.jit(network.init_params)(jax.random.key(seed))


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_an_embedding_table_holds_what_the_network_reads_for_each_id(softmax, trainer, dataset):
    config = trainer.config(*SOFTMAXES[softmax])
    task = LanguageModelling(
        config.task.config, dataset=dataset, backbone=LSTM(LSTMConfig(hidden_size=4)), training=config.training
    )
    source = task.predictor(jax.jit(task.init)(jax.random.key(0)))
    weights = source.params["params"] | task.output.constants()

    if softmax == "adaptive":  # by rank: 7 in the head, 12 in a tail of size 10/4, the others in one of 10/16
        ranked = [weights["embedding_0"], *(weights[f"embedding_{i}"] @ weights[f"projection_{i}"] for i in (1, 2))]
        expected = np.concatenate(ranked)[weights["ranks"]]
    elif softmax == "adaptive-untied":
        expected = weights["embedding"][weights["ranks"]]
    else:
        expected = weights["embedding"]

    np.testing.assert_allclose(embedding_table(source), expected, rtol=1e-5, atol=1e-6)


def test_a_classifier_gets_backbone_and_embedding_and_keeps_its_own_head(sources):
    source = sources("full").language_model()
    fresh = fresh_params(classifier(LSTM(LSTMConfig(hidden_size=12)), source.vocab_size), 1)

    after = transferred(fresh, source, "runs/lm")["params"]

    assert jax.tree.structure(after) == jax.tree.structure(fresh["params"])
    for name, part in after.items():
        taken = source.params["params"] if name in ("backbone", "embedding") else fresh["params"]
        assert jax.tree.all(jax.tree.map(np.array_equal, part, taken[name])), name


def test_a_classifier_that_starts_from_another_gets_the_same_parts():
    networks = [classifier(CNN(CNNConfig(channels=8, num_layers=1)), 20) for _ in range(2)]
    params = [fresh_params(network, number) for number, network in enumerate(networks)]

    class Source:
        functions = type("Functions", (), {"network": networks[0]})

    Source.params = params[0]
    after = transferred(params[1], Source, "runs/other")["params"]

    assert np.array_equal(after["embedding"], params[0]["params"]["embedding"])
    assert jax.tree.all(jax.tree.map(np.array_equal, after["backbone"], params[0]["params"]["backbone"]))
    assert jax.tree.all(jax.tree.map(np.array_equal, after["head"], params[1]["params"]["head"]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 13}, r"backbone.layer_0_bias is \[48\] in runs/lm, \[52\] here"),
        ({"hidden_size": 12, "num_layers": 2}, "backbone.layer_1_bias is missing in runs/lm, "),
        ({"hidden_size": 12, "layer_norm": True}, "backbone.layer_0_norm.bias is missing in runs/lm, "),
        ({"hidden_size": 12, "bidirectional": True}, "backbone.layer_0_backward_bias is missing in runs/lm, "),
    ],
)
def test_a_backbone_of_another_shape_is_refused(settings, message, sources):
    source = sources("full").language_model()
    fresh = fresh_params(classifier(LSTM(LSTMConfig(**settings)), source.vocab_size), 1)

    with pytest.raises(ConfigError, match=f"model.init_from: weight {message}") as caught:
        transferred(fresh, source, "runs/lm")
    assert caught.value.hint == "leave model.name and its settings out: they are then those of runs/lm"


# Language models ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_text(dataset, tmp_path_factory, registry):
    """The same tokenizer, other text: tokens are ranked otherwise."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "a.txt").write_text(TINY_TEXT[:3000].replace("e", "yy") + "zzzz\n" * 50, encoding="utf-8")
    plan = make_plan(
        DataConfig(train=[str(folder / "a.txt")], valid=[str(folder / "a.txt")]),
        None,
        registry,
        ready=open_tokenizer(dataset.path, registry),
    )
    return build(plan, folder / "dataset")


def test_a_language_model_goes_on_where_the_other_stood(sources, fine_tuned, other_text):
    source = sources("adaptive")
    settings = [one for one in ADAPTIVE if "embedding_size" not in one]

    run = fine_tuned("tuned", source, *settings, *HARDLY, dataset=other_text)

    before, after = weights_of(source), weights_of(run)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)  # the ranks of the first text, too
    assert run.config["task"]["embedding_size"] == 10
    ids = np.arange(12)[None] % source.language_model().vocab_size
    scores = [one.language_model() for one in (source, run)]
    scores = [one.score(ids, one.initial_state(1))[0] for one in scores]
    assert np.array_equal(*scores)


def test_an_interrupted_run_resumes_to_the_same_bits_and_notices_other_weights(
    sources, fine_tuned, trainer, tmp_path, registry
):
    source = Run.open(shutil.copytree(sources("full").path, tmp_path / "source"), registry)
    settings = ["training.max_steps=6", "training.eval_every=2", "training.checkpoint_every=2"]
    whole = fine_tuned("whole", source, *settings)
    with pytest.raises(Interrupted):
        fine_tuned("again", source, *settings, report=trainer.stop_when("validating", 2))
    trainer.stop.signal_name = None
    resumed = fine_tuned("again", source, *settings)

    first, second = weights_of(whole), weights_of(resumed)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert whole.record["init_from"]["run"] == str(source.path)

    file = source.path / "model/weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ConfigError, match="again was begun with other weights of"):
        fine_tuned("again", source, *settings)


def test_a_trained_run_needs_the_other_no_more(sources, fine_tuned, tmp_path, registry):
    source = Run.open(shutil.copytree(sources("full").path, tmp_path / "source"), registry)
    run = fine_tuned("tuned", source, *HARDLY)
    shutil.rmtree(source.path)

    again = Run.open(run.path, registry)

    assert again.language_model().vocab_size == sources("full").language_model().vocab_size
    assert load_config(run.path / "config.toml", registry).to_dict() == again.config


def test_a_run_does_not_start_from_itself(sources, fine_tuned):
    run = fine_tuned("tuned", sources("full"), *HARDLY)

    with pytest.raises(ConfigError, match="cannot start from its own weights"):
        fine_tuned("tuned", run, *HARDLY, force=True)
    assert (run.path / "model").is_dir()


def test_ids_of_another_tokenizer_are_refused(sources, fine_tuned, tmp_path):
    with pytest.raises(DataError, match="were written with another tokenizer than that of") as caught:
        fine_tuned("tuned", sources("full"), dataset=tiny_dataset(tmp_path, "byte"))
    assert caught.value.hint.startswith(f"`lmtool tokenize --with {sources('full').path} --train FILE")


# What it has seen -----------------------------------------------------------------------------------------------------


def test_that_it_learned_the_text_to_validate_on_is_said(sources, tmp_path, registry, caplog):
    source = sources("full")
    learned = source.learned_dataset()
    file = learned.record["splits"]["train"]["sources"][0]["name"]
    other = tmp_path / "other.txt"
    other.write_text("Nothing of it .\n" * 9)

    def warned(**data):
        plan = make_plan(DataConfig(**data), None, registry, ready=open_tokenizer(source.path, registry))
        caplog.clear()
        dataset = build(plan, tmp_path / plan.key[:8])
        starting_point(SimpleNamespace(init_from=str(source.path), encoder=None), object(), registry, dataset)
        return [record.getMessage() for record in caplog.records]

    expected = f"{source.path} has learned from {file}, of which the valid text here is a part"
    assert warned(train=[str(other)], valid=[file]) == [expected]
    assert warned(train=[str(other)], test=[file]) == [expected.replace("valid", "test")]
    assert warned(train=[file], valid=[str(other)]) == []


# Config ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def configured(sources, registry):
    """A config that starts from the run with the full softmax."""

    def load(*overrides, **flags):
        source = f'model.init_from="{sources("full").path}"'
        return load_config(None, registry, flags=flags, overrides=["data.train=['a.txt']", source, *overrides])

    return load


def test_the_model_is_that_of_the_run_unless_one_is_named(configured, sources):
    assert configured().model.config.hidden_size == 12
    assert configured().task.config.embedding_size == 10
    changed = configured("model.dropout=0.25", "task.embedding_size=11")
    assert (changed.model.name, changed.model.config.hidden_size, changed.model.config.dropout) == ("lstm", 12, 0.25)
    assert changed.task.config.embedding_size == 11
    named = configured(**{"model.name": "lstm"})
    assert named.model.config == LSTMConfig()
    assert configured("task.name=classify").task.config.embedding_size == 10
    written = tomllib.loads(changed.to_toml())
    assert written["model"]["init_from"] == str(sources("full").path)
    assert "tokenizer" not in written


def test_a_run_that_started_from_another_may_be_started_from(sources, fine_tuned):
    second = fine_tuned("second", sources("full"), *HARDLY)
    third = fine_tuned("third", second, *HARDLY)

    assert third.config["model"]["init_from"] == str(second.path)
    assert np.array_equal(weights_of(third)["embedding"], weights_of(sources("full"))["embedding"])


def test_raw_text_is_read_with_the_tokenizer_of_the_run(configured, sources, registry, tmp_path):
    (tmp_path / "a.txt").write_text("a letter ~\n")

    dataset = dataset_of(configured(f"data.train=['{tmp_path / 'a.txt'}']"), registry, lambda phase, fraction: None)

    assert dataset.fingerprint == sources("full").dataset_fingerprint


def test_a_tokenizer_may_be_named_if_it_is_the_same(configured):
    assert configured(**{"tokenizer.name": "char"}).tokenizer is None
    with pytest.raises(ConfigError, match=r"tokenizer 'byte' is not that of .*, 'char'") as caught:
        configured(**{"tokenizer.name": "byte"})
    assert caught.value.hint == "leave [tokenizer] out: model.init_from brings it"


def test_what_cannot_be_started_from_is_said(configured, registry, sources, tmp_path):
    def error(*overrides):
        with pytest.raises((ConfigError, DataError)) as caught:
            load_config(None, registry, overrides=overrides)
        return caught.value.message

    assert error("model.init_from=3") == "--set model.init_from=3: model.init_from must be a run folder, got 3"
    assert error("model.init_from=nowhere") == "model.init_from: no run nowhere"
    (tmp_path / "empty").mkdir()
    assert error(f"model.init_from={tmp_path}/empty").endswith("empty is not a run: it has no run.json")
    source = sources("full").path
    assert error("model.name=ngram", f"model.init_from={source}").endswith(
        f"model 'ngram' is counted: it has no weights to start from {source} with"
    )
    assert error("task.name=classify", "task.vectors=glove.txt", f"model.init_from={source}").endswith(
        "task.vectors and model.init_from both say how the embedding begins"
    )
    copy = shutil.copytree(source, tmp_path / "copy")
    shutil.rmtree(copy / "model")
    assert error(f"model.init_from={copy}") == f"{copy} has no model yet"


# Classifiers ----------------------------------------------------------------------------------------------------------

CLASSIFY = (
    "task.name=classify",
    "task.max_padding=0.9",
    "training.max_steps=9",
    "training.eval_every=3",
    "training.checkpoint_every=3",
    "training.batch_size=80",
    "training.layer_decay=0.5",
    "training.unfreeze_every=1",
    "training.freeze=['embedding']",
    "training.augment=['delete', {name='unk', rate=0.3}]",
)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return labelled_dataset(tmp_path_factory.mktemp("labelled"))


@pytest.mark.parametrize("model", ["lstm", "cnn"])
def test_a_classifier_is_fine_tuned_layer_by_layer_and_resumes_to_the_same_bits(
    model, labelled, fine_tuned, trainer, registry
):
    size = {"lstm": "model.hidden_size=12", "cnn": "model.channels=12"}[model]
    settings = [size, "training.max_steps=4", "training.batch_size=4"]
    flags = {"model.name": model, "model.num_layers": 2, "data.path": str(labelled.path)}
    config = load_config(None, registry, flags=flags, overrides=settings)
    source = train(config, labelled, trainer.folder / "lm", registry, stop=trainer.stop)

    whole = fine_tuned("whole", source, *CLASSIFY, dataset=labelled)
    with pytest.raises(Interrupted):
        fine_tuned("again", source, *CLASSIFY, dataset=labelled, report=trainer.stop_when("validating", 3))
    trainer.stop.signal_name = None
    resumed = fine_tuned("again", source, *CLASSIFY, dataset=labelled)
    begun = fine_tuned("begun", source, *CLASSIFY, "training.max_steps=3", dataset=labelled)

    before, after, again, first = map(weights_of, (source, whole, resumed, begun))
    assert all(np.array_equal(after[name], again[name]) for name in after)
    assert np.array_equal(before["embedding"], after["embedding"])  # frozen
    # an epoch has 3 batches at most: the head alone at first, one more layer after each
    lowest = [name for name in before if name.startswith("backbone.layer_0")]
    assert all(np.array_equal(before[name], first[name]) for name in lowest)
    assert not np.array_equal(first["head.kernel"], after["head.kernel"])
    assert Run.open(whole.path, registry).classifier().labels == labelled.label_names
