"""Lines of text, scored one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fake_models import Bigram, Letters, Remembering, Uniform
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool import scoring
from lmtool.errors import DataError

TOKENIZER = Letters("abc")
TABLE = np.random.default_rng(0).dirichlet(np.ones(5), 5)
LINES = st.lists(st.text("abcz ", max_size=80), max_size=80)


def test_a_line_costs_its_tokens_and_its_end():
    # "ab c": 4 letters (the space is unknown) and the end, each ln 5; 2 words and the end; 4 bytes and the end
    (score,) = scoring.score_lines(Uniform(5), TOKENIZER, ["ab c"])

    assert (score.num_tokens, score.num_unknown) == (5, 1)
    assert score.nats == pytest.approx(5 * math.log(5), rel=1e-6)
    assert score.token_perplexity == pytest.approx(5, rel=1e-6)
    assert score.word_perplexity == pytest.approx(5 ** (5 / 3), rel=1e-6)
    assert score.bits_per_byte == pytest.approx(math.log2(5), rel=1e-6)


def test_an_empty_line_is_its_end_alone():
    (score,) = scoring.score_lines(Uniform(5), TOKENIZER, [""])

    assert score.num_tokens == 1
    assert score.word_perplexity == pytest.approx(5, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(LINES)
def test_each_line_is_scored_as_if_it_stood_alone(lines):
    model = Remembering(5)

    scores = scoring.score_lines(model, TOKENIZER, lines)

    assert [score.text for score in scores] == lines
    for score in scores:
        expected, _ = model.score(score.ids[None], model.initial_state(1))
        assert score.log_probs == pytest.approx(expected[0], rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(LINES.filter(bool), st.integers(0, 80))
def test_carried_lines_are_scored_as_one_text(lines, cut):
    model = Remembering(5)

    first, state = scoring.score_carried(model, TOKENIZER, lines[:cut], model.initial_state(1))
    second, _ = scoring.score_carried(model, TOKENIZER, lines[cut:], state)

    scores = [*first, *second]
    ids = np.concatenate([np.zeros(0, np.int32), *(score.ids for score in scores)])
    expected, _ = model.score(ids[None], model.initial_state(1))
    assert np.concatenate([np.zeros(0), *(score.log_probs for score in scores)]) == pytest.approx(expected[0])


class Shapes(Uniform):
    def __init__(self) -> None:
        super().__init__(5)
        self.seen = set()

    def score(self, ids, state):
        self.seen.add(ids.shape)
        return super().score(ids, state)


def test_few_shapes_reach_the_model_because_each_is_compiled():
    model = Shapes()

    for number in range(1, 100, 7):
        scoring.score_lines(model, TOKENIZER, ["a" * (i * 13 % 200) for i in range(number)])

    assert model.seen <= {(1, 32), (8, 32), (64, 32)}


def test_windows_without_padding_are_powers_of_two():
    model = Shapes()

    for length in range(100):
        scoring.read(model, np.zeros((1, length), np.int32), model.initial_state(1))

    assert model.seen == {(1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (1, 32)}


def test_a_token_of_probability_zero_makes_the_perplexity_infinite():
    # after the start of a line, only "a" (id 2) may come
    (score,) = scoring.score_lines(Bigram(np.eye(5)[[2, 2, 0, 0, 0]]), TOKENIZER, ["b"])

    assert score.nats == math.inf
    assert score.token_perplexity == math.inf


def test_a_model_that_gives_no_numbers_is_an_error():
    class Broken(Uniform):
        def score(self, ids, state):
            return np.full(ids.shape, np.nan), state

    with pytest.raises(DataError, match="damaged"):
        scoring.score_lines(Broken(5), TOKENIZER, ["ab"])
