"""Perplexity: figures that can be worked out by hand, and the properties of every evaluator."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.api import Metric, TokenPredictions
from lmtool.testing import conformance
from lmtool_evaluators.config import PerplexityConfig
from lmtool_evaluators.perplexity import Perplexity
from lmtool_evaluators.ratio import RatioSums


@conformance("evaluator", "perplexity")
def test_perplexity_has_every_property_of_an_evaluator(check):
    check()


def evaluate(*pieces: TokenPredictions) -> dict[str, Metric]:
    evaluator = Perplexity(PerplexityConfig())
    state = evaluator.init()
    for piece in pieces:
        state = evaluator.update(state, piece)
    return evaluator.compute(state)


def predictions(lines: list[list[float]], *, unknown: tuple[int, ...] = (), unit: str = "word", **counts: int):
    """Lines of nats, the end of each line last; `unknown` are positions in the whole."""
    tokens = [nats for line in lines for nats in line]
    counted = {"num_words": len(tokens) - len(lines), "num_bytes": 5 * len(tokens), "num_lines": len(lines)} | counts
    return TokenPredictions(
        log_probs=-np.array(tokens),
        is_unknown=np.isin(np.arange(len(tokens)), unknown),
        line=np.repeat(np.arange(len(lines)), [len(line) for line in lines]),
        token_unit=unit,
        **counted,
    )


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary():
    nats = math.log(50)

    metrics = evaluate(predictions([[nats] * 3, [nats] * 7]))

    assert metrics["token_perplexity"].value == pytest.approx(50, rel=1e-12)
    assert metrics["token_perplexity"].n == 10
    # every line costs the same per token, so there is nothing to be unsure of
    assert metrics["token_perplexity"].stderr == pytest.approx(0, abs=1e-5)


def test_words_and_bytes_count_the_end_of_each_line():
    # 2 lines, 12 tokens of ln 16 nats each; 4 words, 30 bytes with the line ends
    text = predictions([[math.log(16)] * 5, [math.log(16)] * 7], unit="subword", num_words=4, num_bytes=30)

    metrics = evaluate(text)

    # exp(12 ln 16 / (4 + 2)) = 16^2; 12 ln 16 / (ln 2 · 30) = 12 · 4 / 30
    assert metrics["word_perplexity"].value == pytest.approx(256)
    assert metrics["word_perplexity"].n == 6
    assert metrics["bits_per_byte"].value == pytest.approx(1.6)
    assert metrics["bits_per_byte"].n == 30
    assert metrics["nats"].value == pytest.approx(12 * math.log(16))


def test_unknown_tokens_are_counted_in_and_out():
    # nats 1 and 2 for words, 9 for the unknown one, 0 for the end; "unseen" has 6 bytes
    text = predictions([[1.0, 2.0, 9.0, 0.0]], unknown=(2,), num_bytes=16, num_unknown_bytes=6)

    metrics = evaluate(text)

    assert metrics["token_perplexity"].value == pytest.approx(math.exp(12 / 4))
    assert metrics["token_perplexity_without_oov"].value == pytest.approx(math.exp(3 / 3))
    assert metrics["word_perplexity_without_oov"].value == pytest.approx(math.exp(3 / 3))
    assert metrics["bits_per_byte_without_oov"].value == pytest.approx(3 / (math.log(2) * 10))
    assert (metrics["oov_rate"].value, metrics["oov_rate"].n) == (pytest.approx(1 / 3), 3)


def test_figures_per_word_and_byte_are_lower_bounds_where_a_word_is_unknown():
    known, unknown = evaluate(predictions([[1.0, 0.5]])), evaluate(predictions([[1.0, 0.5]], unknown=(0,)))

    assert not any(metric.lower_bound for metric in known.values())
    assert [name for name, metric in unknown.items() if metric.lower_bound] == ["word_perplexity", "bits_per_byte"]


def test_unknown_parts_of_words_cannot_be_left_out_of_a_mean_over_words():
    characters = predictions([[1.0, 2.0, 0.5]], unknown=(0,), unit="char", num_words=1)
    nothing_unknown = predictions([[1.0, 2.0, 0.5]], unit="char", num_words=1)

    assert "word_perplexity_without_oov" not in evaluate(characters)
    # 3.5 nats over one word and one end of line
    assert evaluate(nothing_unknown)["word_perplexity_without_oov"].value == pytest.approx(math.exp(3.5 / 2))


def test_a_token_of_probability_zero_makes_perplexity_infinite():
    metrics = evaluate(predictions([[1.0, math.inf], [1.0, 2.0]]))

    assert metrics["token_perplexity"].value == math.inf
    assert metrics["token_perplexity"].stderr is None
    assert metrics["bits_per_byte"].value == math.inf


def test_a_perplexity_too_large_for_a_float_is_infinite():
    assert evaluate(predictions([[2000.0, 0.0]]))["token_perplexity"].value == math.inf


def test_figures_are_left_out_where_words_and_bytes_were_not_counted():
    metrics = evaluate(predictions([[1.0, 0.5]], num_words=0, num_bytes=0))

    assert set(metrics) == {"token_perplexity", "token_perplexity_without_oov", "oov_rate", "nats"}


def test_standard_error_follows_the_ratio_estimator():
    # lines of (nats, tokens) = (3, 1), (5, 3): R = 8/4 = 2, d = 3 - 2·1, 5 - 2·3 = 1, -1
    # stderr(R)² = 2/1 · (1 + 1) / 4² = 1/4, so stderr(exp R) = exp(2) / 2
    metrics = evaluate(predictions([[3.0], [1.0, 1.0, 3.0]]))

    assert metrics["token_perplexity"].value == pytest.approx(math.exp(2))
    assert metrics["token_perplexity"].stderr == pytest.approx(math.exp(2) / 2)


def test_figures_per_word_and_byte_are_lower_bounds_where_words_share_ids():
    metrics = evaluate(predictions([[1.0, 2.0]], merges_words=True))

    bounds = {name for name, metric in metrics.items() if metric.lower_bound}
    figures = {"word_perplexity", "bits_per_byte"}
    assert bounds == figures | {f"{name}_without_oov" for name in figures}


def test_one_line_has_no_standard_error():
    assert evaluate(predictions([[1.0, 2.0]]))["token_perplexity"].stderr is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.just(0.0) | st.floats(1e-3, 50), st.integers(1, 9)), min_size=2, max_size=20))
def test_standard_error_agrees_with_the_residuals_themselves(lines):
    x, n = np.array([nats for nats, _ in lines]), np.array([float(tokens) for _, tokens in lines])
    ratio = x.sum() / n.sum()
    expected = math.sqrt(len(x) / (len(x) - 1) * ((x - ratio * n) ** 2).sum()) / n.sum()

    relative = RatioSums.of(x, n).relative_stderr

    if ratio == 0:
        assert relative is None
    else:
        assert relative * ratio == pytest.approx(expected, abs=1e-6)


def test_standard_error_is_the_spread_of_perplexities_of_resampled_texts():
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 30, 400).astype(float)
    nats = tokens * rng.normal(4, 1, 400)

    resampled = rng.integers(0, 400, (1000, 400))
    ratios = nats[resampled].sum(1) / tokens[resampled].sum(1)

    # the bootstrap's spread is itself known to about 1/sqrt(2 · 1000), 2 %
    expected = RatioSums.of(nats, tokens).relative_stderr * nats.sum() / tokens.sum()
    assert ratios.std() == pytest.approx(expected, rel=0.08)
