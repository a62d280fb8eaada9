"""The learning-rate range test: what losses at growing rates say, and how they are measured."""

from __future__ import annotations

import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtool.cli.chart import curve
from lmtool.cli.find_lr import to_json
from lmtool.cli.main import run
from lmtool.config import load_config
from lmtool.devices import DeviceOptions
from lmtool.errors import ConfigError, DivergedError, UsageError
from lmtool.testing.corpus import labelled_dataset
from lmtool.training.layerwise import Layers, Layerwise, Together
from lmtool.training.range_test import Growth, judged, range_test
from lmtool.training.state import as_optimizer

RATES = [10 ** (-5 + step / 20) for step in range(140)]
"""From 1e-5, 20 to a decade."""


def valley(flat, steep, lowest):
    """Losses that fall from 5 at `flat` to 3 at `lowest`, half of it around `steep`, and then rise."""
    decades = np.log10(RATES)
    fall = np.interp(decades, np.log10([flat, steep / 1.8, steep * 1.8, lowest]), [0, 0.5, 1.6, 2])
    return list(5 - fall + 3 * np.maximum(0, decades - np.log10(lowest)))


def test_the_steepest_place_and_the_lowest_are_found():
    found = judged(RATES, valley(1e-4, 1e-3, 1e-1), ended_early=False)

    # The moving average lags behind by about β/(1 - β) = 9 steps, not half a decade.
    assert 1e-3 <= found.steepest <= 1e-3 * 10 ** (9 / 20)
    assert 1e-1 <= found.lowest <= 1e-1 * 10 ** (9 / 20)
    assert (found.rule, found.suggestion) == ("steepest", float(f"{found.steepest:.2g}"))


def test_a_tenth_of_the_rate_at_the_lowest_place_counts_where_the_fall_is_late():
    found = judged(RATES, valley(1e-3, 3e-2, 1e-1), ended_early=False)

    assert found.rule == "tenth"
    assert found.suggestion == float(f"{found.lowest / 10:.2g}") < found.steepest


@given(
    scale=st.floats(0.1, 100),
    shift=st.floats(0, 100),
    noise=st.lists(st.floats(-0.05, 0.05), min_size=140, max_size=140),
)
@settings(max_examples=15, deadline=None)
def test_the_unit_of_the_loss_does_not_matter(scale, shift, noise):
    losses = [loss + one for loss, one in zip(valley(1e-4, 1e-3, 1e-1), noise, strict=True)]

    here, there = (judged(RATES, one, ended_early=False) for one in (losses, [shift + scale * loss for loss in losses]))

    assert RATES[0] < here.suggestion < RATES[-1]
    assert there.suggestion == pytest.approx(here.suggestion, rel=0.3)  # two steps, by rounding of equal slopes
    assert len(here.smoothed) == len(RATES)


def test_smoothed_losses_are_means_from_the_first_on():
    found = judged(RATES[:3], [4.0, 3.0, 2.0], ended_early=True)

    # Weights 0.9² : 0.9 : 1, divided by their sum.
    expected = (0.81 * 4 + 0.9 * 3 + 2) / (0.81 + 0.9 + 1)
    assert found.smoothed[0] == pytest.approx(4)
    assert found.smoothed[2] == pytest.approx(expected)


@pytest.mark.parametrize("losses", [[3.0] * 20, [3.0 + step for step in range(20)], [3.0], []])
def test_losses_that_fall_nowhere_suggest_nothing(losses):
    with pytest.raises(DivergedError) as caught:
        judged(RATES[: len(losses)], losses, ended_early=True)

    assert "--lr-range" in caught.value.hint


def test_each_update_is_that_of_its_own_rate():
    optimizer = Layerwise(as_optimizer(optax.sgd(0.5)), Growth(base=0.5, rates=[0.01, 0.1, 1.0]))
    params = {"w": jnp.asarray([1.0, 2.0])}
    grads = {"w": jnp.asarray([3.0, -4.0])}
    state = optimizer.init(params)

    for rate in (0.01, 0.1, 1.0):
        updates, state = optimizer.update(grads, state, params)
        np.testing.assert_allclose(updates["w"], [-3 * rate, 4 * rate], rtol=1e-6)


def test_rates_of_layers_are_parts_of_the_growing_rate():
    params = {"low": jnp.ones(2), "high": jnp.ones(2)}
    layers = Layers({"low": 0, "high": 1}, {"low": False, "high": False}, decay=0.5)
    together = Together((layers, Growth(base=0.5, rates=[0.01, 0.1])))
    optimizer = Layerwise(as_optimizer(optax.sgd(0.5)), together)
    state = optimizer.init(params)

    for rate in (0.01, 0.1):
        updates, state = optimizer.update(params, state, params)
        np.testing.assert_allclose(updates["high"], [-rate, -rate], rtol=1e-6)
        np.testing.assert_allclose(updates["low"], [-rate / 2, -rate / 2], rtol=1e-6)


def found_by(trainer, *overrides, **options):
    return range_test(trainer.config(*overrides), trainer.dataset, trainer.registry, **{"steps": 30, **options})


