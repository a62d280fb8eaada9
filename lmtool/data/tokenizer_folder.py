"""A tokenizer on disk: a folder with the tokenizer's own files and `component.json`, which says who reads them.

Datasets and runs hold the same folder, `tokenizer/`, and `target-tokenizer/` where targets have one of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lmtool.errors import DataError, LmtoolError, PluginError

if TYPE_CHECKING:
    from lmtool.api import Tokenizer
    from lmtool.registry import Found, Registry

RECORD = "component.json"
FOLDER = "tokenizer"
TARGET_FOLDER = "target-tokenizer"


def save_tokenizer(tokenizer: Tokenizer, found: Found, folder: Path) -> None:
    """Write a tokenizer into a new folder.

    Args:
        tokenizer: The value.
        found: The component that made it.
        folder: Is made; the caller sees to it that it appears at once (`lmtool.files.atomic_folder`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    record = {**found.record(), "fingerprint": tokenizer.fingerprint, "vocab_size": tokenizer.vocab_size}
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n")


def load_tokenizer(folder: Path, registry: Registry) -> Tokenizer:
    """What `save_tokenizer` wrote.

    Raises:
        DataError: if the folder is missing or damaged.
        PluginError: if the plugin that made it is not installed.
    """
    record = tokenizer_record(folder)
    tokenizer = cast("Tokenizer", find_component(record, registry).load().load(folder))
    if tokenizer.fingerprint != record["fingerprint"]:
        raise DataError(f"tokenizer in {folder} is damaged: it reads as {short(tokenizer.fingerprint)}, not as "
                        f"{short(record['fingerprint'])}, which was written")  # fmt: skip
    return tokenizer


def find_component(record: dict[str, Any], registry: Registry) -> Found:
    """The component of a record; raises PluginError that says what to install."""
    name, distribution = record["name"], record["distribution"]
    try:
        return registry.find("tokenizer", name if distribution == "lmtool" else f"{distribution}:{name}")
    except PluginError as error:
        hint = f"`pip install {distribution}` brings it"
        raise PluginError(f"tokenizer '{name}' of {distribution} is not installed: {error.message}", hint) from error


def tokenizer_record(folder: Path) -> dict[str, Any]:
    """The contents of `component.json`."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_bytes())
        if not isinstance(record, dict) or not {"name", "distribution", "fingerprint"} <= record.keys():
            raise ValueError("entries are missing")
    except FileNotFoundError:
        raise DataError(f"{folder} holds no tokenizer: {RECORD} is missing") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}") from None
    return record


def open_tokenizer(path: Path, registry: Registry) -> tuple[Tokenizer, Found]:
    """The tokenizer of a run, a dataset, or a `tokenizer.json` of the Hugging Face library.

    Raises:
        DataError: if there is none.
    """
    for folder in (path / FOLDER, path):
        if (folder / RECORD).is_file():
            return load_tokenizer(folder, registry), find_component(tokenizer_record(folder), registry)
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        what = f"no tokenizer in {path}" if path.exists() else f"no file or folder {path}"
        raise DataError(what, hint="a run, a dataset or a tokenizer.json is wanted")
    found = registry.find("tokenizer", "bpe")
    try:
        return cast(
            "Tokenizer", found.load().train((), found.config_class().model_validate({"file": str(file)}))
        ), found
    except LmtoolError as error:
        raise DataError(error.message, error.hint) from None


def open_target_tokenizer(path: Path, registry: Registry) -> tuple[Tokenizer, Found] | None:
    """The tokenizer of targets of a run or a dataset; None if it has no other than that of text.

    Raises:
        DataError: if it is damaged.
    """
    folder = path / TARGET_FOLDER
    if not folder.is_dir():
        return None
    return load_tokenizer(folder, registry), find_component(tokenizer_record(folder), registry)


def short(fingerprint: str) -> str:
    """The first digits of a fingerprint, for messages."""
    return f"{fingerprint[:8]}…"


__all__ = [
    "FOLDER",
    "TARGET_FOLDER",
    "find_component",
    "load_tokenizer",
    "open_target_tokenizer",
    "open_tokenizer",
    "save_tokenizer",
    "short",
    "tokenizer_record",
]
