"""Continuing a prompt: what is drawn, when it stops, and that it can be repeated."""

from __future__ import annotations

import numpy as np
import pytest
from fake_models import Bigram, Letters, Remembering, Uniform

from lmtool.errors import DataError, UsageError
from lmtool.generation import Sampling, encode_prompt, generate, pick

TOKENIZER = Letters("abc")
# end, unknown, a, b, c: after each a comes b, after b comes c, after c the line ends; a line starts with a
CYCLE = np.eye(5)[[2, 2, 3, 4, 0]]
TABLE = np.random.default_rng(0).dirichlet(np.ones(5), 5)


def texts(model, prompt="", *, seed=(0,), num_samples=1, **settings):
    samples = generate(model, TOKENIZER, prompt, Sampling(**settings), seed=seed, num_samples=num_samples)
    return [sample.text for sample in samples]


def test_a_sure_model_says_the_only_thing_it_knows():
    (sample,) = generate(Bigram(CYCLE), TOKENIZER, "a", Sampling())

    assert (sample.text, sample.ended) == ("bc", True)
    assert sample.ids.tolist() == [3, 4, 0]
    assert sample.log_probs.sum() == 0.0


def test_it_stops_after_so_many_lines():
    assert texts(Bigram(CYCLE), "b", lines=3) == ["c\nabc\nabc"]


def test_it_is_cut_after_so_many_tokens():
    (sample,) = generate(Bigram(CYCLE), TOKENIZER, "", Sampling(max_tokens=2))

    assert (sample.text, sample.ended) == ("ab", False)


def test_each_sample_stops_for_itself():
    samples = texts(Bigram(TABLE), num_samples=100, allow_unknown=True)

    assert len({len(text) for text in samples}) > 3
    assert not any("\n" in text for text in samples)


def test_the_same_seed_gives_the_same_samples_however_many_are_drawn():
    many = texts(Remembering(5), "ab", seed=(7,), num_samples=70)

    assert texts(Remembering(5), "ab", seed=(7,), num_samples=3) == many[:3]
    assert texts(Remembering(5), "ab", seed=(8,), num_samples=70) != many
    assert len(set(many)) > 10


def test_a_prompt_of_several_lines_is_read_as_such():
    assert encode_prompt(TOKENIZER, "ab\n\nc") == [2, 3, 0, 0, 4]
    assert encode_prompt(TOKENIZER, "") == []


def test_unknown_is_never_drawn_unless_allowed():
    assert not any("?" in text for text in texts(Bigram(TABLE), num_samples=64))
    assert any("?" in text for text in texts(Bigram(TABLE), num_samples=64, allow_unknown=True))


def test_a_model_that_expects_only_unknown_tokens_is_an_error():
    with pytest.raises(DataError, match="nothing but <unk>"):
        texts(Bigram(np.eye(5)[[1, 1, 1, 1, 1]]))


def test_samples_follow_the_model():
    # a line of the table's row 0, "unknown" left out, the rest scaled to one
    first = [text[:1] for text in texts(Bigram(TABLE), num_samples=4000, max_tokens=1)]

    expected = TABLE[0, [0, 2, 3, 4]] / TABLE[0, [0, 2, 3, 4]].sum()
    found = np.array([first.count(letter) for letter in ("", "a", "b", "c")]) / 4000
    # four standard errors of a share of 1/2 of 4000
    assert found == pytest.approx(expected, abs=4 * (0.25 / 4000) ** 0.5)


# Choosing -------------------------------------------------------------------------------------------------------------

PROBS = np.array([0.05, 0.4, 0.1, 0.25, 0.2])


def support(probs=PROBS, forbidden=(), **settings):
    """Ids that can be drawn, and with which share, from a fine grid of draws."""
    grid = (np.arange(10_000) + 0.5) / 10_000
    log_probs = np.log(np.tile(probs, (len(grid), 1)))
    drawn = pick(log_probs, Sampling(**settings), grid, list(forbidden))
    return {int(id): round(float((drawn == id).mean()), 3) for id in np.unique(drawn)}


