"""Documents that take turns get what they would get if each had a slot of its own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from automaton import Automaton

from lmtool.decoding import Answers, Prefixes
from lmtool.decoding.slots import PATIENCE
from lmtool.settings import DecodingConfig

COUNT = 41
MODEL = Automaton.random(3, vocab=40, places=5)
DOCUMENTS = jnp.arange(COUNT, dtype=jnp.int32)
ROWS = DOCUMENTS % 7 != 3
"""Some are padding, in between."""


def run(slots: int | None, max_length: int = 15, **settings: Any) -> Answers:
    rng = np.random.default_rng(0)
    arrays = {
        "rows": ROWS,
        "prefixes": Prefixes(jnp.asarray(rng.integers(2, 40, (COUNT, 4)), jnp.int32), DOCUMENTS % 4),
        "source_mask": jnp.asarray(rng.random((COUNT, 5)) < 0.8).at[:, 0].set(True),
        "numbers": DOCUMENTS * 3,
        "key": jax.random.key(1),
    }
    decoding = DecodingConfig.model_validate(settings)
    return MODEL.decode(DOCUMENTS, max_length, decoding, slots=slots, **arrays)


@pytest.mark.parametrize("slots", [1, 2 * PATIENCE])
@pytest.mark.parametrize(
    "settings",
    [
        {"beam": 1, "no_repeat_ngram": 2, "coverage_penalty": 0.3},
        {"beam": 4, "n_best": 3, "min_length": 2, "coverage_penalty": 0.3},
        {"beam": 4, "no_repeat_ngram": 1},
        {"sample": True, "n_best": 3, "top_p": 0.9},
    ],
    ids=str,
)
def test_the_number_of_slots_changes_nothing(settings: dict[str, Any], slots: int):
    whole, by_turns = run(None, **settings), run(slots, **settings)

    real = np.asarray(ROWS)
    assert len({int(length) for length in np.asarray(whole.lengths)[real, 0]}) > 5  # they end at different times
    for name, array in whole._asdict().items():
        np.testing.assert_array_equal(np.asarray(array)[real], np.asarray(getattr(by_turns, name))[real])


def test_there_is_a_slot():
    with pytest.raises(ValueError, match="must be at least 1"):
        run(0, beam=1)


def test_padding_that_comes_last_is_not_waited_for_and_prefixes_may_be_longer_than_answers():
    rows = DOCUMENTS < 11
    prefixes = Prefixes(jnp.broadcast_to(DOCUMENTS[:, None] % 38 + 2, (COUNT, 6)), DOCUMENTS % 7)
    decoding = DecodingConfig.model_validate({"beam": 3})

    whole, by_turns = (
        MODEL.decode(DOCUMENTS, 5, decoding, slots=slots, rows=rows, prefixes=prefixes) for slots in (None, 4)
    )

    for name, array in whole._asdict().items():
        np.testing.assert_array_equal(np.asarray(array)[:11], np.asarray(getattr(by_turns, name))[:11])


def test_answers_that_are_cut_off_make_way_too():
    settings = {"beam": 3, "n_best": 3, "min_length": 4}
    whole, by_turns = run(None, 4, **settings), run(2, 4, **settings)

    real = np.asarray(ROWS)
    assert (np.asarray(whole.lengths)[real] == 4).all()
    for name, array in whole._asdict().items():
        np.testing.assert_array_equal(np.asarray(array)[real], np.asarray(getattr(by_turns, name))[real])
