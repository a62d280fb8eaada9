"""`lmtool tokenize`: text to a dataset of ids, or line by line from stdin to stdout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmtool.cli import dataset_facts, terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lmtool.api import Tokenizer
    from lmtool.config import Choice, DataConfig
    from lmtool.data.dataset import Dataset
    from lmtool.raw_config import Raw
    from lmtool.registry import Found

app = typer.Typer(rich_markup_mode=None, add_completion=False)

SourceList = list[str] | None


@app.command()
def tokenize(
    files: Annotated[
        SourceList, typer.Argument(metavar="[FILE|-]...", help="As a filter: what to read; - is stdin.")
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(metavar="NAME", help="The tokenizer to learn: word, char, …")] = None,
    with_: Annotated[
        Path | None,
        typer.Option("--with", metavar="RUN|DATASET|FILE", help="Use the tokenizer in there, or a tokenizer.json."),
    ] = None,
    train: Annotated[SourceList, typer.Option(metavar="SOURCE", help="Text to learn from; may be repeated.")] = None,
    valid: Annotated[SourceList, typer.Option(metavar="SOURCE", help="Text to validate on; may be repeated.")] = None,
    test: Annotated[SourceList, typer.Option(metavar="SOURCE", help="Text to test on; may be repeated.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DATASET", help="The new folder.")] = None,
    reader: Annotated[
        str | None, typer.Option(metavar="NAME", help="How files are read; by suffix if left out.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Keep each document's labels, those in this field of its record."),
    ] = None,
    target: Annotated[
        SourceList,
        typer.Option(metavar="FIELD", help="Keep what each document is answered with; if repeated, the first present."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A TOML config; its [data] and [tokenizer] are used.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As in tokenizer.vocab_size=8000.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another dataset that is in the place.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the new dataset's figures as one object.")] = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="As a filter: print tokens, not ids.")] = False,
    decode: Annotated[bool, typer.Option("--decode", help="As a filter: lines of ids in, text out.")] = False,
) -> None:
    """Turn text into a dataset folder, or, without -o, lines of text into lines of ids.

    A SOURCE is a file, a glob, a folder, - or a text by name such as builtin:pydoc; .gz, .bz2, .xz and .zst are
    decompressed on the way. The vocabulary comes from the training text alone. The same command again does nothing.

    \b
      lmtool tokenize --tokenizer word --train train.txt --valid valid.txt -o data
      echo "to be or not to be" | lmtool tokenize --with data -
    """
    flags = {"tokenizer.name": tokenizer, "data.train": train, "data.valid": valid, "data.test": test,
             "data.reader.name": reader, "data.label": label, "data.target": target}  # fmt: skip
    raw = _settings(config, overrides, flags)
    _check_mode(files, output, tokens=tokens, decode=decode, force=force, as_json=as_json)
    if with_:
        _check_ready(with_, overrides or ())
    if output is None:
        _check_filter(
            raw,
            {"reader": reader, "label": label, "target": target[0] if target else None},
            tokens=tokens,
            decode=decode,
        )
        _filter(files or ["-"], _ready(with_, raw, tokenizer), tokens=tokens, decode=decode)
        return
    dataset = _build(raw, with_, tokenizer, output, force=force)
    if as_json:
        terminal.answer_json({"schema": 1, **dataset_facts.described(dataset)})
    else:
        _summarise(dataset)
        terminal.answer(str(dataset.path))


def _settings(config: Path | None, overrides: list[str] | None, flags: dict[str, Any]) -> Raw:
    from lmtool.config import check_sections
    from lmtool.raw_config import apply_overrides, read_raw

    raw = read_raw(config)
    for key, value in flags.items():
        if value:
            raw.set(key, value, "command line")
    apply_overrides(raw, overrides or ())
    check_sections(raw)
    return raw


def _check_mode(files: SourceList, output: Path | None, *, force: bool, as_json: bool, **only_filter: bool) -> None:
    """Options that belong to the other use of the command are a misunderstanding."""
    from lmtool.errors import UsageError

    if output is None:
        if force or as_json:
            name = "--force" if force else "--json"
            raise UsageError(f"{name} is for making a dataset", hint="`-o DATASET` says where it goes")
        return
    if files:
        raise UsageError(f"-o makes a dataset, and {files[0]} belongs to no split", hint=f"`--train {files[0]}`")
    for name, given in only_filter.items():
        if given:
            raise UsageError(f"--{name} is for use as a filter", hint="leave `-o` out")


def _check_ready(path: Path, overrides: Iterable[str]) -> None:
    """A tokenizer that is there cannot be set otherwise."""
    from lmtool.data.tokenizer_folder import TARGET_FOLDER
    from lmtool.errors import UsageError

    for override in overrides:
        key = override.partition("=")[0].strip()
        is_targets = key.startswith("data.target_tokenizer") and (path / TARGET_FOLDER).is_dir()
        if key.partition(".")[0] == "tokenizer" or is_targets:
            raise UsageError(f"--set {key} is for learning a tokenizer, and --with {path} takes one as it is")


def _check_filter(raw: Raw, options: Mapping[str, str | None], *, tokens: bool, decode: bool) -> None:
    from lmtool.errors import UsageError

    if given := [name for name in ("train", "valid", "test") if raw.values.get("data", {}).get(name)]:
        raise UsageError(f"{given[0]} text makes a dataset, and nothing says where", hint="`-o DATASET` names a folder")
    for name, value in options.items():
        if value:
            raise UsageError(f"--{name} {value} is for making a dataset: a filter reads lines", hint="leave it out")
    if tokens and decode:
        raise UsageError("--decode reads ids, not tokens", hint="leave `--tokens` out")


def _data(raw: Raw) -> DataConfig:
    from lmtool.config import data_section
    from lmtool.errors import UsageError

    data = data_section(raw, terminal.registry())
    if data.path is not None:
        raise UsageError(f"data.path names a dataset that is there already: {data.path}", hint="name text instead")
    return data


def _choice(raw: Raw) -> Choice:
    from lmtool.config import choose
    from lmtool.errors import UsageError

    if "name" not in raw.values.get("tokenizer", {}):
        raise UsageError("no tokenizer given", hint="`--tokenizer NAME` learns one, `--with RUN` takes that of a run")
    return choose(raw, "tokenizer", terminal.registry())


def _opened(path: Path, name: str | None) -> tuple[Tokenizer, Found]:
    from lmtool.data.tokenizer_folder import open_tokenizer
    from lmtool.errors import UsageError

    if name is not None:
        raise UsageError(f"--tokenizer {name} learns a tokenizer and --with {path} takes one; give either")
    return open_tokenizer(path, terminal.registry())


def _ready(with_: Path | None, raw: Raw, name: str | None) -> Tokenizer:
    """A tokenizer that needs no training text."""
    from lmtool.data.prepare import untrained

    return _opened(with_, name)[0] if with_ else untrained(_choice(raw))


def _build(raw: Raw, with_: Path | None, name: str | None, output: Path, *, force: bool) -> Dataset:
    from lmtool.data.labels import known_labels
    from lmtool.data.prepare import build, make_plan
    from lmtool.data.tokenizer_folder import open_target_tokenizer
    from lmtool.signals import StopRequest

    with StopRequest(), terminal.progress() as shown:
        ready = _opened(with_, name) if with_ else None
        ready_target = open_target_tokenizer(with_, terminal.registry()) if with_ else None
        labels = known_labels(with_) if with_ else None
        choice = None if ready else _choice(raw)
        plan = make_plan(_data(raw), choice, terminal.registry(), ready=ready, labels=labels, ready_target=ready_target)
        return build(plan, output, force=force, progress=shown.update)


def _filter(files: list[str], tokenizer: Tokenizer, *, tokens: bool, decode: bool) -> None:
    from lmtool.data.line_filter import Decoder, Encoder
    from lmtool.filters import incoming_lines

    convert = Decoder(tokenizer) if decode else Encoder(tokenizer, tokens=tokens)
    for name in files:
        for lines in incoming_lines(name):
            terminal.write_now(convert(lines))


def _summarise(dataset: Dataset) -> None:
    terminal.say(dataset_facts.tokenizer_line(dataset.record["tokenizer"]))
    if dataset.labels:
        terminal.say(f"labels in '{dataset.labels.field}': {dataset_facts.labels_line(dataset)}")
    if dataset.target_fields:
        by = dataset_facts.target_tokenizer_line(dataset.record["targets"])
        terminal.say(f"targets in '{', '.join(dataset.target_fields)}': {by}")
    for name in dataset.split_names:
        terminal.say(f"{name}: {dataset_facts.split_line(dataset, name)}")
