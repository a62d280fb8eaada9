"""Predictions of a text: every token once, whatever the pieces and windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fake_models import Bigram, Letters, Remembering, Text, Uniform
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool import evaluation
from lmtool.api import Metric
from lmtool.config import EvaluationConfig
from lmtool.errors import ConfigError, DataError, PluginError
from lmtool.evaluation.blocks import LEAST, MOST, Blocks
from lmtool.registry import Registry

TOKENIZER = Letters("abc")
LINES = st.lists(st.text("abcz ", max_size=12), min_size=1, max_size=12)
TABLE = np.random.default_rng(0).dirichlet(np.ones(5), 5)


def evaluate(model, lines, *, batch_size=16, bptt=128):
    config = EvaluationConfig(batch_size=batch_size, bptt=bptt)
    evaluators = evaluation.make_evaluators(config, Registry())
    return evaluation.evaluate(model, Text(lines, TOKENIZER), TOKENIZER, evaluators, config=config)


def log_probs(model, lines, *, batch_size, bptt):
    text = Text(lines, TOKENIZER)
    streams = evaluation.cut(text, TOKENIZER.eos_id, batch_size)
    pieces = [piece for piece, _ in evaluation.predictions(model, text, TOKENIZER, streams, bptt=bptt)]
    return text, streams, pieces


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary():
    # "abc", "", "abba": 7 letters and 3 line ends, 10 tokens of ln 5; 10 bytes; 2 words and 3 line ends
    result = evaluate(Uniform(5), ["abc", "", "abba"])

    assert result.metrics["token_perplexity"].value == pytest.approx(5, rel=1e-6)
    assert result.metrics["bits_per_byte"].value == pytest.approx(math.log2(5), rel=1e-6)
    assert result.metrics["word_perplexity"].value == pytest.approx(5 ** (10 / 5), rel=1e-6)
    assert result.metrics["word_perplexity"].n == 5


def test_a_bigram_model_has_the_perplexity_of_its_table():
    # V = 3: end, unknown, a. After an end: a always; after a: a or the end, one half each
    model = Bigram(np.array([[0, 0, 1], [0, 0, 1], [0.5, 0, 0.5]]))
    config = EvaluationConfig()
    text = Text(["aa", "a"], Letters("a"))

    metrics = evaluation.evaluate(
        model, text, Letters("a"), evaluation.make_evaluators(config, Registry()), config=config
    ).metrics

    # a|end 1, a|a 1/2, end|a 1/2, a|end 1, end|a 1/2: three halves over five tokens
    assert metrics["token_perplexity"].value == pytest.approx(2 ** (3 / 5))
    assert metrics["token_perplexity"].n == 5


@settings(max_examples=60, deadline=None)
@given(LINES, st.integers(1, 6), st.integers(1, 9))
def test_each_token_is_predicted_once_and_padding_never(lines, batch_size, bptt):
    text, _, pieces = log_probs(Bigram(TABLE), lines, batch_size=batch_size, bptt=bptt)

    before = np.concatenate([[0], text.ids[:-1]])
    assert sum(len(piece.log_probs) for piece in pieces) == text.num_tokens
    assert sum(piece.num_lines for piece in pieces) == text.num_lines
    assert sum(piece.is_unknown.sum() for piece in pieces) == text.num_unknown
    expected = np.sort(np.log(TABLE[before, text.ids]))
    assert np.sort(np.concatenate([piece.log_probs for piece in pieces])) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(LINES, st.integers(1, 6), st.integers(1, 9))
def test_pieces_are_whole_lines(lines, batch_size, bptt):
    text, _, pieces = log_probs(Uniform(5), lines, batch_size=batch_size, bptt=bptt)

    lengths = [count for piece in pieces for count in np.bincount(piece.line).tolist()]
    assert sorted(lengths) == sorted(np.diff(np.flatnonzero(text.ids == 0), prepend=-1).tolist())


@settings(max_examples=60, deadline=None)
@given(LINES, st.integers(1, 6), st.integers(1, 9))
def test_a_state_is_carried_within_a_piece_and_fresh_at_its_start(lines, batch_size, bptt):
    model = Remembering(5)

    text, streams, pieces = log_probs(model, lines, batch_size=batch_size, bptt=bptt)

    expected = [model.score(text.ids[None, start:stop], model.initial_state(1))[0][0] for start, stop in streams]
    got = np.concatenate([piece.log_probs for piece in pieces])
    assert np.sort(got) == pytest.approx(np.sort(np.concatenate(expected)), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(LINES, st.integers(1, 20))
def test_streams_are_whole_lines_that_cover_the_text(lines, pieces):
    text = Text(lines, TOKENIZER)

    streams = evaluation.cut(text, TOKENIZER.eos_id, pieces)

    assert 1 <= len(streams) <= pieces
    assert [0, *(stop for _, stop in streams)] == [*(start for start, _ in streams), text.num_tokens]
    assert all(start < stop and text.ids[stop - 1] == 0 for start, stop in streams)


@pytest.mark.parametrize("bptt", [1, 3, 50])
def test_window_length_changes_nothing(bptt):
    lines = ["abc", "", "cabzab", "b"] * 5

    got, expected = (evaluate(Remembering(5), lines, batch_size=4, bptt=size).metrics for size in (bptt, 128))

    for name, metric in expected.items():
        assert got[name].value == pytest.approx(metric.value, rel=1e-12)
        assert got[name].stderr == pytest.approx(metric.stderr, rel=1e-9)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_number_of_streams_changes_nothing_for_a_model_that_starts_each_line_anew(batch_size):
    lines = ["abc", "", "cabzab", "b"] * 5

    got, expected = (evaluate(Bigram(TABLE), lines, batch_size=size).metrics for size in (batch_size, 16))

    for name, metric in expected.items():
        assert got[name].value == pytest.approx(metric.value, rel=1e-12)
        assert got[name].stderr == pytest.approx(metric.stderr, rel=1e-9)


def test_no_more_than_a_window_is_read_at_once():
    text = Text(["ab" * 50_000, "c"], TOKENIZER)
    streams = evaluation.cut(text, TOKENIZER.eos_id, 4)

    assert text.largest_read <= 1 << 16
    text.largest_read = 0
    for _ in evaluation.predictions(Uniform(5), text, TOKENIZER, streams, bptt=1000):
        pass
    assert text.largest_read == 1000


def test_the_report_says_how_states_were_kept():
    carried, fresh = evaluate(Remembering(5), ["ab", "c"], batch_size=2), evaluate(Uniform(5), ["ab"])

    assert (carried.streams, carried.carried) == (2, True)
    assert (fresh.streams, fresh.carried) == (1, False)


def test_progress_ends_at_one():
    seen = []
    config = EvaluationConfig(batch_size=2, bptt=3)

    evaluation.evaluate(Uniform(5), Text(["abc"] * 9, TOKENIZER), TOKENIZER, [], config=config, progress=seen.append)

    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_text_without_lines_is_an_error():
    with pytest.raises(DataError, match="no text to evaluate"):
        evaluate(Uniform(5), [])


def test_a_text_whose_last_line_has_no_end_is_an_error():
    text = Text(["ab", "c"], TOKENIZER)
    text.num_tokens -= 1

    with pytest.raises(DataError, match=r"last line has no end \(1 tokens are left\)"):
        list(evaluation.predictions(Uniform(5), text, TOKENIZER, [(0, 4)], bptt=8))


class Broken(Uniform):
    def score(self, ids, state):
        return np.full(ids.shape, np.nan), state


def test_a_model_that_gives_no_numbers_is_an_error():
    with pytest.raises(DataError, match="log-probability nan"):
        evaluate(Broken(5), ["ab"])


class Constant:
    takes = "tokens"

    def init(self):
        return ()

    def update(self, state, predictions):
        return state

    def compute(self, state):
        return {"constant": Metric(1.0, n=1)}


def test_what_is_computed_follows_from_what_the_model_gives():
    def names(takes):
        return [type(one).__name__ for one in evaluation.make_evaluators(EvaluationConfig(), Registry(), takes=takes)]

    assert names("tokens") == ["Perplexity"]
    assert names("classes") == ["Classification", "LogLoss"]


@pytest.mark.parametrize(("name", "takes"), [("perplexity", "classes"), ("calibration", "tokens")])
def test_an_evaluator_of_something_else_is_an_error_that_names_both(name, takes):
    with pytest.raises(ConfigError, match=f"'{name}' takes .*gives {takes}"):
        evaluation.make_evaluators(EvaluationConfig(evaluators=[name]), Registry(), takes=takes)


def test_two_evaluators_with_the_same_metric_are_an_error():
    text = Text(["ab"], TOKENIZER)

    with pytest.raises(ConfigError, match="two of them give 'constant'"):
        evaluation.evaluate(Uniform(5), text, TOKENIZER, [Constant(), Constant()], config=EvaluationConfig())


def test_an_unknown_evaluator_is_an_error_that_names_the_known():
    with pytest.raises(PluginError, match=r"no evaluator named 'perplexitty'.*did you mean 'perplexity'"):
        evaluation.make_evaluators(EvaluationConfig(evaluators=["perplexitty"]), Registry())


@settings(deadline=None)
@given(LINES, st.integers(1, 6), st.integers(1, 9))
def test_blocks_are_the_same_however_the_text_is_read(lines, batch_size, bptt):
    text = Text(lines, TOKENIZER)
    streams = evaluation.cut(text, TOKENIZER.eos_id, batch_size)
    blocks = Blocks(text.num_tokens)
    blocks.size = 5
    blocks.nats, blocks.tokens = np.zeros(text.num_tokens), np.zeros(text.num_tokens, np.int64)
    for _ in evaluation.predictions(Bigram(TABLE), text, TOKENIZER, streams, bptt=bptt, blocks=blocks):
        pass

    # each line by itself: the model knows only the token before, and an end before the first
    nats, tokens, position = np.zeros_like(blocks.nats), np.zeros_like(blocks.tokens), 0
    for line in lines:
        ids = [*TOKENIZER.encode(line), TOKENIZER.eos_id]
        before = [TOKENIZER.eos_id, *ids[:-1]]
        nats[position // 5] -= sum(math.log(TABLE[a, b]) for a, b in zip(before, ids, strict=True))
        tokens[position // 5] += len(ids)
        position += len(ids)
    np.testing.assert_array_equal(blocks.tokens, tokens)
    np.testing.assert_allclose(blocks.nats, nats, rtol=1e-5)


def test_a_text_has_at_most_so_many_blocks_and_none_is_tiny():
    assert len(Blocks(1).nats) == 1
    assert (Blocks(1280).size, len(Blocks(1280).nats)) == (LEAST, 1280 // LEAST)
    assert len(Blocks(10**9 + 1).nats) == MOST
