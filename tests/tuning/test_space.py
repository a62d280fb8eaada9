"""The syntax of what is searched."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtool.config import load_config
from lmtool.errors import ConfigError
from lmtool.registry import Registry
from lmtool.tuning.space import Choices, Range, check_searchable, default_space, parse_space, parse_values

FINITE = st.floats(-1e9, 1e9)
NAMES = st.text("abcdefgh", min_size=1, max_size=6).filter(lambda word: word not in ("inf", "nan"))


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ("1e-4..1e-1:log", Range(1e-4, 1e-1, log=True)),
        ("0..0.5", Range(0.0, 0.5)),
        ("64..512:int:log", Range(64, 512, log=True, whole=True)),
        (" -3..3:int ", Range(-3, 3, whole=True)),
        ("16,32,64", Choices((16, 32, 64))),
        ("adamw,sgd", Choices(("adamw", "sgd"))),
        ("'a,b','c'", Choices(("a,b", "c"))),
        ("true, false", Choices((True, False))),
        ("[],['mean','max']", Choices(([], ["mean", "max"]))),
        ("{name='gru'},{name='lstm',hidden_size=8}", Choices(({"name": "gru"}, {"name": "lstm", "hidden_size": 8}))),
    ],
)
def test_a_text_says_a_range_or_choices(spec, values):
    assert parse_values(spec) == values


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("0.1", "one value is no choice"),
        ("1..1", "below the second"),
        ("2..1", "below the second"),
        ("0..1:log", "`:log` needs ends above 0"),
        ("0.5..2:int", "`:int` needs whole ends"),
        ("1..2:lgo", "no flag 'lgo' (did you mean 'log'?)"),
        ("1..", "must be numbers"),
        ("a..b", "must be numbers"),
        ("0..inf", "must be finite"),
        ("nan..1", "must be finite"),
        ("1,,2", "a value is missing"),
        ("1,2,1", "stands there twice"),
    ],
)
def test_what_is_wrong_is_said(spec, said):
    with pytest.raises(ConfigError) as caught:
        parse_space([f"model.size={spec}"])

    assert said in caught.value.message
    assert f"--search model.size={spec}" in caught.value.message


@given(low=FINITE, high=FINITE)
def test_a_range_reads_what_it_writes(low, high):
    if not low < high:
        return
    made = Range(low, high, log=low > 0)

    assert parse_values(made.to_json()) == made


@given(low=FINITE, width=st.floats(1e-3, 1e9), share=st.floats(0, 1))
def test_rounding_stays_inside_and_close(low, width, share):
    made = Range(low, low + width)
    value = min(made.high, low + share * width)

    rounded = made.rounded(value)

    assert rounded in made
    assert math.isclose(rounded, value, rel_tol=0.005)  # three digits: half a unit of the third


@given(low=st.integers(-1000, 1000), width=st.integers(1, 1000), share=st.floats(0, 1))
def test_whole_numbers_stay_whole_and_inside(low, width, share):
    made = Range(low, low + width, whole=True)

    rounded = made.rounded(low + share * width)

    assert isinstance(rounded, int)
    assert rounded in made


@given(values=st.lists(st.one_of(st.integers(), NAMES), min_size=2, unique=True))
def test_choices_are_read_as_they_are_written(values):
    written = ",".join(map(str, values))

    assert parse_values(written).values == tuple(values)


@pytest.mark.parametrize("search", ["learning_rate=1..2", "model.size", "model.=1..2", ".size=1..2", ""])
def test_a_setting_has_a_section(search):
    with pytest.raises(ConfigError, match=r"must look like section\.key="):
        parse_space([search])


def test_a_file_says_the_same_and_options_come_after_it(tmp_path):
    file = tmp_path / "space.toml"
    file.write_text(
        '[search]\n"optimizer.learning_rate" = "1e-3..1:log"\nmodel.size = [1, 2]\n'
        '[search.training]\nbatch_size = "8..16:int"\n'
    )

    space = parse_space(["model.size=4,8"], file)

    assert space == {
        "optimizer.learning_rate": Range(1e-3, 1, log=True),
        "model.size": Choices((4, 8)),
        "training.batch_size": Range(8, 16, whole=True),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must hold one table [search]"),
        ("search = 1", "must hold one table [search]"),
        ("[search]\nmodel.size = 3", "must be a text such as"),
        ("[search]\nmodel.size = [3]", "one value is no choice"),
        ("[search]\nmodel.size = '3..1'", "below the second"),
        ("[model]\nsize = 1\n[search]\n", "must hold one table [search]"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, text, said):
    (tmp_path / "space.toml").write_text(text)

    with pytest.raises(ConfigError) as caught:
        parse_space([], tmp_path / "space.toml")

    assert said in caught.value.message
    assert "space.toml" in caught.value.message


def config(model, *overrides):
    return load_config(None, Registry(third_party=False), flags={"model.name": model}, overrides=overrides)


def test_learning_rate_and_batch_size_are_searched_where_nobody_says():
    found = default_space(config("lstm", "optimizer.learning_rate=0.004", "training.batch_size=20"))

    # Two decades around 0.004; half and twice 20.
    assert found == {
        "optimizer.learning_rate": Range(0.0004, 0.04, log=True),
        "training.batch_size": Choices((10, 20, 40)),
    }


def test_batch_sizes_are_divided_by_micro_batches():
    found = default_space(config("lstm", "training.batch_size=6", "training.micro_batches=2"))

    assert found["training.batch_size"] == Choices((2, 6, 12))


def test_a_model_with_a_rate_of_its_own_has_that_searched():
    assert default_space(config("bag", "task.name=classify")) == {"model.learning_rate": Range(0.0004, 0.04, log=True)}


def test_a_model_without_a_rate_must_be_told_what_is_searched():
    with pytest.raises(ConfigError, match="model 'ngram' has no learning rate") as caught:
        default_space(config("ngram"))

    assert "--search" in caught.value.hint


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("tokenizer.vocab_size", "other tokens cannot be compared"),
        ("data.valid_fraction", "cannot be searched; settings of task, model, optimizer, training can"),
        ("evaluation.batch_size", "cannot be searched"),
        ("training.monitor", "cannot be searched"),
        ("training.evaluators", "cannot be searched"),
        ("task.reward", "cannot be searched"),
        ("training.seed", "the luckiest seed is no setting"),
    ],
)
def test_what_would_change_the_measure_is_refused(key, said):
    with pytest.raises(ConfigError) as caught:
        check_searchable({key: Choices((1, 2))}, classes=False)

    assert said in caught.value.message


def test_the_tokenizer_of_documents_may_be_searched():
    check_searchable({"tokenizer.min_count": Choices((1, 2))}, classes=True)
