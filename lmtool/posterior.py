"""Models whose weights are drawn from what a variational optimizer knows of them, and the average of what they say.

A run's posterior is a Gaussian for each weight, independent of the others: its mean is the model's own weight, its
standard deviation stands in `model/posterior.safetensors`.

References:
    MacKay, "A practical Bayesian framework for backpropagation networks", 1992 (predictions are averaged over the
    posterior); Houlsby et al., "Bayesian active learning for classification and preference learning", 2011 (mutual
    information).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lmtool.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from lmtool.api import (
        Answerer,
        Classifier,
        Document,
        LanguageModel,
        ParametricModel,
        ParametricTextModel,
        TextModel,
    )
    from lmtool.array_types import Stream, StreamLogProbs
    from lmtool.run import Run


@dataclass(frozen=True)
class Samples:
    """How many times weights are drawn, and the seed that decides how."""

    count: int
    seed: int = 0

    def __str__(self) -> str:
        return f"samples:{self.count}"


def parse(text: str, seed: int) -> Samples | None:
    """What `--posterior` and `--seed` say: None for the mean.

    Raises:
        UsageError: for anything else than `mean` and `samples:K`, or a negative seed.

    >>> parse("samples:10", seed=3)
    Samples(count=10, seed=3)
    """
    if seed < 0:
        raise UsageError(f"seed must be at least 0, got {seed}")
    if text == "mean":
        return None
    if not (match := re.fullmatch(r"samples:0*([1-9]\d*)", text, re.ASCII)):
        raise UsageError(f"--posterior must be mean or samples:K, with K from 1 on, got {text}")
    return Samples(int(match[1]), seed)


def has_posterior(run: Run) -> bool:
    """Whether a variational optimizer trained the run's best model, and left its standard deviations."""
    return posterior_file(run).is_file()


def posterior_file(run: Run) -> Path:
    """Where a run's standard deviations stand, if it has any."""
    from lmtool.tasks.files import POSTERIOR

    return run.path / "model" / POSTERIOR


def check_posterior(run: Run) -> None:
    """Raise DataError if the run has none."""
    if not has_posterior(run):
        hint = "a run whose optimizer is variational has one; `--posterior mean` takes any run's weights as they are"
        raise DataError(f"{run.path} has no posterior to draw weights from", hint)


def sampled_language_model(run: Run, model: LanguageModel, samples: Samples) -> SampledLanguageModel:
    """The average of language models whose weights are drawn from the run's posterior.

    Args:
        run: Whose model it is.
        model: Its weights are the mean.
        samples: So many sets of weights are kept in memory at once.

    Raises:
        DataError: if there is no posterior, or its file is damaged or another model's.
    """
    return SampledLanguageModel(_draws(run, model, samples))


def sampled_classifier(run: Run, model: Classifier, samples: Samples) -> SampledClassifier:
    """As `sampled_language_model`, of a classifier."""
    return SampledClassifier(_draws(run, model, samples))


def sampled_text_model(run: Run, model: Answerer, samples: Samples) -> SampledTextModel:
    """As `sampled_language_model`, of a text-to-text model."""
    check_posterior(run)
    if not hasattr(model, "averaged"):
        raise DataError(f"{run.path} has a posterior, but its model cannot answer by several weights at once")
    draws = _draws(run, model, samples)
    together = cast("ParametricTextModel", model).averaged([one.params for one in draws])
    return SampledTextModel(draws, together)


def _draws(run: Run, model: Any, samples: Samples) -> list[Any]:
    from lmtool.tasks import stored

    check_posterior(run)
    if not hasattr(model, "with_params"):
        raise DataError(f"{run.path} has a posterior, but its model takes no other weights than its own")
    parametric = cast("ParametricModel", model)
    deviations = stored.read_posterior(posterior_file(run).parent, parametric.params)
    return [
        parametric.with_params(draw(parametric.params, deviations, seed=samples.seed, number=number))
        for number in range(samples.count)
    ]


def draw(params: Any, deviations: Mapping[str, np.ndarray], *, seed: int, number: int) -> Any:
    """Weights from N(params, deviations²), float32: a pure function of the arguments.

    Args:
        params: The mean, `{"params": …}`.
        deviations: By the weight's name, in its shape.
        seed: One for all samples.
        number: Of the sample. Each weight's name has a stream of its own, so that none changes with the others.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from lmtool.tasks import stored

    def drawn(name: str, mean: np.ndarray) -> Any:
        stream = np.random.SeedSequence(seed, spawn_key=(number, *name.encode()))
        noise = np.random.Generator(np.random.PCG64(stream)).standard_normal(mean.shape, np.float32)
        return jnp.asarray(mean + deviations[name] * noise)

    named = stored.by_name(jax.device_get(params))
    return stored.of_names({name: drawn(name, mean) for name, mean in named.items()})


class SampledLanguageModel:
    """See `lmtool.api.LanguageModel`: each next-token distribution is the average of those that the samples give.

    Each sample has a state of its own. What was read does not make some samples count for more than others.
    """

    def __init__(self, samples: Sequence[LanguageModel]) -> None:
        self.samples = tuple(samples)
        self.vocab_size, self.stateful = self.samples[0].vocab_size, self.samples[0].stateful

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        return tuple(one.initial_state(batch_size) for one in self.samples)

    def score(self, ids: np.ndarray, state: tuple[Any, ...]) -> tuple[np.ndarray, tuple[Any, ...]]:
        scored = [one.score(ids, own) for one, own in zip(self.samples, state, strict=True)]
        return log_mean(log_probs for log_probs, _ in scored), tuple(own for _, own in scored)

    def next_log_probs(self, state: tuple[Any, ...]) -> np.ndarray:
        return log_mean(one.next_log_probs(own) for one, own in zip(self.samples, state, strict=True))

    @property
    def num_bytes(self) -> int:
        """Of the samples' weights, all of which are in memory at once."""
        return _num_bytes(self.samples)

    def save(self, folder: Path) -> None:
        raise NotImplementedError("samples are drawn anew from the run that they come from")


