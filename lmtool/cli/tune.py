"""`lmtool tune`: search for settings that validate best."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmtool.cli import terminal
from lmtool.cli.train import data_flags

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmtool.config import RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.tuning.record import Record
    from lmtool.tuning.search import Limits
    from lmtool.tuning.space import Space

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def tune(
    config: Annotated[Path, typer.Argument(help="A TOML config, as for `lmtool train`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder that the trials go into.")],
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long in all, over restarts: 90s, 30m, 2h, 1h30m.")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials in all.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trials at a time; the cores are shared out among them.")] = 1,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=SPEC",
            help="section.key=LOW..HIGH, with :log or :int behind it, or section.key=A,B,C; may be repeated.",
        ),
    ] = None,
    space: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A TOML file with the same in a table [search].")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="A dataset folder, or raw text to learn from; raw text may be given again.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, over all else.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and warnings on stderr.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of the table.")] = False,
) -> None:
    """Search for settings that validate best, and write them as a config.

    Each trial is a run of its own in the folder, trained by a process of its own, and stopped early where it falls
    behind. The first one has the config's own settings. The same command goes on after an interruption; with a larger
    budget it adds trials. FOLDER/best.toml is the config of the best. The test split is never looked at.
    """
    from lmtool.data.of_config import dataset_of
    from lmtool.signals import StopRequest
    from lmtool.training.judges import check_judges
    from lmtool.tuning.suggest import check_installed

    terminal.settings.quiet = terminal.settings.quiet or quiet
    limits = _limits(budget, trials, jobs)
    config_of = _configs(config, data_flags(data or []), overrides or [])
    base = config_of({})
    searched = _space(base, search or [], space, config_of)
    check_installed()
    check_judges(base, terminal.registry())
    with StopRequest() as stop, terminal.progress() as shown:
        dataset = dataset_of(base, terminal.registry(), shown.update)
        record = _record(output, base, dataset, searched)
        _search(record, base, searched, config_of, limits, stop, shown)
    _answer(record, searched, base.training.monitor, as_json=as_json)


def _limits(budget: str | None, trials: int | None, jobs: int) -> Limits:
    from lmtool.errors import UsageError
    from lmtool.tuning.search import Limits

    if budget is None and trials is None:
        raise UsageError("say when the search is over", hint="`--budget 30m`, or `--trials 20`, or both")
    return Limits(None if budget is None else seconds_of(budget), trials, jobs)


def seconds_of(text: str) -> float:
    """A time such as 90s, 30m, 1.5h or 1h30m in seconds; raises UsageError."""
    import re

    from lmtool.errors import UsageError

    number = r"\d+(?:\.\d+)?"
    found = re.fullmatch(rf"(?:({number})h)?(?:({number})m)?(?:({number})s)?", text.strip())
    seconds = (
        sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
    )
    if seconds <= 0:
        raise UsageError(f"--budget must be a time such as 90s, 30m or 1h30m, got '{text}'")
    return seconds


def _configs(file: Path, flags: dict[str, Any], overrides: list[str]) -> Callable[[dict[str, Any]], RunConfig]:
    """From settings to the config with them in it; the file is read once, so that it may change meanwhile."""
    from copy import deepcopy

    from lmtool.config import resolve
    from lmtool.raw_config import apply_overrides, read_raw

    raw = read_raw(file)
    for key, value in flags.items():
        if value is not None:
            raw.set(key, value, "command line")
    apply_overrides(raw, overrides)

    def config_of(settings: dict[str, Any]) -> RunConfig:
        changed = deepcopy(raw)
        for key, value in settings.items():
            changed.set(key, value, "--search")
        return resolve(changed, terminal.registry())

    return config_of


def _space(
    base: RunConfig, search: list[str], file: Path | None, config_of: Callable[[dict[str, Any]], RunConfig]
) -> Space:
    """What is searched. Raises ConfigError for a value that the config cannot have: now, not after hours."""
    from lmtool.errors import ConfigError
    from lmtool.tasks.fitted import gives_classes
    from lmtool.tuning.space import check_searchable, default_space, parse_space

    space = parse_space(search, file) if search or file else default_space(base)
    check_searchable(space, classes=gives_classes(base.task))
    for key, values in space.items():
        for value in values.ends:
            try:
                config_of({key: value})
            except ConfigError as error:
                raise ConfigError(error.message, _hint(key, value, config_of) or error.hint) from None
    return space


def _hint(key: str, value: Any, config_of: Callable[[dict[str, Any]], RunConfig]) -> str | None:
    """Where a number is refused that would be right as a whole one."""
    from lmtool.errors import ConfigError

    if not (isinstance(value, float) and value.is_integer()):
        return None
    try:
        config_of({key: int(value)})
    except ConfigError:
        return None
    return "`:int` behind the range makes whole numbers of it"


def _record(folder: Path, base: RunConfig, dataset: Dataset, space: Space) -> Record:
    from lmtool.errors import DataError
    from lmtool.raw_config import flat
    from lmtool.run_changes import COMPARED
    from lmtool.tasks.fitted import predicted_by
    from lmtool.training.validation import make_validation
    from lmtool.tuning.record import Record

    if make_validation(dataset, base.training, predicts=predicted_by(base.task)) is None:
        raise DataError(
            "there is no validation text, by which trials could be compared",
            hint="`data.valid` names some; `--set data.valid_fraction=0.1` holds out a part of the training documents",
        )
    settings = flat({name: section for name, section in base.identity().items() if name in COMPARED})
    facts = {
        "dataset": dataset.key,
        "config": {key: value for key, value in settings.items() if key not in space},
        "search": {key: values.to_json() for key, values in space.items()},
    }
    return Record.begin(folder, facts)


def _search(
    record: Record,
    base: RunConfig,
    space: Space,
    config_of: Callable[[dict[str, Any]], RunConfig],
    limits: Limits,
    stop: Any,
    shown: terminal.Progress,
) -> None:
    from lmtool.files import held
    from lmtool.raw_config import flat
    from lmtool.tuning.search import Search, Setup

    settings = flat(base.to_dict())
    setup = Setup(
        config_of=config_of,
        first={key: settings[key] for key in space if key in settings},
        space=space,
        seed=base.training.seed,
        monitor=base.training.monitor,
        registry=terminal.registry(),
        options=() if terminal.settings.third_party else ("--no-plugins",),
    )
    with held(record.folder / ".lock", f"another process is searching in {record.folder}"), stop.deferred():
        record.reload()
        Search(record, setup, limits, stop=stop, report=shown.update, say=terminal.say).run()


def _answer(record: Record, space: Space, monitor: str, *, as_json: bool) -> None:
    from lmtool.files import write_atomic
    from lmtool.plots import can_plot
    from lmtool.tuning.report import best_config, draw, table, to_json

    best = next(iter(record.ranked()), None)
    if best is None or best.best is None:
        raise _nothing(record)
    write_atomic(record.folder / "best.toml", best_config(best, record, monitor))
    if can_plot():
        draw(record.folder / "tune.png", record, space, monitor)
    else:
        terminal.say("no picture: `pip install 'lmtool[plots]'` brings what draws it")
    terminal.say(f"done; `lmtool train {record.folder / 'best.toml'}` trains with the best settings")
    if as_json:
        terminal.answer_json(to_json(record, monitor))
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else 10_000
    Console(highlight=False, markup=False, emoji=False, width=width).print(table(record, space, monitor), crop=False)


def _nothing(record: Record) -> Exception:
    from lmtool.errors import DivergedError, LmtoolError

    if record.trials and all(one.state == "diverged" for one in record.trials):
        return DivergedError("every trial diverged", hint="search lower learning rates")
    what = "no trial has come to its first validation"
    ended = [one for one in record.trials if one.reason]
    if not ended or any(one.state == "started" for one in record.trials):
        return LmtoolError(what, hint="the same command with a larger budget goes on")
    hint = "the same command tries failed trials again; with more `--trials` it tries others, too"
    return LmtoolError(f"{what}; trial {ended[-1].number}: {ended[-1].reason}", hint)


__all__ = ["app", "seconds_of"]
