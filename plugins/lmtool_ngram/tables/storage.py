"""An n-gram model on disk: one `.npy` file an array, and `ngram.json`, which says what must be there.

FOLDER/
  ngram.json                 format version, settings, discounts, type and length of each array
  words-1.npy …              the arrays of `lmtool_ngram.tables.trie.Level`, order by order; memory-mapped when loaded
  log_probs_values-2.npy …   of a quantised model: what the codes in `log_probs-2.npy` stand for; so for back-offs
  index-2.npy …              see `lmtool_ngram.tables.index`; orders without contexts of many continuations have none

`ngram.json` is written last: a folder without it is no model. Version 1 had neither indexes
nor codes.
"""

from __future__ import annotations

import json
import mmap
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.errors import DataError
from lmtool.files import explain_os_errors, reserve, write_atomic
from lmtool_ngram.tables.columns import FileColumn
from lmtool_ngram.tables.index import fill, num_slots
from lmtool_ngram.tables.trie import Coded, Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FORMAT = "lmtool-ngram"
FORMAT_VERSION = 2
RECORD = "ngram.json"
ARRAYS = ("words", "starts", "log_probs", "log_backoffs")
OPTIONAL = ("log_probs_values", "log_backoffs_values", "index")
TYPES = {
    "words": ("uint16", "int32"),
    "starts": ("uint32", "int64"),
    "log_probs": ("float32", "uint8", "uint16"),
    "log_backoffs": ("float32", "uint8", "uint16"),
    "log_probs_values": ("float32",),
    "log_backoffs_values": ("float32",),
    "index": ("uint32",),
}
_OWN = ("format", "version", "closed", "arrays")
REPAIR = "train the model again, or copy the run again from where it came"


def save(folder: Path, levels: Sequence[Level], settings: dict[str, Any]) -> None:
    """Write into an existing folder.

    Args:
        folder: Of the model.
        levels: Order 1 first.
        settings: Whatever else JSON can hold and `load` shall give back.

    Raises:
        DataError: if it cannot be written.
    """
    arrays: dict[str, dict[str, Any]] = {}
    for order, level in enumerate(levels, start=1):
        for name, array in _arrays(level):
            file = folder / f"{name}-{order}.npy"
            with explain_os_errors(file):
                file.unlink(missing_ok=True)  # it may be another model's, too: see `link`; or mapped by this one
                np.save(file, array, allow_pickle=False)
            arrays[file.name] = {"dtype": array.dtype.name, "length": len(array)}
    write_record(folder, settings, arrays, closed=all(level.closed for level in levels[1:]))


def _arrays(level: Level) -> Iterator[tuple[str, np.ndarray]]:
    for name in ARRAYS:
        array = getattr(level, name)
        if isinstance(array, Coded):
            yield f"{name}_values", array.values
            array = array.codes
        yield name, np.ascontiguousarray(array)


def is_model(folder: Path) -> bool:
    """Whether a whole model is there."""
    return (folder / RECORD).is_file()


def link(source: Path, folder: Path) -> bool:
    """Give the files of a saved model a second name in another folder; False if that cannot be done there."""
    try:
        if folder.samefile(source):
            return True
        for name in read_record(source)["arrays"]:
            (folder / name).hardlink_to(source / name)
        write_atomic(folder / RECORD, (source / RECORD).read_bytes())
    except (OSError, DataError):
        for file in folder.glob("*.npy"):
            file.unlink()
        return False
    return True


def write_record(
    folder: Path, settings: dict[str, Any], arrays: dict[str, dict[str, Any]], *, closed: bool = True
) -> None:
    """Finish a model whose arrays are written: index them, which takes no more memory however large they are.

    Args:
        folder: Of the model.
        settings: As in `save`.
        arrays: `dtype` and `length` of each file.
        closed: As in `Level`.

    Raises:
        DataError: if it cannot be written.
    """
    arrays = dict(arrays)
    for order in range(2, settings["order"] + 1):
        if size := _write_index(folder, order, arrays):
            arrays[f"index-{order}.npy"] = {"dtype": "uint32", "length": size}
    finish(folder, {"format": FORMAT, "version": FORMAT_VERSION, **settings, "closed": closed, "arrays": arrays})


def finish(folder: Path, record: dict[str, Any]) -> None:
    """Make a folder a model by what `read_record` gives back. Raises DataError if it cannot be written."""
    write_atomic(folder / RECORD, json.dumps(record, indent=1) + "\n")


def unfinish(folder: Path) -> None:
    """Let a folder be no model while its arrays are changed. Raises DataError if it cannot be written."""
    with explain_os_errors(folder):
        (folder / RECORD).unlink()


