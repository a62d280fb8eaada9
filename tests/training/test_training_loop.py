"""The loop: it learns, logs, validates, stops when it should, and goes on as if it had never stopped."""

from __future__ import annotations

import json
import math
import threading

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from lmtool.config import DataConfig
from lmtool.data.prepare import build, make_plan
from lmtool.data.tokenizer_folder import open_tokenizer
from lmtool.errors import ConfigError, DataError, DivergedError, ExitCode, Interrupted
from lmtool.tasks.lm import LanguageModelling
from lmtool.training.clock import Clock
from lmtool.training.loop import TrainingLoop


def metrics(run):
    """Lines of metrics.jsonl without what depends on the machine."""
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "timing"} for line in lines]


def weights(run):
    return load_file(run.path / "model" / "weights.safetensors")


def newest_arrays(run):
    """The raw files of the newest checkpoint, by their checksums."""
    newest = max((run.path / "checkpoints").iterdir())
    state = json.loads((newest / "loop.json").read_text())
    return newest.name, {key: value for key, value in state.items() if key not in ("elapsed", "log_size")}


def assert_same(run, other):
    assert metrics(run) == metrics(other)
    assert newest_arrays(run) == newest_arrays(other)
    assert weights(run).keys() == weights(other).keys()
    assert all(np.array_equal(array, weights(other)[name]) for name, array in weights(run).items())


@pytest.fixture
def whole(trainer):
    """A run that was never stopped."""
    return trainer("whole")


def test_training_logs_validates_and_finishes(whole, trainer):
    lines = metrics(whole)
    assert [(line["kind"], line["step"]) for line in lines] == [
        ("train", 5), ("valid", 8), ("train", 10), ("train", 15), ("valid", 16), ("train", 20), ("valid", 24),
        ("train", 24),
    ]  # fmt: skip
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert lines[0]["learning_rate"] == pytest.approx(0.002)
    best = min(line["token_perplexity"] for line in lines if line["kind"] == "valid")
    assert whole.is_finished
    assert whole.result["valid_token_perplexity"] == best
    assert {"compiling", "validating"} <= set(trainer.phases)
    assert whole.result["compile_seconds"] > 0


def test_the_model_is_the_one_that_was_validated(whole, dataset):
    model = whole.language_model()
    split = dataset.split("valid")
    scores, _ = model.score(split.read(0, split.num_tokens)[None], model.initial_state(1))

    assert math.exp(-scores.mean()) == pytest.approx(whole.result["valid_token_perplexity"], rel=0.02)


def test_what_waits_for_validations_is_said_where_there_are_none(trainer, monkeypatch):
    monkeypatch.setattr("lmtool.training.make_validation", lambda *_, **__: None)

    trainer("without", "training.max_steps=1", "training.patience=2", "optimizer.schedule=plateau")

    [warning] = trainer.warnings
    assert warning.startswith('training.patience and optimizer.schedule = "plateau" will change nothing')


def test_a_finished_run_is_left_alone(whole, trainer):
    before = {path: path.stat().st_mtime_ns for path in whole.path.rglob("*")}
    again = trainer("whole")

    assert again.is_finished
    assert {path: path.stat().st_mtime_ns for path in whole.path.rglob("*")} == before


def test_the_same_seed_gives_the_same_run_and_another_seed_another(whole, trainer):
    assert_same(whole, trainer("again"))

    other = trainer("other", "training.seed=1")
    assert metrics(other)[0]["loss"] != metrics(whole)[0]["loss"]


@pytest.mark.parametrize(("phase", "count"), [("compiling", 1), ("validating", 1), ("validating", 5)])
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(whole, trainer, phase, count):
    with pytest.raises(Interrupted, match="stopped by SIGTERM at step") as caught:
        trainer("stopped", report=trainer.stop_when(phase, count))
    assert caught.value.exit_code == ExitCode.SAVED

    assert_same(whole, trainer("stopped"))


def test_a_killed_run_goes_on_from_its_last_checkpoint(whole, trainer, monkeypatch):
    """Killed while it was writing the model: what came after the last checkpoint is done again."""

    def killed(self, model, posterior):
        raise MemoryError

    monkeypatch.setattr("lmtool.run.Run.write_model", killed)
    with pytest.raises(MemoryError):
        trainer("killed")
    monkeypatch.undo()
    log = trainer.folder / "killed" / "metrics.jsonl"
    log.write_text(log.read_text() + '{"kind": "tra')  # half a line

    assert_same(whole, trainer("killed"))


