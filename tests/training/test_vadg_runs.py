"""Runs of `vadg`: the plain step as its limit, the same bits after a stop or a kill, a posterior beside the model."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

from lmtool.errors import Interrupted

VADG = ("optimizer.name=vadg", "optimizer.learning_rate=0.5", "training.micro_batches=2")
WRAPPED = ("training.ema_decay=0.9", "training.layer_decay=0.5", "training.freeze=['backbone.layer_0_bias']")
VARIANTS = {
    "plain": (),
    "wrapped": WRAPPED,
    "bfloat16": ("training.precision=bfloat16",),
    "vadam": ("optimizer.method=vadam", "training.steps_per_dispatch=4"),
}


def arrays(run, name="weights"):
    return load_file(run.path / "model" / f"{name}.safetensors")


def assert_same_bits(run, other):
    for name in ("weights", "posterior"):
        mine, theirs = arrays(run, name), arrays(other, name)
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(array, theirs[key]) for key, array in mine.items()), name
    assert run.result["valid_loss"] == other.result["valid_loss"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(trainer, variant):
    settings = (*VADG, *VARIANTS[variant])
    whole = trainer("whole", *settings)
    with pytest.raises(Interrupted):
        trainer("stopped", *settings, report=trainer.stop_when("validating", 2))

    assert_same_bits(whole, trainer("stopped", *settings))
    assert whole.result["valid_loss"] < np.log(30)  # of about 30 characters


def test_a_run_that_was_killed_ends_with_the_bits_of_one_that_was_not(trainer, monkeypatch):
    """Killed at the second time that it would write a checkpoint, some steps after the first."""
    whole = trainer("whole", *VADG)
    with monkeypatch.context() as killing:
        save, saved = "lmtool.training.checkpoint.Checkpoints.save", []

        def killed(self, step, *arguments, **options):
            if saved:
                raise MemoryError
            saved.append(step)
            return real(self, step, *arguments, **options)

        from lmtool.training.checkpoint import Checkpoints

        real = Checkpoints.save
        killing.setattr(save, killed)
        with pytest.raises(MemoryError):
            trainer("killed", *VADG)

    assert_same_bits(whole, trainer("killed", *VADG))


def test_deviations_lie_beside_the_model_and_frozen_weights_have_none(trainer):
    run = trainer("wrapped", *VADG, *WRAPPED)
    weights, deviations = arrays(run), arrays(run, "posterior")

    frozen = [name for name in deviations if name.endswith("layer_0_bias")]
    assert frozen
    for name, deviation in deviations.items():
        assert deviation.shape == weights[name].shape
        assert np.all(deviation == 0) if name in frozen else np.all(deviation > 0), name


def test_without_noise_momentum_and_prior_a_run_is_that_of_sgd_to_the_bit(trainer):
    plain = trainer("sgd", "optimizer.name=sgd", "optimizer.learning_rate=0.5", "optimizer.schedule=linear")
    limit = trainer(
        "vadg",
        *("optimizer.name=vadg", "optimizer.learning_rate=0.5", "optimizer.schedule=linear"),
        *("optimizer.noise=0.0", "optimizer.b1=0.0", "optimizer.b2=1.0", "optimizer.weight_decay=0.0"),
    )

    expected = arrays(plain)
    assert all(np.array_equal(array, expected[name]) for name, array in arrays(limit).items())
    assert limit.result["valid_loss"] == plain.result["valid_loss"]
    assert all(not np.any(deviation) for deviation in arrays(limit, "posterior").values())
