"""The page of weights says which arrays there are, and how large they are."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from lmtool.registry import Registry
from lmtool.tasks.adaptive import AdaptiveSoftmax
from lmtool.tasks.config import LMConfig
from lmtool.tasks.network import LanguageModelNetwork
from lmtool.tasks.output import FullSoftmax

PAGE = (Path(__file__).parents[2] / "docs/reference/weights.md").read_text()
V, E = 20, 8
FULL = FullSoftmax(V, E, tied=True)


class Row(NamedTuple):
    name: str
    shape: str


class Case(NamedTuple):
    """Networks of a section, and the sizes that its letters stand for; of those that differ, number by number."""

    section: str
    model: str
    settings: dict
    sizes: list[dict]
    output: object = FULL


def section(title: str) -> list[Row]:
    text = PAGE[PAGE.index(f"### {title}\n") :].split("\n#", 1)[0]
    return [Row(*found) for found in re.findall(r"^\| `([^`]+)` \| \[([^\]]*)\] \|", text, re.MULTILINE)]


def weights(case: Case) -> dict[str, tuple[int, ...]]:
    """Name and shape of all that is exported."""
    found = Registry(third_party=False).find("model", case.model)
    backbone = found.load()(found.config_class()(**case.settings))
    network = LanguageModelNetwork(LMConfig(embedding_size=E), case.output, backbone)
    params = jax.eval_shape(network.init_params, jax.random.key(0))["params"]
    return {name: tuple(one.shape) for name, one in (flatten_dict(params, sep=".") | case.output.constants()).items()}


def value(size: str, letters: dict[str, int]) -> int:
    """Of `4H`, `KM` or `A + T`."""
    terms = [re.fullmatch(r"(\d*)([A-Z]+)", term) for term in size.split(" + ")]
    return sum(int(term[1] or 1) * math.prod(letters[letter] for letter in term[2]) for term in terms)


RECURRENT = [{"I": E, "H": 6}, {"I": 6, "H": 7}]
PROJECTED = [{"I": E, "H": 6, "R": 3}, {"I": 3, "H": 7, "R": 3}]
ADAPTIVE = AdaptiveSoftmax(V, E, True, (5, 12), 2.0, np.arange(V, dtype=np.int32))
CASES = [
    Case("The vocabulary's side", "lstm", {"hidden_size": 6}, [{"V": V, "E": E, "H": 6}]),
    Case("The vocabulary's side", "lstm", {"hidden_size": E}, [{"V": V, "E": E}], FullSoftmax(V, E, tied=False)),
    Case("The vocabulary's side", "lstm", {"hidden_size": E},
         [{"V": V, "E": E, "A": 5, "T": 2}, {"S": 7, "D": 4, "E": E}, {"S": 8, "D": 2, "E": E}], ADAPTIVE),
    Case("`lstm`", "lstm", {"hidden_sizes": [6, 7], "layer_norm": True}, [one | {"R": one["H"]} for one in RECURRENT]),
    Case("`lstm`", "lstm", {"hidden_sizes": [6, 7], "projection_size": 3}, PROJECTED),
    Case("`gru`", "gru", {"hidden_sizes": [6, 7], "layer_norm": True}, RECURRENT),
    Case("`rnn`", "rnn", {"hidden_sizes": [6, 7], "layer_norm": True}, RECURRENT),
    Case("`cnn`", "cnn", {"channels": 6, "num_layers": 2, "kernel_size": 3},
         [{"E": E, "C": 6, "K": 3, "M": 6}] * 2),
    Case("`cnn`", "cnn", {"channels": 6, "num_layers": 1, "kernel_size": 3, "bottleneck": 2, "weight_norm": True},
         [{"E": E, "C": 6, "K": 3, "M": 2}]),
]  # fmt: skip


def matching(case: Case, name: str) -> tuple[Row, dict[str, int]]:
    """The row of a weight, and what its letters stand for."""
    for row in section(case.section):
        pattern = re.escape(row.name).replace("_N", r"_(\d+)")
        if found := re.fullmatch(pattern, name):
            return row, case.sizes[int(found[1]) if found.groups() else 0]
    raise AssertionError(f"{name} is not on the page")


def ours(case: Case, names: list[str]) -> list[str]:
    """Those that the section is about: the backbone's, or all others."""
    return [name for name in names if name.startswith("backbone.") == case.section.startswith("`")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.section}-{CASES.index(case)}")
def test_every_weight_is_on_the_page_with_its_shape(case):
    shapes = weights(case)

    for name in ours(case, list(shapes)):
        row, letters = matching(case, name)
        assert shapes[name] == tuple(value(size, letters) for size in row.shape.split(", ")), (name, row.shape)


@pytest.mark.parametrize("title", sorted({case.section for case in CASES}))
def test_every_weight_of_the_page_is_there(title):
    cases = [case for case in CASES if case.section == title]
    there = {matching(case, name)[0] for case in cases for name in ours(case, list(weights(case)))}

    assert set(section(title)) - there == set()