def test_without_limits_every_token_has_its_share():
    assert support() == {0: 0.05, 1: 0.4, 2: 0.1, 3: 0.25, 4: 0.2}


def test_temperature_zero_takes_the_most_probable():
    assert support(temperature=0.0) == {1: 1.0}
    assert support(temperature=1e-300) == {1: 1.0}


def test_temperature_sharpens_and_flattens():
    # squares at temperature 1/2: 0.0025, 0.16, 0.01, 0.0625, 0.04 of 0.275
    assert support(temperature=0.5) == {0: 0.009, 1: 0.582, 2: 0.036, 3: 0.227, 4: 0.145}
    assert support(temperature=1e9) == {0: 0.2, 1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2}


def test_top_k_keeps_the_k_most_probable():
    # 0.4, 0.25 and 0.2 of 0.85
    assert support(top_k=3) == {1: 0.471, 3: 0.294, 4: 0.235}
    assert support(top_k=1) == {1: 1.0}
    assert support(top_k=99) == support()


def test_top_k_of_equals_keeps_the_lower_ids():
    assert support(np.full(5, 0.2), top_k=2) == {0: 0.5, 1: 0.5}


def test_top_p_keeps_the_fewest_that_reach_the_mass():
    # 0.4 + 0.25 = 0.65 reaches 0.6; 0.4 alone reaches 0.4 exactly
    assert support(top_p=0.6) == {1: 0.615, 3: 0.385}
    assert support(top_p=0.3) == {1: 1.0}
    assert support(top_p=1.0) == support()


def test_top_p_is_of_what_top_k_leaves():
    # of 0.4, 0.25, 0.2 the first two have 0.65 of 0.85, or 0.76
    assert support(top_k=3, top_p=0.75) == {1: 0.615, 3: 0.385}


def test_what_is_forbidden_is_never_picked():
    # 0.05, 0.1, 0.25, 0.2 of 0.6
    assert support(forbidden=(1,)) == {0: 0.083, 2: 0.167, 3: 0.417, 4: 0.333}
    assert support(forbidden=(1,), temperature=0.0) == {3: 1.0}
    assert support(forbidden=(1,), top_k=1) == {3: 1.0}


def test_a_token_of_probability_zero_is_never_picked():
    log_probs = np.log(np.array([[1e-300, 0.5, 0.5 - 1e-300]])) + np.array([[-np.inf, 0, 0]])

    assert pick(log_probs, Sampling(), np.array([0.0]), []) == [1]
    assert pick(log_probs, Sampling(), np.array([np.nextafter(1.0, 0.0)]), []) == [2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature must be 0 or more, got -0.1"),
        ({"temperature": float("nan")}, "temperature must be 0 or more, got nan"),
        ({"temperature": float("inf")}, "temperature must be 0 or more, got inf"),
        ({"top_k": 0}, "top-k must be at least 1, got 0"),
        ({"top_p": 0.0}, "top-p must be above 0 and at most 1, got 0"),
        ({"top_p": 1.5}, "top-p must be above 0 and at most 1, got 1.5"),
        ({"max_tokens": 0}, "max-tokens must be at least 1, got 0"),
        ({"lines": 0}, "lines must be at least 1, got 0"),
    ],
)
def test_values_without_a_meaning_are_usage_errors(settings, message):
    with pytest.raises(UsageError, match=message):
        Sampling(**settings)


def test_large_numbers_of_samples_are_drawn_in_parts():
    class Watched(Uniform):
        largest = 0

        def initial_state(self, batch_size):
            self.largest = max(self.largest, batch_size)
            return batch_size

    model = Watched(5)

    assert len(texts(model, num_samples=150, max_tokens=2)) == 150
    assert model.largest == 64


def test_a_model_that_gives_no_number_is_damaged():
    with pytest.raises(DataError, match="no log-probability at all"):
        pick(np.array([[0.0, np.nan]]), Sampling(), np.zeros(1), [])
