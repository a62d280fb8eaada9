"""Weights that are drawn from a run's posterior: by whom, from what, and what their models say together."""

from __future__ import annotations

import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lmtool.checksums import write_checksums
from lmtool.config import load_config
from lmtool.errors import DataError
from lmtool.incoming import as_documents
from lmtool.posterior import Samples, check_posterior, draw, has_posterior, sampled_classifier, sampled_language_model
from lmtool.run import Run
from lmtool.signals import StopRequest
from lmtool.tasks.stored import by_name
from lmtool.testing.corpus import labelled_dataset
from lmtool.training import train


def with_deviations(run, model, size):
    """The same model with standard deviations of `size`."""
    run.write_model(model, jax.tree.map(lambda leaf: np.full(leaf.shape, size, np.float32), model.params))
    return run


@pytest.fixture(scope="module")
def trained(trainer_in, tmp_path_factory):
    """A run of a small LSTM; not to be written to."""
    run = trainer_in(tmp_path_factory.mktemp("posterior"))("run", "training.max_steps=2")
    return with_deviations(run, run.language_model(), 0.3)


@pytest.fixture(scope="module")
def classifier(registry, tmp_path_factory):
    """A run of a small classifier; not to be written to."""
    folder = tmp_path_factory.mktemp("classifier")
    data = labelled_dataset(folder)
    settings = ("model.channels=4", "model.num_layers=1", "task.embedding_size=4", "training.max_steps=1")
    flags = {"model.name": "cnn", "task.name": "classify"}
    config = load_config(None, registry, flags=flags, overrides=[f'data.path="{data.path}"', *settings])
    run = train(config, data, folder / "run", registry, stop=StopRequest())
    return with_deviations(run, run.classifier(), 0.3)


@pytest.fixture
def copy(trained, tmp_path):
    """A run that may be written to."""
    shutil.copytree(trained.path, tmp_path / "copy")
    return Run.open(tmp_path / "copy")


IDS = np.arange(18, dtype=np.int32).reshape(2, 9)


def scores(model):
    return np.asarray(model.score(IDS, model.initial_state(2))[0], np.float64)


def test_each_sample_is_the_mean_and_noise_of_the_deviations_size():
    mean = {"params": {"a": np.full((200, 100), 5.0, np.float32), "b": np.zeros(7, np.float32)}}
    deviations = {"a": np.full((200, 100), 0.5, np.float32), "b": np.zeros(7, np.float32)}

    drawn = draw(mean, deviations, seed=0, number=0)["params"]

    # the mean of 20,000 draws has a standard error of 0.0035, their standard deviation one of 0.0025
    assert np.mean(drawn["a"]) == pytest.approx(5.0, abs=0.02)
    assert np.std(drawn["a"]) == pytest.approx(0.5, abs=0.015)
    np.testing.assert_array_equal(drawn["b"], 0.0)
    assert drawn["a"].dtype == np.float32


def test_draws_differ_by_seed_and_number_and_not_by_the_other_weights():
    weight, ones = np.zeros(50, np.float32), np.ones(50, np.float32)

    def drawn(seed, number, *others):
        names = ["a", *others]
        return draw({"params": dict.fromkeys(names, weight)}, dict.fromkeys(names, ones), seed=seed, number=number)

    first = drawn(0, 0)["params"]["a"]
    np.testing.assert_array_equal(drawn(0, 0, "b", "aa")["params"]["a"], first)
    for other in (drawn(0, 1)["params"]["a"], drawn(1, 0)["params"]["a"], drawn(0, 0, "b")["params"]["b"]):
        assert not np.isclose(other, first).any()


def test_a_language_models_samples_are_averaged_token_by_token(trained):
    mean = trained.language_model()
    deviations = load_file(trained.path / "model/posterior.safetensors")

    averaged = sampled_language_model(trained, mean, Samples(3, seed=5))

    models = [mean.with_params(draw(mean.params, deviations, seed=5, number=number)) for number in range(3)]
    np.testing.assert_allclose(scores(averaged), np.log(np.mean([np.exp(scores(one)) for one in models], axis=0)))
    assert np.ptp([scores(one) for one in models], axis=0).min() > 1e-4, "the samples differ"
    _, state = averaged.score(IDS, averaged.initial_state(2))
    np.testing.assert_allclose(np.exp(averaged.next_log_probs(state)).sum(axis=1), 1.0, atol=1e-5)