class Predictive(NamedTuple):
    """What the samples of a classifier say of D documents."""

    log_probs: np.ndarray
    """float64 [D, C], nats, of the average over samples."""
    entropy: np.ndarray
    """float64 [D], nats: of that average; where there may be several labels, the sum over labels."""
    mutual_information: np.ndarray
    """float64 [D], nats, 0 at least: `entropy` less the mean of the samples' own entropies. How much of the entropy is
    there because the weights are not known."""


class SampledClassifier:
    """See `lmtool.api.Classifier`: its probabilities are the average of those that the samples give."""

    def __init__(self, samples: Sequence[Classifier]) -> None:
        self.samples = tuple(samples)
        first = self.samples[0]
        self.vocab_size, self.labels, self.multi_label = first.vocab_size, first.labels, first.multi_label

    def log_probs(self, documents: Sequence[Document]) -> np.ndarray:
        return log_mean(one.log_probs(documents) for one in self.samples)

    def predictive(self, documents: Sequence[Document]) -> Predictive:
        """As `log_probs`, and how sure that is. Memory does not depend on the number of samples."""
        import numpy as np

        entropies = np.zeros(len(documents))

        def every() -> Iterable[np.ndarray]:
            nonlocal entropies
            for one in self.samples:
                log_probs = np.asarray(one.log_probs(documents), np.float64)
                entropies = entropies + entropy(log_probs, multi_label=self.multi_label)
                yield log_probs

        average = log_mean(every())
        whole = entropy(average, multi_label=self.multi_label)
        return Predictive(average, whole, np.maximum(0.0, whole - entropies / len(self.samples)))

    @property
    def num_bytes(self) -> int:
        """Of the samples' weights, all of which are in memory at once."""
        return _num_bytes(self.samples)

    def save(self, folder: Path) -> None:
        raise NotImplementedError("samples are drawn anew from the run that they come from")


class SampledTextModel:
    """See `lmtool.api.TextModel`: each next token has the average of the probabilities that the samples give.

    Args:
        samples: What each says of a text.
        together: What answers by all of them; see `lmtool.api.ParametricTextModel.averaged`.
    """

    def __init__(self, samples: Sequence[TextModel], together: Answerer) -> None:
        self.samples, self.generate = tuple(samples), together.generate
        self.vocab_size, self.target_vocab_size = together.vocab_size, together.target_vocab_size

    def target_log_probs(self, documents: Sequence[Document], targets: Sequence[Stream]) -> list[StreamLogProbs]:
        every = [one.target_log_probs(documents, targets) for one in self.samples]
        return [log_mean(some) for some in zip(*every, strict=True)]

    @property
    def num_bytes(self) -> int:
        """Of the samples' weights, all of which are in memory at once."""
        return _num_bytes(self.samples)

    def save(self, folder: Path) -> None:
        raise NotImplementedError("samples are drawn anew from the run that they come from")


def _num_bytes(samples: Sequence[Any]) -> int:
    import jax

    return sum(leaf.nbytes for one in samples for leaf in jax.tree.leaves(one.params))


def log_mean(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """ln of the mean of probabilities, given as their logarithms: float64, two arrays in memory at a time.

    >>> import numpy as np
    >>> float(np.exp(log_mean([np.log(0.2), np.log(0.6)])).round(6))
    0.4
    """
    import numpy as np

    total, count = None, 0
    for array in arrays:
        array = np.asarray(array, np.float64)
        total = array if total is None else np.logaddexp(total, array)
        count += 1
    if total is None:
        raise ValueError("there is nothing to take the mean of")
    mean: np.ndarray = total - math.log(count)
    return mean


def entropy(log_probs: np.ndarray, *, multi_label: bool) -> np.ndarray:
    """float64 [D], nats: of distributions over classes [D, C]; with `multi_label` the sum over independent labels."""
    import numpy as np

    log_probs = np.minimum(log_probs, 0.0)  # rounding may leave ln p a little above zero
    entropies = _plogp(log_probs)
    if multi_label:
        with np.errstate(divide="ignore"):  # a label that is sure
            entropies = entropies + _plogp(np.log(-np.expm1(log_probs)))
    return np.asarray(0.0 - entropies.sum(axis=1))


def _plogp(log_probs: np.ndarray) -> np.ndarray:
    """p ln p, 0 for p = 0."""
    import numpy as np

    products: np.ndarray = np.exp(log_probs) * np.where(np.isneginf(log_probs), 0.0, log_probs)
    return products


__all__ = [
    "Predictive",
    "SampledClassifier",
    "SampledLanguageModel",
    "SampledTextModel",
    "Samples",
    "check_posterior",
    "draw",
    "entropy",
    "has_posterior",
    "log_mean",
    "parse",
    "posterior_file",
    "sampled_classifier",
    "sampled_language_model",
    "sampled_text_model",
]
