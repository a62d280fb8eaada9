"""Text-to-text models whose weights are drawn from a posterior: what they give texts, and what they answer."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from lmtool.config import load_config
from lmtool.errors import DataError
from lmtool.posterior import Samples, draw, sampled_text_model
from lmtool.settings import DecodingConfig
from lmtool.signals import StopRequest
from lmtool.testing.corpus import answered_dataset
from lmtool.training import train

SMALL = ("task.embedding_size=8", "training.max_steps=20", "training.batch_size=8")
CNN = ("model.channels=8", "model.num_layers=1", "model.causal=false")
RUNS = {
    "seq2seq": ("task.name=seq2seq", "model.name=lstm", "model.hidden_size=8", "task.pointer=true"),
    "span": ("task.name=span", "model.name=cnn", *CNN),
}
SEED, SAMPLES = 5, 3
DECODING = DecodingConfig(beam=2, n_best=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return answered_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", params=list(RUNS))
def run(request, data, registry, tmp_path_factory):
    """A small network without a posterior; each test writes the one it wants."""
    optimizer = ("optimizer.name=vadg", "optimizer.learning_rate=0.3")
    settings = (f'data.path="{data.path}"', *SMALL, *RUNS[request.param], *optimizer)
    config = load_config(None, registry, overrides=settings)
    return train(config, data, tmp_path_factory.mktemp("runs") / "run", registry, stop=StopRequest())


def with_deviations(run, size):
    model = run.text_model()
    run.write_model(model, jax.tree.map(lambda leaf: np.full(leaf.shape, size, np.float32), model.params))
    return model


def pairs(data):
    split = data.split("test")
    return list(split.documents()), list(split.targets())


def test_what_vadg_learned_of_a_text_model_can_be_drawn_from(run, data):
    mean, (documents, targets) = run.text_model(), pairs(data)

    found = sampled_text_model(run, mean, Samples(2)).target_log_probs(documents, targets)

    assert all((one <= 1e-6).all() and np.isfinite(one).all() for one in found)


def test_a_text_has_the_mean_of_the_samples_probabilities(run, data):
    mean, (documents, targets) = with_deviations(run, 0.3), pairs(data)
    deviations = load_file(run.path / "model/posterior.safetensors")

    averaged = sampled_text_model(run, mean, Samples(SAMPLES, seed=SEED))

    models = [mean.with_params(draw(mean.params, deviations, seed=SEED, number=number)) for number in range(SAMPLES)]
    every = [model.target_log_probs(documents, targets) for model in models]
    for i, log_probs in enumerate(averaged.target_log_probs(documents, targets)):
        each = np.exp([one[i] for one in every])
        np.testing.assert_allclose(np.exp(log_probs), each.mean(axis=0), rtol=1e-9)
        assert np.ptp(each, axis=0).max() > 1e-6, "the samples differ"


def test_answers_are_searched_for_by_that_mean(run, data):
    mean, (documents, _) = with_deviations(run, 0.3), pairs(data)

    averaged = sampled_text_model(run, mean, Samples(SAMPLES, seed=SEED))

    answers = averaged.generate(documents, DECODING)
    most = getattr(mean, "known", None)  # of a network that writes; what is longer was cut off, without its end
    whole = [[one for one in some if most is None or len(one.ids) <= most.longest_target] for some in answers]
    flat = [(document, one) for document, some in zip(documents, whole, strict=True) for one in some]
    given = averaged.target_log_probs([document for document, _ in flat], [one.ids for _, one in flat])
    assert len(flat) > len(documents)
    for (_, one), log_probs in zip(flat, given, strict=True):
        assert one.log_prob == pytest.approx(log_probs.sum(), abs=1e-3)


def test_without_deviations_samples_say_and_answer_what_the_mean_does(run, data):
    mean, (documents, targets) = with_deviations(run, 0.0), pairs(data)

    averaged = sampled_text_model(run, mean, Samples(4))

    expected = mean.target_log_probs(documents, targets)
    for one, other in zip(averaged.target_log_probs(documents, targets), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    best, alone = (model.generate(documents, DecodingConfig(beam=1)) for model in (averaged, mean))
    for (one,), (other,) in zip(best, alone, strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)


def test_a_model_that_takes_one_set_of_weights_alone_says_so(run):
    model = with_deviations(run, 0.1)

    class Alone:
        params, with_params = model.params, model.with_params

    with pytest.raises(DataError, match="its model cannot answer by several weights at once"):
        sampled_text_model(run, Alone(), Samples(2))
