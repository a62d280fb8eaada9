"""From a config and a dataset to a trained run: models that are fitted, and models that take steps."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

from lmtool.config import choose_inline
from lmtool.contents import is_imported
from lmtool.devices import DeviceOptions
from lmtool.errors import ConfigError, DataError, UsageError
from lmtool.run import RECORD, Run
from lmtool.run_changes import check_unchanged
from lmtool.tasks.fitted import fitted_model, gives_classes, predicted_by
from lmtool.training.judges import answer_judges, check_judges
from lmtool.training.learner import make_learner
from lmtool.training.metrics_log import MAX_LOSS, MetricsLog
from lmtool.training.processes import Processes
from lmtool.training.validation import make_validation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lmtool.api import Answerer, Classifier, LanguageModel, ResumableModel
    from lmtool.config import Choice, RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.registry import Registry
    from lmtool.signals import StopRequest
    from lmtool.training.parts import Report


def train(
    config: RunConfig,
    dataset: Dataset,
    path: Path,
    registry: Registry,
    *,
    stop: StopRequest,
    report: Report = lambda phase, fraction, **fields: None,
    warn: Callable[[str], None] = lambda message: None,
    force: bool = False,
    devices: DeviceOptions | None = None,
    processes: Processes | None = None,
) -> Run:
    """Train a run to its end, from where it is.

    Args:
        config: Decides everything, together with the dataset.
        dataset: Its `train` split is learned from; its `valid` split, if there is one, picks the best model.
        path: The run folder. A finished run of the same config and dataset is left as it is.
        registry: Where components are looked up.
        stop: Looked at between steps, and by what is fitted and can go on later.
        report: Told how far it is.
        warn: Told what may be wrong.
        force: Throw away what is in `path` and start over.
        devices: Which share the work of a model that takes steps; all of this machine's if left out.
        processes: Those that train the run together; this one alone if left out.

    Raises:
        ConfigError: if `path` holds a run of another config or dataset.
        DataError: if a file is missing or damaged, or there is nothing to learn from.
        DivergedError: if the loss is no longer finite; the last good checkpoint stays.
        Interrupted: if a signal asked to stop; the state is saved.
    """
    if not config.model.found.component.capabilities & {"backbone", "fitted"}:
        raise ConfigError(
            f"model '{config.model.name}' says neither `backbone` nor `fitted` of itself",
            hint='its plugin must say it: `Component(…, capabilities={"backbone"})`',
        )
    processes = processes or Processes()
    if config.optimizer is None and processes.count > 1:
        raise UsageError(
            f"model '{config.model.name}' is estimated by one process, not by {processes.count}",
            hint="leave out --distributed and --coordinator",
        )
    with processes.together(), contextlib.ExitStack() as held:
        run = processes.in_turn(
            lambda: _open_or_create(config, dataset, path, registry, force=force),
            lambda: _open(config, dataset, path, registry),
        )
        if processes.first(lambda: run.is_finished or held.enter_context(run.locked()).is_finished):
            return run
        if processes.is_first and run.config.get("evaluation") != config.to_dict()["evaluation"]:
            warn(f"[evaluation] of {run.path} stays as it was; `lmtool eval --set evaluation.KEY=VALUE` changes it")
        if config.optimizer is None:
            _fit(config, dataset, run, stop, report)
        else:
            with stop.deferred():  # a library that catches every exception at import would swallow the signal
                _take_steps(config, dataset, run, registry, processes, devices or DeviceOptions(), stop, report, warn)
    return run if processes.is_first else Run.open(path, registry)


def _open_or_create(config: RunConfig, dataset: Dataset, path: Path, registry: Registry, *, force: bool) -> Run:
    if not is_imported(config):
        dataset.split("train")
    _check_fields(config.task, dataset)
    check_judges(config, registry)
    if not force and (path / RECORD).is_file():
        return _open(config, dataset, path, registry)
    return Run.create(path, config, dataset, registry, force=force)


def _check_fields(task: Choice, dataset: Dataset) -> None:
    """Raise DataError, before there is a run, if documents lack the labels or targets that the task learns."""
    predicts = predicted_by(task)
    if predicts == "classes":
        _ = dataset.label_names
    elif predicts == "texts":
        _ = dataset.target_vocab_size


def _open(config: RunConfig, dataset: Dataset, path: Path, registry: Registry) -> Run:
    run = Run.open(path, registry)
    check_unchanged(run, config, dataset)
    return run


def _fit(config: RunConfig, dataset: Dataset, run: Run, stop: StopRequest, report: Report) -> None:
    """A model that is estimated at once."""
    made, resumable = fitted_model(config.model, config.task), _is_resumable(config)
    with run.scratch(resumable=resumable) as scratch:
        if resumable:
            model = cast("ResumableModel", made).fit(dataset, progress=report, scratch=scratch, stop=stop)
        else:
            model = made.fit(dataset, progress=report, scratch=scratch)
        run.write_model(model)
        _finish_fitted(config, dataset, run, model, report)


def _is_resumable(config: RunConfig) -> bool:
    """Not so of a language model that becomes a classifier: it is fitted once for each class."""
    capabilities = config.model.found.component.capabilities
    return "resumable" in capabilities and ("classifier" in capabilities or not gives_classes(config.task))


def _finish_fitted(
    config: RunConfig, dataset: Dataset, run: Run, model: LanguageModel | Classifier | Answerer, report: Report
) -> None:
    """Note how good a fitted model is."""
    log = MetricsLog(run.path / "metrics.jsonl")
    log.truncate(0)
    result: dict[str, Any] = {"step": 0, **getattr(model, "facts", {})}
    predicts = predicted_by(config.task)
    has_loss = predicts != "texts" or hasattr(model, "target_log_probs")  # not every answerer gives probabilities
    if has_loss and (validate := make_validation(dataset, config.training, predicts=predicts)):
        figures = validate(model, lambda fraction: report("validating", fraction))
        if not figures["loss"] < MAX_LOSS:
            raise DataError(f"the validation text has a loss of {figures['loss']:g} nats under this model")
        result |= _of_validation(figures)
        log.append({"kind": "valid", "step": 0, "epoch": 1, **figures}, {})
    run.finish(result)


def _of_validation(figures: Mapping[str, float]) -> dict[str, float]:
    return {f"valid_{name}": value for name, value in figures.items()}


def _take_steps(
    config: RunConfig,
    dataset: Dataset,
    run: Run,
    registry: Registry,
    processes: Processes,
    devices: DeviceOptions,
    stop: StopRequest,
    report: Report,
    warn: Callable[[str], None],
) -> None:
    """A model that learns by gradient."""
    learner = make_learner(config, dataset, registry, warn, devices=devices, processes=processes)
    from lmtool.training.agreement import Agreement
    from lmtool.training.checkpoint import Checkpoints
    from lmtool.training.loop import TrainingLoop
    from lmtool.training.parts import Parts

    training, placement = config.training, learner.placement
    predicts = predicted_by(config.task)
    validate = make_validation(
        dataset,
        training,
        predicts=predicts,
        evaluators=answer_judges(config, registry),
        reward=learner.reward,
        task=learner.task,
    )
    if validate is None and processes.is_first and (waiting := _waiting(config)):
        what = f"{' and '.join(waiting)} will change nothing: there is no validation text"
        warn(f"{what}; `--set data.valid_fraction=0.1` holds some out")
    parts = Parts(
        task=learner.task,
        optimizer=learner.optimizer,
        step=learner.step,
        placement=placement,
        new_carry=learner.new_carry,
        fixed=learner.fixed,
        config=training,
        run=run,
        checkpoints=Checkpoints(run.path / "checkpoints", warn, processes),
        validate=validate,
        trackers=_trackers(config, run, registry) if processes.is_first else [],
        report=report,
        stop=Agreement(processes, placement, stop),
        processes=processes,
    )
    try:
        loop = TrainingLoop(parts, placement.place_state(processes.of_first(learner.initial_state())))
        end = loop.run()
    finally:
        for tracker in parts.trackers:
            tracker.close()
    result: dict[str, Any] = {"step": end.best_step, "last_step": end.step, "seconds": round(end.elapsed, 1)}
    result["compile_seconds"] = round(loop.clock.compile_seconds, 2)
    result |= _of_validation(end.best_figures)
    processes.first(lambda: run.finish(result))


def _waiting(config: RunConfig) -> list[str]:
    """The settings that only validations give an effect."""
    optimizer = config.optimizer
    assert optimizer is not None
    found = ["training.patience"] if config.training.patience else []
    if config.training.monitor not in ("loss", "reward"):  # nobody need have asked for these
        found.append("training.monitor")
    if config.training.evaluators:
        found.append("training.evaluators")
    is_plateau = getattr(optimizer.config, "schedule", None) == "plateau"
    return [*found, 'optimizer.schedule = "plateau"'] if is_plateau else found


def _trackers(config: RunConfig, run: Run, registry: Registry) -> list[Any]:
    choices = [choose_inline("tracker", one, registry, "training.trackers") for one in config.training.trackers]
    made: list[Any] = []
    try:
        for choice in choices:
            made.append(choice.load()(choice.config, run=run.path))  # noqa: PERF401 - closed if a later one fails
    except BaseException:
        for tracker in made:
            tracker.close()
        raise
    return made


__all__ = ["train"]