def load(folder: Path) -> tuple[list[Level], dict[str, Any]]:
    """Memory-map what `save` wrote: the orders and the settings. Raises DataError if it is missing or damaged."""
    record = read_record(folder)
    arrays, levels = record["arrays"], []
    for order in range(1, record["order"] + 1):
        names = [name for name in (*ARRAYS, *OPTIONAL) if name in ARRAYS or f"{name}-{order}.npy" in arrays]
        opened: dict[str, Any] = {name: _open(folder / f"{name}-{order}.npy", arrays) for name in names}
        for name in ("log_probs", "log_backoffs"):
            values = opened.pop(f"{name}_values", None)
            if (values is None) != (opened[name].dtype == np.float32):
                raise DataError(
                    f"{folder / RECORD} is damaged: {name}-{order}.npy needs values for its codes", hint=REPAIR
                )
            if values is not None:
                opened[name] = Coded(opened[name], values)
        levels.append(Level(**opened, closed=bool(record.get("closed", False))))
        _check_together(folder / f"words-{order}.npy", levels, record)
    return levels, record


def _check_together(file: Path, levels: Sequence[Level], record: dict[str, Any]) -> None:
    """Raise DataError if the arrays of the last order cannot belong together; reads next to nothing of them."""
    level, is_first, is_highest = levels[-1], len(levels) == 1, len(levels) == record["order"]
    size = record["vocab_size"] if is_first else len(level)
    parents = 1 if is_first else len(levels[-2])
    lengths = len(level), len(level.log_probs), len(level.starts), len(level.log_backoffs)
    if lengths not in {(size, size, parents + 1, size), (size, size, parents + 1, 0 if is_highest else size)}:
        found = "words, log_probs, starts and log_backoffs have {} elements".format(", ".join(map(str, lengths)))
        raise DataError(f"{file} and its like do not go together: {found}", hint=REPAIR)
    ends = int(level.starts[0]), int(level.starts[-1])
    if ends != (0, size):
        raise DataError(f"{file.parent} is damaged: order {len(levels)} has {size} n-grams, not {ends}", hint=REPAIR)


def settings_of(record: dict[str, Any]) -> dict[str, Any]:
    """What `save` was given, of what `load` gives."""
    return {key: value for key, value in record.items() if key not in _OWN}


def read_record(folder: Path) -> dict[str, Any]:
    """What `ngram.json` says. Raises DataError if it is missing or damaged."""
    file = folder / RECORD
    try:
        record = json.loads(file.read_bytes())
        if record["format"] != FORMAT:
            raise ValueError(f"format is {record['format']!r}")
        version = int(record["version"])
        _check_record(record)
    except FileNotFoundError:
        raise DataError(f"no n-gram model in {file.parent}: {file.name} is missing", hint=REPAIR) from None
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(f"{file} is damaged: {error}", hint=REPAIR) from None
    if version > FORMAT_VERSION:
        known = f"this lmtool reads up to {FORMAT_VERSION}"
        raise DataError(f"{file} has format version {version}; {known}", hint="`pip install --upgrade lmtool`")
    return dict(record)


def _check_record(record: dict[str, Any]) -> None:
    for name in ("order", "vocab_size", "eos_id"):
        if not isinstance(record[name], int):
            raise TypeError(f"{name} is {record[name]!r}")
    if record["order"] < 1 or not 0 <= record["eos_id"] < record["vocab_size"]:
        facts = record["order"], record["eos_id"], record["vocab_size"]
        raise ValueError("order {} with </s> as {} of {} words".format(*facts))
    for name in dict(record["arrays"]):
        if "/" in name:  # would be linked outside of the folder
            raise ValueError(f"{name} is no file of a model")


def _open(file: Path, arrays: dict[str, Any]) -> np.ndarray:
    try:
        dtype, length = arrays[file.name]["dtype"], arrays[file.name]["length"]
        if dtype not in TYPES[file.name.rpartition("-")[0]]:
            raise ValueError(f"its elements cannot be {dtype}")
        array = _map(file) if length else _read(file)
    except FileNotFoundError:
        raise DataError(f"{file} is missing", hint=REPAIR) from None
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is damaged: {error}", hint=REPAIR) from None
    if array.dtype.name != dtype or array.shape != (length,):
        found = f"{array.dtype.name} {list(array.shape)}"
        raise DataError(f"{file} is damaged: holds {found}, not {dtype} [{length}]", hint=REPAIR)
    # A plain view: each access through a memmap object costs a microsecond of bookkeeping.
    return np.asarray(array)


def _map(file: Path) -> np.ndarray:
    return np.lib.format.open_memmap(file, mode="r")


def _read(file: Path) -> np.ndarray:
    with file.open("rb") as opened:
        array: np.ndarray = np.lib.format.read_array(opened, allow_pickle=False)
    return array


def _write_index(folder: Path, order: int, arrays: dict[str, dict[str, Any]]) -> int:
    """Returns how many slots the index has, 0 if there is none to be written."""
    words, starts = (FileColumn(folder / name, arrays[name]) for name in (f"words-{order}.npy", f"starts-{order}.npy"))
    if size := num_slots(starts):
        file = folder / f"index-{order}.npy"
        with explain_os_errors(file):
            slots = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint32, shape=(size,))
            reserve(file)
            fill(np.asarray(slots), words, starts, between=lambda: _let_go(slots))
            slots.flush()
    return size


def _let_go(mapped: np.memmap[Any, Any]) -> None:
    """Take what is written of a mapped file out of this process's memory."""
    base: Any = mapped.base
    if hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
