"""`lmtool train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmtool.cli import terminal

if TYPE_CHECKING:
    from lmtool.config import RunConfig
    from lmtool.data.dataset import Dataset
    from lmtool.devices import DeviceOptions
    from lmtool.run import Run
    from lmtool.training.processes import Processes

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def train(
    config: Annotated[
        Path | None, typer.Argument(help="A TOML config; everything in it can be said by options.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run folder; runs/MODEL-HASH if left out.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="model.name: ngram, lstm, cnn, …")] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="A dataset folder, or raw text to learn from; raw text may be given again.")
    ] = None,
    valid: Annotated[list[str] | None, typer.Option(help="Raw text that picks the best model.")] = None,
    test: Annotated[list[str] | None, typer.Option(help="Raw text that only `eval` reads.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="tokenizer.name: word, char, byte, bpe, …")] = None,
    task: Annotated[str | None, typer.Option(help="task.name")] = None,
    optimizer: Annotated[str | None, typer.Option(help="optimizer.name: adamw, sgd, …")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, over all else.")] = None,
    seed: Annotated[int | None, typer.Option(help="training.seed; of fitted models model.seed, too.")] = None,
    devices: Annotated[
        int | None, typer.Option(envvar="LMTOOL_DEVICES", help="Devices of each process; all if left out.")
    ] = None,
    shard_params: Annotated[
        bool, typer.Option("--shard-params", help="Spread parameters and optimizer state over the devices.")
    ] = False,
    distributed: Annotated[
        bool,
        typer.Option("--distributed", envvar="LMTOOL_DISTRIBUTED", help="Train with the other processes of this job."),
    ] = False,
    coordinator: Annotated[
        str | None, typer.Option(envvar="LMTOOL_COORDINATOR", help="HOST:PORT of process 0, where no cluster tells it.")
    ] = None,
    num_processes: Annotated[
        int | None, typer.Option(envvar="LMTOOL_NUM_PROCESSES", help="How many there are; with --coordinator.")
    ] = None,
    process_id: Annotated[
        int | None, typer.Option(envvar="LMTOOL_PROCESS_ID", help="Which this one is, from 0; with --coordinator.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Throw away the run in the folder and start over.")] = False,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Train nothing: print a learning rate, found by the range test.")
    ] = False,
    lr_range: Annotated[
        str | None, typer.Option(metavar="LOW..HIGH", help="With --find-lr: the rates that are tested.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --find-lr: a picture of it, .png, .svg or .pdf.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and warnings on stderr.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of the run's path.")] = False,
) -> None:
    """Train a model; run it again to go on or to confirm that it is done.

    The run's path goes to stdout. A run that was stopped goes on from its last checkpoint when the same command is
    given again; one that is finished is left as it is.
    """
    from lmtool.config import load_config
    from lmtool.devices import DeviceOptions
    from lmtool.signals import StopRequest

    terminal.settings.quiet = terminal.settings.quiet or quiet
    flags = {
        "model.name": model,
        **data_flags(data or []),
        "data.valid": valid,
        "data.test": test,
        "tokenizer.name": tokenizer,
        "task.name": task,
        "optimizer.name": optimizer,
        "training.seed": seed,
    }
    options = DeviceOptions(devices, shard_params, distributed, coordinator, num_processes, process_id).check()
    bounds = _range_test_options(options, lr_range, plot, output, find_lr=find_lr, force=force)
    resolved = load_config(config, terminal.registry(), flags=flags, overrides=overrides or ())
    if resolved.optimizer is not None:
        from lmtool.heap import keep_heap

        keep_heap()
    if find_lr:
        from lmtool.cli.find_lr import find

        find(resolved, options, bounds=bounds, plot=plot, as_json=as_json)
        return
    from lmtool.training.processes import Processes  # brings NumPy: what is said wrongly is told before

    with StopRequest() as stop:
        processes = Processes.join(options)
        terminal.settings.quiet = terminal.settings.quiet or not processes.is_first
        run = _train(resolved, output, stop, options, processes, force=force)
    if processes.is_first:
        _answer(run, as_json=as_json)


def _range_test_options(
    options: DeviceOptions, lr_range: str | None, plot: Path | None, output: Path | None, *, find_lr: bool, force: bool
) -> tuple[float, float] | None:
    """What `--lr-range` says; raises UsageError for options that do not go together."""
    from lmtool.cli.find_lr import bounds_of, check
    from lmtool.errors import UsageError

    if find_lr:
        check(options, plot, output=output, force=force)
        return bounds_of(lr_range)
    for name, value in {"--lr-range": lr_range, "--plot": plot}.items():
        if value is not None:
            raise UsageError(f"{name} belongs to --find-lr")
    return None


def data_flags(data: list[str]) -> dict[str, Any]:
    """One dataset folder is `data.path`; anything else is text to learn from."""
    from lmtool.data.dataset import RECORD
    from lmtool.errors import UsageError

    for one in data:
        if (Path(one) / "run.json").is_file():
            raise UsageError(
                f"{one} is a run, not a dataset or a text", hint="its run.json names the dataset it learned"
            )
    if len(data) == 1 and (Path(data[0]) / RECORD).is_file():
        return {"data.path": data[0]}
    return {"data.train": data or None}


def _train(
    config: RunConfig, output: Path | None, stop: Any, devices: DeviceOptions, processes: Processes, *, force: bool
) -> Run:
    from lmtool.data.of_config import dataset_of
    from lmtool.training import train as train_run
    from lmtool.training.judges import check_judges

    registry = terminal.registry()
    check_judges(config, registry)
    with processes.together(), terminal.progress() as shown:
        dataset = processes.in_turn(lambda: dataset_of(config, registry, shown.update))
        path = output or _default_path(config, dataset)
        terminal.say(f"run: {path}")
        return train_run(
            config,
            dataset,
            path,
            registry,
            stop=stop,
            report=shown.update,
            warn=terminal.warn,
            force=force,
            devices=devices,
            processes=processes,
        )


def _default_path(config: RunConfig, dataset: Dataset) -> Path:
    """`runs/MODEL-HASH`: the same config and data find the same run again."""
    import hashlib
    import json

    settings = {name: section for name, section in config.identity().items() if name not in ("data", "evaluation")}
    text = json.dumps([settings, dataset.key], sort_keys=True)
    return Path("runs") / f"{config.model.name.replace(':', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _answer(run: Run, *, as_json: bool) -> None:
    if as_json:
        terminal.answer_json({"schema": 1, "run": str(run.path), "state": run.record["state"], **run.result})
        return
    step = f" at step {run.result['step']}" if "last_step" in run.result else ""  # a counted model takes none
    monitor = run.config["training"].get("monitor", "loss")
    figure = f": validation {_figure(run.result, monitor)}{step}" if "valid_loss" in run.result else ""
    terminal.say(f"done{figure}; `lmtool eval {run.path}` evaluates it")
    terminal.answer(str(run.path))


def _figure(result: dict[str, Any], monitor: str) -> str:
    """What the model was picked by, or what a reader knows better than a loss."""
    if monitor not in ("loss", "accuracy", "token_perplexity"):
        return f"{monitor} {result[f'valid_{monitor}']:.4g}"
    if "valid_accuracy" in result:
        return f"accuracy {result['valid_accuracy']:.4f}"
    return f"perplexity {result['valid_token_perplexity']:.2f}"