def test_the_same_seed_finds_the_same_and_a_schedule_does_not_matter(trainer):
    constant = found_by(trainer)
    scheduled = found_by(trainer, "optimizer.schedule=linear", "optimizer.warmup_steps=20", "training.max_steps=5")
    other = found_by(trainer, "training.seed=1")

    assert scheduled == constant
    assert other.losses != constant.losses
    assert constant.rates[0] == pytest.approx(0.002 * 1e-4)
    assert list(trainer.folder.iterdir()) == []


def test_a_test_ends_where_the_loss_explodes_and_tells_rates_before_it(trainer):
    found = found_by(trainer, "optimizer={name='sgd'}", "training.max_grad_norm=10.0", bounds=(1e-2, 1e8))

    assert found.ended_early
    assert len(found.rates) == len(found.losses) < 30
    assert np.isfinite(found.losses).all()
    assert 1e-2 <= found.suggestion < found.rates[-1]


def test_documents_are_tested_by_their_own_batches(registry, tmp_path):
    data = labelled_dataset(tmp_path)
    # Documents of like lengths, so that one shape is compiled.
    sizes = ("task.embedding_size=8", "model.hidden_size=8", "task.max_padding=0.9", "training.batch_size=64")
    config = load_config(
        None,
        registry,
        flags={"model.name": "lstm", "task.name": "classify", "data.path": str(data.path)},
        overrides=[*sizes, "training.epochs=1"],
    )

    found = range_test(config, data, registry, steps=15, bounds=(1e-4, 1.0), devices=DeviceOptions(devices=1))

    assert found.losses[0] == pytest.approx(np.log(3), abs=0.1)  # three classes, nothing learned
    assert 1e-4 <= found.suggestion < 1


def test_what_has_no_learning_rate_is_refused(trainer, registry):
    counted = load_config(None, registry, flags={"model.name": "ngram"}, overrides=[])

    with pytest.raises(ConfigError, match="model 'ngram' takes no steps"):
        range_test(counted, trainer.dataset, registry)


@pytest.mark.parametrize("text", ["1..", "1e-3", "1..0.1", "0..1", "a..b", "1..inf", "nan..1"])
def test_a_range_is_two_rates(text):
    from lmtool.cli.find_lr import bounds_of

    with pytest.raises(UsageError, match="--lr-range must be"):
        bounds_of(text)


@given(
    ys=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=200), width=st.integers(24, 120), height=st.integers(2, 20)
)
@settings(max_examples=50, deadline=None)
def test_a_chart_fills_its_space_and_no_more(ys, width, height):
    lines = curve(ys, width=width, height=height, mark=len(ys) - 1)

    assert len(lines) == height
    assert {len(line) for line in lines} == {width}
    assert lines[0].startswith(f"{max(ys):.3f}".rjust(lines[0].index("┤") - 1))


@pytest.fixture
def options(trainer):
    words = [word for one in ("model.hidden_size=8", "training.batch_size=4") for word in ("--set", one)]
    return ("train", "--model", "lstm", "--data", trainer.dataset.path, *words, "--find-lr")


def test_the_command_prints_a_rate_and_draws_a_picture(options, lmtool):
    done = lmtool(*options, "--plot", "rates.png", "--lr-range", "1e-6..10")

    assert done.code == 0, done.stderr
    assert 1e-6 < float(done.stdout) < 10
    assert done.stdout.count("\n") == 1
    assert (lmtool.cwd / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert [one.name for one in lmtool.cwd.iterdir()] == ["rates.png"]
    assert "falls fastest at" in done.stderr


def test_the_curve_can_be_had_as_json():
    found = judged(RATES, valley(1e-4, 1e-3, 1e-1), ended_early=False)

    known = json.loads(json.dumps(to_json(found)))

    assert known["learning_rate"] == found.suggestion
    assert [one["learning_rate"] for one in known["steps"]] == RATES
    assert known["steps"][0] == {"learning_rate": 1e-5, "loss": 5.0, "smoothed": pytest.approx(5.0)}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("-o", "run"), "-o has no use with --find-lr"),
        (("--force",), "--force has no use with --find-lr"),
        (("--plot", "rates.gif"), "must end in one of .png, .svg, .pdf"),
        (("--lr-range", "1"), "--lr-range must be LOW..HIGH"),
        (("--model", "ngram"), "takes no steps"),
    ],
)
def test_what_makes_no_sense_is_said(trainer, capsys, more, said):
    with pytest.raises(SystemExit) as end:
        run(["train", "--model", "lstm", "--data", str(trainer.dataset.path), "--find-lr", *more])

    assert end.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--plot", "rates.png"), ("--lr-range", "1e-3..1")])
def test_options_of_the_range_test_alone_are_refused(capsys, option):
    with pytest.raises(SystemExit) as end:
        run(["train", "--model", "lstm", *option])

    assert end.value.code == 2
    assert f"{option[0]} belongs to --find-lr" in capsys.readouterr().err


def test_without_matplotlib_the_command_says_how_to_install_it(options, lmtool):
    (lmtool.cwd / "site").mkdir()
    (lmtool.cwd / "site" / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'matplotlib' else find(name, *rest)\n"
    )
    lmtool.environment["PYTHONPATH"] = str(lmtool.cwd / "site")

    done = lmtool(*options, "--plot", "rates.png")

    assert done.code == 2
    assert "Matplotlib is not installed" in done.stderr
    assert "hint: `pip install 'lmtool[plots]'`" in done.stderr