def test_a_classifiers_samples_are_averaged(classifier):
    mean = classifier.classifier()
    deviations = load_file(classifier.path / "model/posterior.safetensors")
    documents = as_documents(classifier.tokenizer, ["The lamp .", "Her sister sold two grey geese .\nThe clock ."])

    averaged = sampled_classifier(classifier, mean, Samples(3, seed=5))

    models = [mean.with_params(draw(mean.params, deviations, seed=5, number=number)) for number in range(3)]
    every = np.exp([one.log_probs(documents) for one in models])
    np.testing.assert_allclose(np.exp(averaged.log_probs(documents)), every.mean(axis=0))
    found = averaged.predictive(documents)
    by_hand = -(every.mean(axis=0) * np.log(every.mean(axis=0))).sum(axis=1), -(every * np.log(every)).sum(axis=2)
    np.testing.assert_allclose(found.entropy, by_hand[0])
    np.testing.assert_allclose(found.mutual_information, by_hand[0] - by_hand[1].mean(axis=0), rtol=1e-6)
    assert (found.mutual_information > 1e-4).all()


def test_without_deviations_samples_say_what_the_mean_says(copy):
    mean = copy.language_model()
    with_deviations(copy, mean, 0.0)

    averaged = sampled_language_model(copy, mean, Samples(4))

    np.testing.assert_allclose(scores(averaged), scores(mean), atol=1e-12)


def test_the_same_seed_gives_the_same_figures_and_another_one_others(trained):
    mean = trained.language_model()

    def found(*samples):
        return scores(sampled_language_model(trained, mean, Samples(*samples)))

    np.testing.assert_array_equal(found(2, 7), found(2, 7))
    assert (found(2, 8) != found(2, 7)).all()


def test_more_samples_compile_nothing_more(trained):
    mean = trained.language_model()
    scores(mean)
    compiled = mean.functions.score._cache_size()

    scores(sampled_language_model(trained, mean, Samples(5)))

    assert mean.functions.score._cache_size() == compiled


# The file -------------------------------------------------------------------------------------------------------------


def rewritten(run, change):
    """The posterior as `change` makes it of what is there, with checksums that fit."""
    path = run.path / "model/posterior.safetensors"
    deviations = load_file(path)
    change(deviations)
    save_file(deviations, path)
    write_checksums(run.path / "model")
    return Run.open(run.path)


def drop(deviations):
    del deviations["output_bias"]


def add(deviations):
    deviations["extra"] = np.ones(2, np.float32)


def cut(deviations):
    deviations["output_bias"] = deviations["output_bias"][:-1]


def negative(deviations):
    deviations["output_bias"][0] = -1


def nan(deviations):
    deviations["output_bias"][0] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, "weight output_bias has shape None"),
        (add, r"weight extra has shape \(2,\), weights.safetensors has None"),
        (cut, "weight output_bias has shape"),
        (negative, "output_bias has a standard deviation that is no number from 0 on"),
        (nan, "output_bias has a standard deviation that is no number from 0 on"),
    ],
)
def test_a_posterior_of_another_model_is_named(copy, change, message):
    run = rewritten(copy, change)

    with pytest.raises(DataError, match=rf"copy/model/posterior\.safetensors: .*{message}"):
        sampled_language_model(run, run.language_model(), Samples(1))


def test_a_damaged_posterior_is_found_when_the_model_is_opened_and_when_it_is_verified(copy):
    path = copy.path / "model/posterior.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    for use in (copy.language_model, copy.verify):
        with pytest.raises(DataError, match=r"posterior\.safetensors is damaged"):
            use()


def test_a_posterior_that_is_no_safetensors_file_is_named(copy):
    (copy.path / "model/posterior.safetensors").write_bytes(b"?" * 100)
    write_checksums(copy.path / "model")

    with pytest.raises(DataError, match=r"cannot read .*posterior\.safetensors"):
        sampled_language_model(copy, copy.language_model(), Samples(1))


def test_a_run_without_a_posterior_says_so(copy):
    copy.write_model(copy.language_model())

    assert not has_posterior(copy)
    with pytest.raises(DataError, match="has no posterior to draw weights from"):
        check_posterior(copy)


def test_names_of_weights_are_those_of_the_model(trained):
    assert has_posterior(trained)
    names = by_name(trained.language_model().params).keys()
    assert load_file(trained.path / "model/posterior.safetensors").keys() == names
