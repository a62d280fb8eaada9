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


def as_text(lines):
    return "".join(f"{line}\n" for line in lines)


def alone(model, line):
    """What a line costs that a fresh model reads: float64 [N]."""
    ids = np.array([[*TOKENIZER.encode(line), TOKENIZER.eos_id]])
    return model.score(ids, model.initial_state(1))[0][0]


def test_a_line_costs_its_tokens_and_its_end():
    # "ab c": 4 letters (the space is unknown) and the end, each ln 5; 2 words and the end; 4 bytes and the end
    scores = scoring.score_lines(Uniform(5), TOKENIZER, "ab c\n")

    assert (scores.tokens.tolist(), scores.unknown.tolist()) == ([5], [1])
    assert (scores.words.tolist(), scores.chars.tolist(), scores.bytes.tolist()) == ([2], [5], [5])
    assert scores.nats == pytest.approx([5 * math.log(5)], rel=1e-6)
    assert scores.token_perplexity == pytest.approx([5], rel=1e-6)
    assert scores.word_perplexity == pytest.approx([5 ** (5 / 3)], rel=1e-6)
    assert scores.bits_per_byte == pytest.approx([math.log2(5)], rel=1e-6)


def test_an_empty_line_is_its_end_alone():
    scores = scoring.score_lines(Uniform(5), TOKENIZER, "\n")

    assert scores.tokens.tolist() == [1]
    assert scores.word_perplexity == pytest.approx([5], rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(LINES)
@pytest.mark.parametrize("model", [Remembering(5), Bigram(TABLE)], ids=["stateful", "each-line-anew"])
def test_each_line_is_scored_as_if_it_stood_alone(model, lines):
    scores = scoring.score_lines(model, TOKENIZER, as_text(lines))

    expected = [alone(model, line) for line in lines]
    assert scores.lines == lines
    assert scores.log_probs == pytest.approx(np.concatenate([np.zeros(0), *expected]), rel=1e-12)
    assert scores.nats == pytest.approx([-one.sum() for one in expected], rel=1e-12)
    assert scores.tokens.tolist() == [len(line) + 1 for line in lines]
    assert scores.unknown.tolist() == [line.count("z") + line.count(" ") for line in lines]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("ab é中𠀀\t\xa0\u2003\x1c", max_size=12), max_size=8))
def test_words_characters_and_bytes_are_counted_line_by_line(lines):
    scores = scoring.score_lines(Uniform(5), TOKENIZER, as_text(lines))

    assert scores.words.tolist() == [len(line.split()) for line in lines]
    assert scores.chars.tolist() == [len(line) + 1 for line in lines]
    assert scores.bytes.tolist() == [len(line.encode()) + 1 for line in lines]


@settings(max_examples=30, deadline=None)
@given(LINES.filter(bool), st.integers(0, 80))
def test_carried_lines_are_scored_as_one_text(lines, cut):
    model = Remembering(5)

    first, state = scoring.score_carried(model, TOKENIZER, as_text(lines[:cut]), model.initial_state(1))
    second, _ = scoring.score_carried(model, TOKENIZER, as_text(lines[cut:]), state)

    ids = TOKENIZER.encode_batch(lines)
    expected, _ = model.score(ids[None], model.initial_state(1))
    assert np.concatenate([first.log_probs, second.log_probs]) == pytest.approx(expected[0])


class Shapes(Remembering):
    def __init__(self) -> None:
        super().__init__(5)
        self.seen = set()

    def score(self, ids, state):
        self.seen.add(ids.shape)
        return super().score(ids, state)


def test_few_shapes_reach_a_stateful_model_because_each_is_compiled():
    model = Shapes()

    for number in (*range(1, 100, 7), 1000):
        lengths = [i * 13 % 200 // (1 + i % 9) for i in range(number)]
        scoring.score_lines(model, TOKENIZER, as_text("a" * length for length in lengths))

    assert model.seen == {(1, 32), (8, 32), (64, 8), (64, 16), (64, 32)}


def test_many_short_lines_have_short_windows():
    model = Shapes()

    # 7, 8 and 20 tokens: two batches of 64, and 3 + 10 lines that fill none
    scoring.score_lines(model, TOKENIZER, as_text(["a" * 6] * 67 + ["a" * 7] * 64 + ["a" * 19] * 10))

    assert model.seen == {(64, 8), (8, 32)}


def test_windows_without_padding_are_powers_of_two():
    model = Shapes()

    for length in range(100):
        scoring.read(model, np.zeros((1, length), np.int32), model.initial_state(1))

    assert model.seen == {(1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (1, 32)}


def test_a_token_of_probability_zero_makes_the_perplexity_infinite():
    # after the start of a line, only "a" (id 2) may come
    scores = scoring.score_lines(Bigram(np.eye(5)[[2, 2, 0, 0, 0]]), TOKENIZER, "b\na\n")

    assert scores.nats.tolist() == [math.inf, 0]
    assert scores.token_perplexity.tolist() == [math.inf, 1]


def test_orders_are_asked_for_where_the_model_has_them():
    class Matching(Uniform):
        def match(self, ids, state):
            return *self.score(ids, state)[:1], np.full(ids.shape, 3, np.int8), state

    assert scoring.score_lines(Matching(5), TOKENIZER, "ab\n", orders=True).orders.tolist() == [3, 3, 3]
    assert scoring.score_lines(Matching(5), TOKENIZER, "ab\n").orders is None
    assert scoring.score_lines(Uniform(5), TOKENIZER, "ab\n", orders=True).orders is None


@pytest.mark.parametrize("kind", [Uniform, Remembering])
def test_a_model_that_gives_no_numbers_is_an_error(kind):
    class Broken(kind):
        def score(self, ids, state):
            return np.full(ids.shape, np.nan), state

    with pytest.raises(DataError, match="damaged"):
        scoring.score_lines(Broken(5), TOKENIZER, "ab\n")


def test_a_tokenizer_that_loses_lines_is_found_out():
    class Losing(Letters):
        def encode_batch(self, lines):
            return super().encode_batch(lines)[:-1]

    with pytest.raises(ValueError, match="1 line ends for 2 lines"):
        scoring.score_lines(Uniform(5), Losing(), "ab\nc\n")
