"""What every augmentation must do: keep lines and what it is given, draw from its generator alone."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmtool.data.dataset import Dataset
from lmtool.testing.corpus import tiny_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmtool.api import Augmentation
    from lmtool.testing.subject import Subject

TOKENIZER = "word"
"""Of the datasets that augmentations are tested with, made of `lmtool.testing.corpus.TINY_TEXT`."""
DRAWS = 50


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lmtool-check-")


@lru_cache(maxsize=1)
def dataset() -> Dataset:
    """What augmentations are tested with."""
    return tiny_dataset(Path(_folder().name), TOKENIZER)


def _make(subject: Subject, **changes: Any) -> Augmentation:
    config = subject.config.model_copy(update=changes)
    made: Augmentation = subject.load()(config, dataset=dataset())
    return made


def _documents() -> list[np.ndarray]:
    """Three lines of the text; one with unknown words; one with an empty line; one token; no token; nothing at all."""
    data, eos = dataset(), dataset().eos_id
    text = data.split("train").read(0, 200)
    third = int(np.flatnonzero(text == eos)[2]) + 1
    unknown = text[:third].copy()
    unknown[[1, 4]] = eos if data.unk_id is None else data.unk_id
    short = [[*text[:3], eos, eos, *text[3:5], eos], [text[0], eos], [eos], []]
    return [text[:third], unknown, *(np.array(one, np.int32) for one in short)]


@contextmanager
def _untouched(ids: np.ndarray) -> Iterator[None]:
    """Inside, the array can only be read; afterwards, nobody has drawn from NumPy's global generator."""
    ids.flags.writeable = False
    before = np.random.get_state(legacy=False)
    yield
    after = np.random.get_state(legacy=False)
    assert np.array_equal(before["state"]["key"], after["state"]["key"]), "it draws from NumPy's global generator"
    assert before["state"]["pos"] == after["state"]["pos"], "it draws from NumPy's global generator"


def check_line_ends(subject: Subject) -> None:
    """Every document has as many ends of lines as before, and one at its end."""
    augment, eos = _make(subject), dataset().eos_id
    for ids in _documents():
        for seed in range(DRAWS):
            changed = augment(ids.copy(), np.random.default_rng(seed))
            before, after = (int((one == eos).sum()) for one in (ids, changed))
            assert before == after, f"a document of {before} lines has {after} afterwards"
            assert not len(ids) or changed[-1] == eos, "the last line of a document is not ended"


def check_ids(subject: Subject) -> None:
    """What comes out are ids of the vocabulary: int32 [M]."""
    augment = _make(subject)
    for ids in _documents():
        changed = augment(ids.copy(), np.random.default_rng(0))
        assert changed.dtype == np.int32, f"ids are {changed.dtype}, not int32"
        assert changed.ndim == 1, f"ids have the shape {list(changed.shape)}, not [M]"
        in_range = (changed >= 0) & (changed < dataset().vocab_size)
        assert in_range.all(), f"id {changed[~in_range][0]} is none of the vocabulary"


def check_input_unchanged(subject: Subject) -> None:
    """The document that it is given stays as it is, and chance comes from the generator alone."""
    augment = _make(subject)
    for ids in _documents():
        given = ids.copy()
        with _untouched(given):
            augment(given, np.random.default_rng(0))
        assert np.array_equal(given, ids), "the document that was given is changed in place"


def check_pure(subject: Subject) -> None:
    """The same document and seed give the same ids, whatever came before, in another instance, too."""
    first, second = _make(subject), _make(subject)
    documents = _documents()
    before = [first(ids.copy(), np.random.default_rng([7, number])) for number, ids in enumerate(documents)]
    for number in reversed(range(len(documents))):
        again = second(documents[number].copy(), np.random.default_rng([7, number]))
        assert np.array_equal(before[number], again), "the same document and the same seed give different ids"


def check_changes(subject: Subject) -> None:
    """It changes something: of many draws, one at least is another document."""
    augment, (ids, *_) = _make(subject), _documents()
    changed = (augment(ids.copy(), np.random.default_rng(seed)) for seed in range(DRAWS))
    assert any(not np.array_equal(one, ids) for one in changed), f"{DRAWS} draws leave a document as it is"


def check_rate_zero(subject: Subject) -> None:
    """With a rate or a probability of zero, where it has such settings, nothing is changed."""
    for name in {"rate", "probability"} & set(type(subject.config).model_fields):
        augment = _make(subject, **{name: 0.0})
        for ids in _documents():
            for seed in range(5):
                changed = augment(ids.copy(), np.random.default_rng(seed))
                assert np.array_equal(changed, ids), f"with {name} = 0 a document is changed"


CHECKS = (check_line_ends, check_ids, check_input_unchanged, check_pure, check_changes, check_rate_zero)

__all__ = ["CHECKS", "TOKENIZER", "dataset"]