def test_a_damaged_checkpoint_is_passed_over(whole, trainer):
    with pytest.raises(Interrupted):
        trainer("damaged", report=trainer.stop_when("validating", 5))
    newest = max((trainer.folder / "damaged" / "checkpoints").iterdir())
    (newest / "loop.json").write_text("{}")

    assert_same(whole, trainer("damaged"))
    assert "loop.json is damaged" in trainer.warnings[0]


@pytest.fixture(scope="module")
def grouped(tmp_path_factory, trainer_in):
    """A run, never stopped, of four steps a dispatch; its stops are at 6, 8, 12, 16, 18 and 24."""
    return trainer_in(tmp_path_factory.mktemp("grouped"))("whole", "training.steps_per_dispatch=4")


def test_several_steps_in_a_dispatch_give_the_same_curve(whole, grouped):
    one, other = metrics(whole), metrics(grouped)

    assert [(line["kind"], line["step"]) for line in one] == [(line["kind"], line["step"]) for line in other]
    assert [line["loss"] for line in other] == pytest.approx([line["loss"] for line in one], rel=1e-4)


@pytest.mark.parametrize("step", [3, 13])  # in the middle of a dispatch, and after one of a single step
def test_a_run_of_several_steps_in_a_dispatch_goes_on_from_anywhere(grouped, trainer, monkeypatch, step):
    """Stopped after any number of steps, so that what is left is parted otherwise: no bit differs."""
    settings = "training.steps_per_dispatch=4"
    with monkeypatch.context() as short:
        short.setattr("lmtool.training.loop.total_steps", lambda config, steps_per_epoch: step)
        short.setattr("lmtool.training.loop.TrainingLoop._finish", lambda loop: loop._save() or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trainer("stopped", settings)

    assert_same(grouped, trainer("stopped", settings))


def test_averaged_weights_are_validated_and_shipped_and_steps_go_on_from_the_others(whole, trainer):
    averaged = trainer("averaged", "training.ema_decay=0.9")

    of_steps = [[line["loss"] for line in metrics(run) if line["kind"] == "train"] for run in (whole, averaged)]
    of_validations = [[line["loss"] for line in metrics(run) if line["kind"] == "valid"] for run in (whole, averaged)]
    assert of_steps[1] == pytest.approx(of_steps[0], rel=1e-5)
    assert of_validations[1] != pytest.approx(of_validations[0], rel=1e-5)
    assert averaged.result["valid_loss"] == min(of_validations[1])


@pytest.fixture
def restless():
    """Settings with which the validation loss goes up and down."""
    return ("optimizer.learning_rate=30.0", "training.eval_every=4")


def test_weights_are_averaged_once_the_trigger_fires(trainer, restless):
    plain, averaged = trainer("plain", "optimizer.name=sgd", *restless), trainer(
        "averaged", "optimizer.name=asgd", "optimizer.nonmono=1", *restless
    )  # fmt: skip
    steps, validations = (
        [[line["loss"] for line in metrics(run) if line["kind"] == kind] for run in (plain, averaged)]
        for kind in ("train", "valid")
    )
    fires = next(k for k, loss in enumerate(validations[0]) if k > 1 and loss > min(validations[0][: k - 1]))

    assert fires < 5, "the last validation is after the trigger"
    assert steps[1] == pytest.approx(steps[0], rel=1e-3)
    assert validations[1][: fires + 1] == pytest.approx(validations[0][: fires + 1], rel=1e-3)
    assert validations[1][fires + 1] != pytest.approx(validations[0][fires + 1], rel=1e-3)


def test_a_trigger_goes_on_waiting_after_a_stop(trainer, restless):
    settings = ("optimizer.name=asgd", "optimizer.nonmono=1", *restless)
    whole = trainer("whole", *settings)
    for count in (1, 1, 2):  # a validation that is put off is the first of the next
        with pytest.raises(Interrupted):
            trainer("stopped", *settings, report=trainer.stop_when("validating", count))

    assert_same(whole, trainer("stopped", *settings))


def test_a_plateau_lowers_the_rate_that_is_logged_and_goes_on_after_a_stop(trainer):
    # so small a rate that no validation is better than the first
    settings = ("optimizer.name=sgd", "optimizer.learning_rate=1e-30", "optimizer.schedule=plateau")
    with pytest.raises(Interrupted):
        trainer("waiting", *settings, report=trainer.stop_when("validating", 3))

    run = trainer("waiting", *settings)

    rates = [line["learning_rate"] for line in metrics(run) if line["kind"] == "train"]
    # validations after 8, 16 and 24 steps, lines after 5, 10, 15, 20 and 24
    assert rates == pytest.approx([1e-30, 1e-30, 1e-30, 5e-31, 5e-31])


def test_no_thread_is_left_behind(trainer):
    with pytest.raises(Interrupted):
        trainer("stopped", report=trainer.stop_when("compiling"))

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lmtool")]


def test_going_on_does_not_compile_a_second_time(trainer, monkeypatch):
    """Restored arrays must look to `jit` as those of a fresh run do, also when an epoch begins."""
    steps = []
    compile_step = trainer.registry.find("step", "descent").load()
    monkeypatch.setattr(
        "lmtool_descent.step.compile_step", lambda *a, **k: steps.append(compile_step(*a, **k)) or steps[-1]
    )
    settings = ("training.batch_size=64", "training.max_steps=40")  # about 18 steps an epoch
    with pytest.raises(Interrupted):
        trainer("stopped", *settings, report=trainer.stop_when("validating", 1))
    run = trainer("stopped", *settings)

    assert run.result["last_step"] == 40
    assert [step._cache_size() for step in steps] == [1, 1]


def test_another_config_is_refused_by_its_first_difference(whole, trainer):
    with pytest.raises(ConfigError, match=r"was begun with model.hidden_size 12, now it is 13") as caught:
        trainer("whole", "model.hidden_size=13", "training.bptt=7")

    assert "--force" in caught.value.hint


def test_evaluation_settings_may_change(whole, trainer):
    assert trainer("whole", "evaluation.batch_size=3").is_finished


def test_force_starts_over(whole, trainer):
    run = trainer("whole", "training.max_steps=3", force=True)

    assert [line["step"] for line in metrics(run)] == [3, 3]
    assert run.result["last_step"] == 3


def test_early_stopping_counts_validations_without_gain(trainer):
    # a step of 1e-30 changes no weight, so that no validation after the first is better
    run = trainer("patient", "optimizer.learning_rate=1e-30", "training.patience=2", "training.eval_every=2")

    assert run.result["last_step"] == 6
    assert run.result["step"] == 2


def test_time_limit_ends_training(trainer):
    run = trainer("short", "training.max_minutes=1e-6")

    assert run.is_finished
    assert run.result["last_step"] < 24
    assert run.result["step"] == run.result["last_step"], "the model so far is validated and kept"
    assert run.language_model().vocab_size > 0


@pytest.mark.parametrize(("minutes", "nearer"), [(1, 45 / 60), (1000, 1 / 24)])
def test_progress_follows_the_limit_that_comes_first(trainer, monkeypatch, minutes, nearer):
    monkeypatch.setattr(Clock, "SHOW_EVERY", 0.0)
    monkeypatch.setattr(Clock, "elapsed", lambda self: 45.0)
    reports = []

    trainer("run", f"training.max_minutes={minutes}", report=lambda *args, **fields: reports.append((*args, fields)))

    training = [(fraction, fields) for phase, fraction, fields in reports if phase == "training"]
    assert [fraction for fraction, _ in training] == [max(nearer, step / 24) for step in range(1, 25)]
    assert all(list(fields) == ["loss", "tokens/s", "left"] for _, fields in training)
    assert [fields["left"] for _, fields in training][-1] == "0:00:00"
    validating = [fraction for phase, fraction, _ in reports if phase == "validating"]
    # each validation goes from nothing to all of its own text
    assert (validating.count(0.0), validating[-1]) == (3, 1.0)


def test_without_a_validation_split_the_last_model_is_kept(trainer, dataset, registry, tmp_path):
    plan = make_plan(
        DataConfig(train=[str(dataset.path.parent / "train.txt")]),
        None,
        registry,
        ready=open_tokenizer(dataset.path, registry),
    )
    only_train = build(plan, tmp_path / "only-train")
    run = trainer("unvalidated", dataset=only_train)

    assert run.result["step"] == 24
    assert "valid_loss" not in run.result
    assert run.language_model().vocab_size == dataset.vocab_size


def test_divergence_names_the_step_and_keeps_the_last_good_checkpoint(trainer):
    settings = ("optimizer.name=sgd", "optimizer.learning_rate=1e30", "training.checkpoint_every=1")
    with pytest.raises(DivergedError, match=r"loss is .* at step [2-9]") as caught:
        trainer("diverged", *settings)

    assert caught.value.exit_code == ExitCode.DIVERGED
    assert "checkpoint of step" in caught.value.hint
    kept = max((trainer.folder / "diverged" / "checkpoints").iterdir())
    assert (kept / "SHA256SUMS").is_file()


def test_metrics_are_fetched_together_when_there_is_need(trainer, monkeypatch):
    fetched = []
    read = TrainingLoop._read

    def counting(loop, **options):
        before = loop.loop.step
        read(loop, **options)
        fetched.append(loop.loop.step - before)

    monkeypatch.setattr(Clock, "SHOW_EVERY", math.inf)
    monkeypatch.setattr(TrainingLoop, "_read", counting)
    run = trainer("run")

    # checkpoints at 6, 12, 18 and 24, validations at 8, 16 and 24
    assert [count for count in fetched if count] == [6, 2, 4, 4, 2, 6]
    assert [line["step"] for line in metrics(run) if line["kind"] == "train"] == [5, 10, 15, 20, 24]


def test_a_loss_that_is_not_finite_is_noticed_before_anything_is_saved(trainer, monkeypatch):
    loss = LanguageModelling.loss

    def no_number(self, *arguments):
        value, rest = loss(self, *arguments)
        return value * math.nan, rest

    monkeypatch.setattr(LanguageModelling, "loss", no_number)
    monkeypatch.setattr(Clock, "SHOW_EVERY", math.inf)

    with pytest.raises(DivergedError, match=r"loss is nan .* at step 1$"):
        trainer("diverged")

    assert not (trainer.folder / "diverged" / "checkpoints").exists()


def test_two_processes_cannot_train_the_same_run(trainer):
    with pytest.raises(Interrupted):
        trainer("locked", report=trainer.stop_when("compiling"))
    from lmtool.run import Run

    with (
        Run.open(trainer.folder / "locked", trainer.registry).locked(),
        pytest.raises(DataError, match="another process is training"),
    ):
        trainer("locked")


def test_trackers_are_told_and_closed(trainer, monkeypatch):
    told = []

    class Tracker:
        def __init__(self, config, *, run):
            told.append(run.name)

        def log(self, step, values):
            told.append((step, *values))

        def close(self):
            told.append("closed")

    monkeypatch.setattr("lmtool.training._trackers", lambda config, run, registry: [Tracker(None, run=run.path)])
    trainer("tracked", "training.max_steps=5")

    assert told == [
        "tracked",
        (5, "train/loss", "train/learning_rate"),
        (5, "valid/loss", "valid/token_perplexity"),
        "closed",
    ]


def test_speed_counts_neither_compilation_nor_validation(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    clock = Clock()
    clock.start(50.0)
    with clock.compiling("short"):
        now[0] += 20
    with clock.compiling("long"):
        now[0] += 10
    for _ in range(2):
        with clock.compiling("short"):  # is compiled: counted
            now[0] += 1
        clock.count(10)
    with clock.paused():
        now[0] += 5
    now[0] += 1
    clock.count(10)

    assert clock.tokens_per_second == pytest.approx(30 / 3)
    assert clock.elapsed() == pytest.approx(50 + 30 + 3 + 5)
    assert (clock.compile_seconds_once(), clock.compile_seconds_once()) == (30, None)


def test_restored_weights_have_the_type_of_fresh_ones():
    from lmtool.training.state import on_device

    assert not on_device({"scale": jnp.full((), 0.5)})["scale"].weak_type
